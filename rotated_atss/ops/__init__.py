"""Operations on oriented boxes in plain torch."""

from .iou import rotated_iou
from .nms import rotated_nms

__all__ = ["rotated_iou", "rotated_nms"]
