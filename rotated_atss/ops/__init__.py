"""Operations on oriented boxes and quadrilaterals: plain torch tensors and NumPy arrays.

- :func:`rotated_iou`: IoU of all pairs or of aligned pairs.
- :func:`rotated_nms`: class-wise NMS that returns the indices of the kept boxes.
- :func:`rotated_nms_mask`: the same NMS, but it returns a mask of fixed size.
- :func:`align_features`: feature alignment of R3Det.

These four functions are imported on first use, so that importing a NumPy-only module of this package does not load
torch.

Import other operations from their modules:

- ``boxes``, ``box_transforms``: angle versions, conversions between formats, and flips, rotations and scaling.
- ``delta_coder``, ``distance_coder``: box encodings of regression heads.
- ``losses``, ``centerness``: focal loss, IoU loss and centerness targets.
- ``candidates``: selection of the detections of a batch with score threshold, top-k per level and NMS.
- ``box_fusion``: fusion of the detections of test-time augmentation.
- ``polygon_iou``, ``polygon_nms``, ``polygon_pairs``: quadrilaterals, with NumPy only.
- ``box_arrays``, ``box_polygons``, ``box_ious``, ``box_nms``: oriented boxes, with NumPy only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rotated_atss.ops.feature_align import align_features
    from rotated_atss.ops.iou import rotated_iou
    from rotated_atss.ops.nms import rotated_nms, rotated_nms_mask

__all__ = ["align_features", "rotated_iou", "rotated_nms", "rotated_nms_mask"]

_MODULE_OF_FUNCTION = {
    "align_features": "feature_align",
    "rotated_iou": "iou",
    "rotated_nms": "nms",
    "rotated_nms_mask": "nms",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_FUNCTION:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF_FUNCTION[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
