"""ATSS head for horizontal boxes, derived from MMDetection's ``ATSSHead``."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmdet.models.dense_heads import ATSSHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import get_box_tensor, get_box_wh, scale_boxes
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.detection.heads.deform_conv import TorchvisionDCNv2
from rotated_atss.ops.dtypes import upcast


@MODELS.register_module()
class HorizontalATSSHead(ATSSHead):
    """MMDetection's ATSS head with torchvision's NMS and optional deformable convolutions.

    Losses, decoding and NMS run in float32 regardless of the precision of the network.

    Args:
        last_conv_cfg: Config of the convolution in the last layer of both towers, for example
            ``dict(type="TorchvisionDCNv2")``; if None, it is a plain convolution.
        args, kwargs: Arguments of MMDetection's ``ATSSHead``.
    """

    def __init__(self, *args: Any, last_conv_cfg: dict | None = None, **kwargs: Any) -> None:
        self.last_conv_cfg = last_conv_cfg  # _init_layers, which super().__init__ calls, needs it
        super().__init__(*args, **kwargs)

    @property
    def num_anchors(self) -> int:
        """Return ``num_base_priors``, without the deprecation warning of MMDetection, whose code still reads this."""
        return self.num_base_priors

    def _init_layers(self) -> None:
        super()._init_layers()
        if self.last_conv_cfg is None:
            return
        in_channels = self.in_channels if self.stacked_convs == 1 else self.feat_channels
        for tower in (self.cls_convs, self.reg_convs):
            tower[-1] = ConvModule(
                in_channels, self.feat_channels, 3, padding=1, conv_cfg=self.last_conv_cfg, norm_cfg=self.norm_cfg
            )

    def init_weights(self) -> None:
        """Initialize the weights as MMDetection does, and the offsets of deformable convolutions with 0."""
        super().init_weights()  # also changes the layers conv_offset, which must be 0
        for layer in self.modules():
            if isinstance(layer, TorchvisionDCNv2):
                layer.init_weights()

    def loss_by_feat(
        self, cls_scores: list[Tensor], bbox_preds: list[Tensor], centernesses: list[Tensor], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Compute MMDetection's losses in float32, and ``num_pos``, the mean number of positives per image."""
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            outputs = _upcast_levels(cls_scores, bbox_preds, centernesses)
            losses = super().loss_by_feat(*outputs, *args, **kwargs)
        return {**losses, "num_pos": self._num_pos}  # MMDetection's loss_by_feat has called get_targets, which sets it

    def get_targets(self, *args: Any, **kwargs: Any) -> tuple:
        """Compute MMDetection's targets, and count the positives for ``num_pos``."""
        targets = super().get_targets(*args, **kwargs)
        labels_per_level = targets[1]  # each (B, N)
        labels = torch.cat(labels_per_level, 1)  # the label num_classes means background
        self._num_pos = ((labels >= 0) & (labels < self.num_classes)).sum(1).float().mean()
        return targets

    def predict_by_feat(
        self, cls_scores: list[Tensor], bbox_preds: list[Tensor], score_factors: list[Tensor], *args: Any, **kwargs: Any
    ) -> list[InstanceData]:
        """Decode the outputs as MMDetection does, in float32."""
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            outputs = _upcast_levels(cls_scores, bbox_preds, score_factors)
            return super().predict_by_feat(*outputs, *args, **kwargs)

    def _bbox_post_process(
        self,
        results: InstanceData,
        cfg: Any,
        rescale: bool = False,
        with_nms: bool = True,
        img_meta: dict | None = None,
    ) -> InstanceData:
        """Rescale boxes, multiply scores by centerness, drop small boxes and apply class-wise NMS.

        MMDetection does the same with mmcv's NMS instead of torchvision's.
        """
        if rescale:
            assert img_meta is not None
            results.bboxes = scale_boxes(results.bboxes, [1 / scale for scale in img_meta["scale_factor"]])
        results.scores = results.scores * results.pop("score_factors")
        if cfg.get("min_bbox_size", -1) >= 0:
            width, height = get_box_wh(results.bboxes)
            results = results[(width > cfg.min_bbox_size) & (height > cfg.min_bbox_size)]
        if not with_nms:
            return results
        keep = classwise_nms(get_box_tensor(results.bboxes), results.scores, results.labels, cfg.nms.iou_threshold)
        return results[keep[: cfg.max_per_img]]


def classwise_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """Apply non-maximum suppression to the horizontal boxes of each class.

    Torchvision's ``nms`` is called once per class. Its ``batched_nms`` adds an offset per class to the coordinates,
    which would round them.

    Args:
        boxes: (N, 4) ``x1, y1, x2, y2``.
        scores: (N,).
        labels: (N,) int64.
        iou_threshold: Boxes whose IoU with a higher-scoring kept box exceeds this value are suppressed.

    Returns:
        (K,) int64 indices of the kept boxes, by descending score; equal scores keep the input order.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10]])
        >>> classwise_nms(boxes, torch.tensor([0.7, 0.9, 0.8]), torch.tensor([0, 0, 1]), 0.5)
        tensor([1, 2])
    """
    from torchvision.ops import nms  # the import takes a second, and models for oriented boxes do not need it

    # torch.cat requires at least one tensor, even if there are no boxes.
    keep_per_class = [torch.zeros(0, dtype=torch.int64, device=boxes.device)]
    for label in labels.unique():
        rows = torch.nonzero(labels == label).squeeze(1)
        keep_per_class.append(rows[nms(boxes[rows], scores[rows], iou_threshold)])
    keep = torch.cat(keep_per_class).sort().values  # in input order, which the stable sort keeps for equal scores
    return keep[scores[keep].argsort(descending=True, stable=True)]


def _upcast_levels(*outputs: list[Tensor]) -> list[list[Tensor]]:
    """Upcast the outputs of the head; each output is a list with one feature map per level."""
    return [[upcast(level) for level in levels] for levels in outputs]
