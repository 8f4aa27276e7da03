"""Grid size and current device for kernel launches."""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor


def num_blocks(count: int, size: int) -> int:
    """Return the number of blocks of ``size`` that cover ``count`` elements."""
    return math.ceil(count / size)


def on_device(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Make the tensor's device the current device, on which Triton launches kernels.

    For CPU tensors (Triton's interpreter), nothing changes.
    """
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


def num_multiprocessors(tensor: Tensor) -> int:
    """Return the number of multiprocessors of the tensor's device, or 1 for the CPU (Triton's interpreter)."""
    return torch.cuda.get_device_properties(tensor.device).multi_processor_count if tensor.is_cuda else 1
