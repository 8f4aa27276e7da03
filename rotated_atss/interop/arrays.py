"""Convert arrays or tensors, such as the outputs of a detector, to NumPy arrays without importing torch."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_array(values: Any) -> np.ndarray:
    """Convert a torch tensor on any device, or an array or list, to a NumPy array.

    Args:
        values: A tensor, an array or a list. Half-precision tensors, float16 and bfloat16, are converted to float32,
            because NumPy has no bfloat16.

    Example:
        >>> import torch
        >>> as_array(torch.tensor([0.5])), as_array([1, 2])
        (array([0.5], dtype=float32), array([1, 2]))
    """
    if not hasattr(values, "detach"):
        return np.asarray(values)
    tensor = values.detach().cpu()
    is_half = tensor.is_floating_point() and tensor.element_size() < 4
    return (tensor.float() if is_half else tensor).numpy()
