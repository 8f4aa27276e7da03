"""Check that the device of a run exists, and make MMEngine use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from mmengine.device import utils as mmengine_device

from rotated_atss.errors import UserError


def resolve_device(device: str | torch.device | None = None) -> torch.device:
    """Return a device after checking that it exists; None chooses CUDA if a GPU is available, otherwise the CPU.

    Raises:
        UserError: The device does not exist.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    if device is None:
        # This device is not checked. The check allocates a tensor, so each process that a launcher starts would occupy
        # memory of the first GPU.
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
    names = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


@contextmanager
def use_device(device: str | torch.device | None, launcher: str = "none") -> Iterator[None]:
    """Make MMEngine build models and load checkpoints on a device within this block.

    Outside such a block, MMEngine uses the device that it chose when it was imported: CUDA if available, otherwise
    Apple's mps if available, otherwise the CPU.

    Args:
        device: A device to check and use; None for CUDA if a GPU is available, otherwise the CPU.
        launcher: ``none``, or ``pytorch`` if torchrun has started this process. A launcher assigns a GPU to each
            process, so ``device`` must then be None.

    Raises:
        UserError: The device does not exist, or both a device and a launcher are given.

    Example:
        >>> from mmengine.device import get_device
        >>> with use_device("cpu"):
        ...     get_device()
        'cpu'
    """
    if device is not None and launcher != "none":
        raise UserError(f"--device {device} and --launcher {launcher} cannot be combined", hint="omit --device")
    resolved = resolve_device(device)
    # MMEngine moves models to "cuda" without an index, that is, to the current GPU. Therefore a GPU given by the caller
    # is made the current one.
    is_given_gpu = device is not None and resolved.type == "cuda"
    current_gpu = torch.cuda.device(resolved) if is_given_gpu else nullcontext()
    previous, mmengine_device.DEVICE = mmengine_device.DEVICE, resolved.type
    try:
        with current_gpu:
            yield
    finally:
        mmengine_device.DEVICE = previous
