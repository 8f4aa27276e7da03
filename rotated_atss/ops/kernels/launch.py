"""What every launch needs: how many programs, on which device."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def blocks(count: int, size: int) -> int:
    """How many blocks of a size hold so many."""
    return -(-count // size)


def on_device(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Triton launches on the current device: make it the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


def processors(tensor: Tensor) -> int:
    """Multiprocessors of the tensor's device; 1 for the CPU, where Triton's interpreter runs."""
    return torch.cuda.get_device_properties(tensor.device).multi_processor_count if tensor.is_cuda else 1
