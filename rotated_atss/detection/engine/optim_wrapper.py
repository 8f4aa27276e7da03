"""Optimizer wrapper for mixed precision in bfloat16."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rotated_atss.detection.engine.network import has_fast_bfloat16

_SMALL_MAP_PIXELS = 16  # height x width; on the CPU, convolutions of maps up to this size stay in float32


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Autocast to bfloat16 on CPU and CUDA; float32 on CPUs that are slower in bfloat16.

    bfloat16 has the exponent range of float32, so the loss is not scaled. On the CPU, convolutions of feature maps of a
    few pixels stay in float32: for some of these shapes, oneDNN's weight gradient in bfloat16 reads uninitialized
    memory on some processors. In training on tiles of 64 px, this made losses NaN.
    """

    _is_fallback_reported = False

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        """Run the forward pass of ``model`` under autocast."""
        device = next(model.parameters()).device.type
        if not has_fast_bfloat16(device):
            if not self._is_fallback_reported:
                self._is_fallback_reported = True
                print_log("this CPU has no bfloat16 instructions: training in float32", logger="current")
            with super().optim_context(model):
                yield
            return
        small_maps = _SmallMapsInFloat32() if device == "cpu" else nullcontext()
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16), small_maps:
            yield


class _SmallMapsInFloat32(TorchFunctionMode):
    """Compute convolutions of small feature maps without autocast."""

    def __torch_function__(
        self, func: Callable, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d:
            feature_map = args[0]
            if feature_map.shape[-2] * feature_map.shape[-1] <= _SMALL_MAP_PIXELS:
                args = [value.float() if isinstance(value, Tensor) else value for value in args]
                with torch.autocast("cpu", enabled=False):
                    return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))
