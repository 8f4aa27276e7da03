"""A simulation of Apple's mps on the CPU, which shows what Python code of this package does on such a device.

Its tensors report the device ``mps``. As on the real device, float64 does not exist, tensors do not mix with those of
the CPU, and there is no ``numpy()``. Operations inside torch's C++ code and its kernels are those of the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map_only

MPS = torch.device("mps")
_ACROSS_DEVICES = (Tensor.copy_, Tensor.__getitem__, Tensor.__setitem__)  # values and indices may be on the CPU


class MpsTensor(Tensor):
    """A tensor that reports the device ``mps``."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return MPS


class SimulatedMps(TorchFunctionMode):
    """Run torch with the device ``mps`` within this block."""

    def __torch_function__(
        self, func: Callable, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        args, kwargs = list(args), dict(kwargs or {})
        source = [value for value in tree_iter((args, kwargs)) if isinstance(value, Tensor)]
        if func is Tensor.numpy and isinstance(args[0], MpsTensor):
            raise TypeError("can't convert mps:0 device type tensor to numpy")
        moves = func in (Tensor.to, Tensor.cpu, Tensor.type_as)
        on_mps = any(isinstance(value, MpsTensor) for value in source)
        mixed = on_mps and any(not isinstance(value, MpsTensor) and value.ndim for value in source)
        if mixed and not moves and func not in _ACROSS_DEVICES:
            raise RuntimeError(f"{func} got tensors on mps and on the CPU")
        target = _target(func, args, kwargs)
        if target is not None:
            on_mps = target.type == "mps"
            args, kwargs = tree_map_only(torch.device, lambda _: torch.device("cpu"), (args, kwargs))
            args = ["cpu" if isinstance(value, str) and value.startswith("mps") else value for value in args]
            if "device" in kwargs:
                kwargs["device"] = "cpu"
        result = func(*args, **kwargs)
        return tree_map_only(Tensor, lambda value: as_mps(value) if on_mps else _plain(value), result)


def _target(func: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.device | None:
    """Return the device that a call names, or None."""
    if func is Tensor.cpu:
        return torch.device("cpu")
    if func in (Tensor.to, Tensor.type_as):
        for value in (*args[1:], kwargs.get("device"), kwargs.get("other")):
            if isinstance(value, Tensor):
                return value.device
            if isinstance(value, (torch.device, str)):
                return torch.device(value)
        return args[0].device
    device = kwargs.get("device")
    return None if device is None else torch.device(device)


def as_mps(tensor: Tensor) -> Tensor:
    """Return a tensor of the simulated device with the same memory.

    Raises:
        TypeError: The tensor has float64.
    """
    if tensor.dtype == torch.float64:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")
    return tensor if isinstance(tensor, MpsTensor) else tensor.as_subclass(MpsTensor)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor) if isinstance(tensor, MpsTensor) else tensor


def move_model(model: nn.Module) -> nn.Module:
    """Move a detector to the simulated device, in place."""
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                module._parameters[name] = nn.Parameter(as_mps(value.detach()), value.requires_grad)
        for name, value in module._buffers.items():
            if value is not None:
                module._buffers[name] = as_mps(value)
        if isinstance(getattr(module, "_device", None), torch.device):  # of MMEngine's data preprocessor
            module._device = MPS
    return model


def devices(values: Any) -> Iterator[str]:
    """Yield the device types of all tensors in nested values."""
    return (value.device.type for value in tree_iter(values) if isinstance(value, Tensor))
