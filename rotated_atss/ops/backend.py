"""Who computes: plain torch, or the same as Triton kernels where there is a GPU and triton works on it."""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings

import torch
from torch import Tensor

VARIABLE = "ROTATED_ATSS_BACKEND"  # =torch keeps everything in plain torch
CHOICES = ("torch", "triton")


def select_backend(asked: str | None, *tensors: Tensor) -> str:
    """``torch`` or ``triton`` for these tensors, or whatever else was asked for.

    Raises:
        ValueError: ``triton`` was asked for and cannot run on them; the environment names no backend.
    """
    device = tensors[0].device.type
    if asked is None:
        same = all(each.device == tensors[0].device for each in tensors)
        return default_backend(device) if same else "torch"  # torch says what is wrong with two devices
    if asked == "triton" and (why := unavailable_reason(device)):
        raise ValueError(f"backend 'triton' cannot run on {device}: {why}")
    return asked


def default_backend(device: str) -> str:
    """Who computes by default on ``cpu`` or ``cuda``."""
    preferred = os.environ.get(VARIABLE, "triton")
    if preferred not in CHOICES:
        raise ValueError(f"{VARIABLE} must be one of {', '.join(CHOICES)}, not {preferred!r}")
    return "triton" if device == "cuda" and preferred == "triton" and not unavailable_reason(device) else "torch"


def is_interpreted() -> bool:
    """Whether Triton's interpreter is asked for, which runs the kernels on the CPU, slowly, to check them."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache
def unavailable_reason(device: str) -> str:
    """Why the kernels cannot run on a kind of device; empty where they can. On a GPU the first call tries one."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if device == "cpu":
        return "" if is_interpreted() else "it needs a GPU (TRITON_INTERPRET=1 interprets it, slowly)"
    if device != "cuda":
        return "it needs a CUDA device"
    return _trial()


def _trial() -> str:
    """An old GPU, a missing C compiler: triton tells only when it compiles."""
    try:
        from rotated_atss.ops.kernels.iou_kernels import aligned_overlap

        box = torch.ones((1, 5), device="cuda")
        aligned_overlap(box, box, "iou")
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        warnings.warn(f"rotated IoU and NMS stay in plain torch, for triton fails here: {reason}", stacklevel=2)
        return reason
    return ""
