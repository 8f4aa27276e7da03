"""Backend selection: Triton kernels on GPUs that triton supports, plain torch elsewhere."""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings

import torch
from torch import Tensor

BACKEND_VARIABLE = "ROTATED_ATSS_BACKEND"  # environment variable; "torch" disables the kernels
BACKENDS = ("torch", "triton")


def select_backend(requested: str | None, *tensors: Tensor) -> str:
    """Select the backend for an operation on tensors.

    Args:
        requested: Name of a backend, ``torch`` or ``triton``. None selects the default of the tensors' device.
        tensors: Tensor arguments of the operation, at least one.

    Returns:
        ``torch`` or ``triton``.

    Raises:
        ValueError: ``triton`` is requested and cannot run on the device, or ``$ROTATED_ATSS_BACKEND`` is not a backend.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.backend import select_backend
        >>> select_backend(None, torch.zeros(1, 5))
        'torch'
    """
    device_type = tensors[0].device.type
    if requested is None:
        same_device = all(tensor.device == tensors[0].device for tensor in tensors)
        # For tensors on different devices, torch raises a clear error, so no kernel is selected.
        return default_backend(device_type) if same_device else "torch"
    if requested == "triton" and (reason := unavailable_reason(device_type)):
        raise ValueError(f"backend 'triton' cannot run on {device_type}: {reason}")
    return requested


def default_backend(device_type: str) -> str:
    """Return the default backend of a device type, ``cpu`` or ``cuda``.

    Raises:
        ValueError: ``$ROTATED_ATSS_BACKEND`` is not a backend.

    Example:
        >>> from rotated_atss.ops.backend import default_backend
        >>> default_backend("cpu")
        'torch'
    """
    preferred = os.environ.get(BACKEND_VARIABLE, "triton")
    if preferred not in BACKENDS:
        raise ValueError(f"{BACKEND_VARIABLE} must be one of {', '.join(BACKENDS)}, got {preferred!r}")
    if preferred == "triton" and device_type == "cuda" and not unavailable_reason(device_type):
        return "triton"
    return "torch"


def is_interpreted() -> bool:
    """Return whether Triton's interpreter is enabled.

    The interpreter runs the kernels on the CPU, slowly; the tests use it.

    Example:
        >>> from rotated_atss.ops.backend import is_interpreted
        >>> is_interpreted() in (True, False)
        True
    """
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache
def unavailable_reason(device_type: str) -> str:
    """Return why the kernels cannot run on a device type, or an empty string if they can.

    The first call for ``cuda`` compiles and runs one kernel.

    Example:
        >>> from rotated_atss.ops.backend import unavailable_reason
        >>> unavailable_reason("mps") in ("triton needs a CUDA device", "triton is not installed")
        True
    """
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if device_type == "cpu":
        return "" if is_interpreted() else "triton needs a GPU (TRITON_INTERPRET=1 interprets the kernels, slowly)"
    if device_type != "cuda":
        return "triton needs a CUDA device"
    return _kernel_error()


def _kernel_error() -> str:
    """Compile and run one kernel on CUDA, and return its error or an empty string.

    An unsupported GPU or a missing C compiler is detected only when triton compiles a kernel.
    """
    try:
        from rotated_atss.ops.kernels.iou_kernels import aligned_overlap

        box = torch.ones((1, 5), device="cuda")
        aligned_overlap(box, box, "iou")
    except Exception as error:
        # shortened, because compiler errors of triton are pages long
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        warnings.warn(f"rotated IoU and NMS use plain torch, because triton failed: {reason}", stacklevel=2)
        return reason
    return ""
