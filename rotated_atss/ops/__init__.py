"""Operations on oriented boxes and quadrilaterals: plain torch tensors and NumPy arrays.

The names below are imported lazily, so that the polygon operations, which need NumPy only, do not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rotated_atss.ops.feature_align import align_features
    from rotated_atss.ops.iou import rotated_iou
    from rotated_atss.ops.nms import rotated_nms, rotated_nms_mask

__all__ = ["align_features", "rotated_iou", "rotated_nms", "rotated_nms_mask"]

_MODULES = {
    "align_features": "feature_align",
    "rotated_iou": "iou",
    "rotated_nms": "nms",
    "rotated_nms_mask": "nms",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
