"""Operations on oriented boxes in plain torch, and on a GPU as Triton kernels."""

from .iou import rotated_iou
from .nms import rotated_nms, rotated_nms_mask

__all__ = ["rotated_iou", "rotated_nms", "rotated_nms_mask"]
