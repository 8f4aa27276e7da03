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

_SMALL_MAP_PIXELS = 16  # largest height * width of a feature map whose convolutions stay in float32 on the CPU


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Run the forward pass under autocast to bfloat16, except on CPUs without bfloat16 instructions.

    CPUs without bfloat16 instructions train in float32, because bfloat16 is slower on them. bfloat16 has the exponent
    range of float32, so the loss is not scaled.

    On the CPU, convolutions of feature maps of at most 16 pixels stay in float32. The reason is a defect of oneDNN on
    some processors: for some of these small maps, it reads uninitialized memory when it computes the weight gradient in
    bfloat16. In training on tiles of 64 px, this made losses NaN.
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
        small_map_context = _SmallMapsInFloat32() if device == "cpu" else nullcontext()
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16), small_map_context:
            yield


class _SmallMapsInFloat32(TorchFunctionMode):
    """Compute convolutions of small feature maps without autocast."""

    def __torch_function__(
        self, func: Callable, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d:  # nn.Conv2d calls it with the feature map as the first positional argument
            feature_map = args[0]
            if feature_map.shape[-2] * feature_map.shape[-1] <= _SMALL_MAP_PIXELS:
                args = [value.float() if isinstance(value, Tensor) else value for value in args]
                with torch.autocast("cpu", enabled=False):
                    return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))
