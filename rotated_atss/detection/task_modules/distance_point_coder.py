"""Distance-to-side box coder for MMDetection's registry, an adapter over :mod:`rotated_atss.ops.distance_coder`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.task_modules import BaseBBoxCoder
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import HorizontalBoxes, get_box_tensor
from torch import Tensor

from rotated_atss.ops.boxes import check_angle_version
from rotated_atss.ops.distance_coder import decode_distances, encode_distances


@TASK_UTILS.register_module()
class PointDistanceCoder(BaseBBoxCoder):
    """Distances from the prior's centre to the sides of the box, in strides: the ATSS paper's regression from a point.

    Args:
        angle_version: ``oc``, ``le90`` or ``le135`` for oriented boxes; None for horizontal ones.
        edge_swap: As :func:`encode_distances`.
        anchor_scale: Width of a prior in strides (``octave_base_scale`` of the anchors).
        mean: A network that predicts 0 means sides this many strides away, so that training begins with boxes of a
            size (the official code sets the last layer's bias to it instead).
        clip_border: Clip decoded horizontal boxes to the image where its size is given.

    Raises:
        ValueError: An angle version that does not exist, or a size that is not positive.
    """

    def __init__(
        self,
        angle_version: str | None = None,
        *,
        edge_swap: bool = False,
        anchor_scale: float = 8.0,
        mean: float = 4.0,
        clip_border: bool = True,
        use_box_type: bool = False,
    ) -> None:
        super().__init__(use_box_type=use_box_type)
        if anchor_scale <= 0:
            raise ValueError(f"anchor_scale must be positive, got {anchor_scale}")
        if edge_swap and angle_version in (None, "oc"):
            raise ValueError("edge_swap needs a long-edge angle version (le90 or le135)")
        self.angle_version = None if angle_version is None else check_angle_version(angle_version)
        self.edge_swap, self.anchor_scale, self.mean, self.clip_border = edge_swap, anchor_scale, mean, clip_border
        self.encode_size = 4 if angle_version is None else 5

    def _means(self, like: Tensor) -> Tensor:
        return like.new_tensor((*[self.mean] * 4, 0.0)[: self.encode_size])

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        distances = encode_distances(
            get_box_tensor(bboxes), get_box_tensor(gt_bboxes), self.angle_version,
            edge_swap=self.edge_swap, anchor_scale=self.anchor_scale,
        )  # fmt: skip
        return distances - self._means(distances)

    def decode(
        self, bboxes: Tensor, pred_bboxes: Tensor, max_shape: Sequence[int] | None = None
    ) -> Tensor | HorizontalBoxes:
        """``max_shape`` is (height, width) of the image in pixels."""
        if pred_bboxes.dtype != torch.float64:
            pred_bboxes = pred_bboxes.float()
        distances = pred_bboxes + self._means(pred_bboxes)
        boxes = decode_distances(get_box_tensor(bboxes), distances, self.angle_version, anchor_scale=self.anchor_scale)
        if self.angle_version is not None:
            return boxes
        if self.clip_border and max_shape is not None:
            height, width = max_shape[:2]
            boxes = torch.minimum(boxes.clamp(min=0), boxes.new_tensor((width, height, width, height)))
        return HorizontalBoxes(boxes) if self.use_box_type else boxes
