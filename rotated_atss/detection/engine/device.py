"""Check that the device of a run exists, and make MMEngine use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from mmengine.device import utils as mmengine_device

from rotated_atss.errors import UserError


def resolve_device(device: str | torch.device | None = None) -> torch.device:
    """Return a device after checking that it exists; None chooses the CUDA GPU if there is one, otherwise the CPU.

    Raises:
        UserError: There is no such device.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    if device is None:
        # Not checked: with a launcher, the check would occupy memory of the first GPU in every process.
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.zeros(1, device=resolved).item()  # item() rejects the meta device, whose tensors have no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        hint = f"choose from {', '.join(_available_devices())}"
        if str(device).startswith("mps"):
            hint = f"mps needs macOS and an Apple GPU; {hint}"
        raise UserError(f"no such device: '{device}'", where="--device", hint=hint) from error
    return resolved


def _available_devices() -> list[str]:
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


@contextmanager
def use_device(device: str | torch.device | None, launcher: str = "none") -> Iterator[None]:
    """Make MMEngine build models and load checkpoints on a device within this block.

    By itself, MMEngine chooses a device once, when it is imported: CUDA, or else Apple's mps, or else the CPU.

    Args:
        device: As for :func:`resolve_device`.
        launcher: ``none``, or ``pytorch`` under torchrun, where the launcher gives every process its GPU.

    Raises:
        UserError: There is no such device, or both a device and a launcher are given.

    Example:
        >>> from mmengine.device import get_device
        >>> with use_device("cpu"):
        ...     get_device()
        'cpu'
    """
    if device is not None and launcher != "none":
        raise UserError(f"--device {device} and --launcher {launcher} exclude each other", hint="omit --device")
    resolved = resolve_device(device)
    # MMEngine moves models to "cuda", which is the current GPU
    current_gpu = torch.cuda.device(resolved) if device is not None and resolved.type == "cuda" else nullcontext()
    previous, mmengine_device.DEVICE = mmengine_device.DEVICE, resolved.type
    try:
        with current_gpu:
            yield
    finally:
        mmengine_device.DEVICE = previous
