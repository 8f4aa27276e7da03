"""Floating-point precision of the operations."""

from __future__ import annotations

import torch
from torch import Tensor

from rotated_atss.ops.checks import check_tensors


def upcast(values: Tensor) -> Tensor:
    """Convert a half-precision or integer tensor to float32, and return a float32 or float64 tensor unchanged.

    bfloat16 rounds angles near pi / 2 by up to 0.2 degrees, which is too coarse for geometry.

    Args:
        values: Tensor of any shape and dtype.

    Returns:
        Tensor of the same shape, float32 or float64.

    Raises:
        TypeError: ``values`` is not a tensor.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.dtypes import upcast
        >>> upcast(torch.ones(2, dtype=torch.float16)).dtype
        torch.float32
    """
    check_tensors(values=values)
    return values if values.dtype in (torch.float32, torch.float64) else values.float()
