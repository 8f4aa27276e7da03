"""Fallback to the CPU for devices that do not support float64."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

DEVICES_WITHOUT_FLOAT64 = ("mps",)
"""Device types on which torch cannot create tensors of float64."""


def cpu_if_no_float64(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a function to run on the CPU if the device of its tensors does not support float64.

    The results are moved back to the device of the first tensor among the arguments.

    Args:
        function: Function that computes in float64 and returns a tensor or a tuple of tensors. The returned tensors
            must not be float64, because they could not be moved back. Only tensors that are arguments themselves are
            moved; tensors inside lists or other containers are not.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.cpu_if_no_float64 import cpu_if_no_float64
        >>> cpu_if_no_float64(lambda values: values.double().sum().float())(torch.ones(3))
        tensor(3.)
    """

    @functools.wraps(function)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        device = next((tensor.device for tensor in tensors), None)
        if device is None or device.type not in DEVICES_WITHOUT_FLOAT64:
            return function(*args, **kwargs)
        cpu_args: Any = [_move(value, "cpu") for value in args]
        cpu_kwargs: Any = {name: _move(value, "cpu") for name, value in kwargs.items()}
        result: Any = function(*cpu_args, **cpu_kwargs)
        if isinstance(result, tuple):
            return cast(Result, tuple(_move(value, device) for value in result))
        return _move(result, device)

    return run


def _move(value: Any, device: torch.device | str) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
