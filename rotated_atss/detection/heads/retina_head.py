"""The head of the oriented one-stage detectors without a centerness branch: RetinaNet's layers."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.detection.heads.dense_head import OrientedDenseHead, flatten_levels


@MODELS.register_module()
class RotatedRetinaHead(OrientedDenseHead, RetinaHead):
    """RetinaNet's head (``cls_convs``, ``reg_convs``, ``retina_cls``, ``retina_reg``) for oriented boxes.

    :class:`RotatedATSSAssigner` makes it Rotated ATSS as published in mmrotate 0.x, :class:`RotatedMaxIoUAssigner`
    rotated RetinaNet.

    Args:
        kwargs: As MMDetection's ``RetinaHead``. ``loss_cls`` takes logits (N, C) and labels (N,); ``loss_bbox`` takes
            deltas, or boxes with ``reg_decoded_bbox=True``.

    Raises:
        ValueError: A box loss that does not fit what the coder regresses.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.check_parts()

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
        priors: list[Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch, summed over levels, and ``num_pos``, the mean number of positives an image. ``priors``
        (levels of (B, N, 5)) replace those of the generator.
        """
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            sizes = [level.shape[-2:] for level in cls_scores]
            if priors is None:
                priors = self.multi_level_priors(sizes, cls_scores[0].device)
            gt_index = self.assign_batch(priors, sizes, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore)
            logits = flatten_levels(cls_scores, self.cls_out_channels)  # (B, A, C)
            deltas = flatten_levels(bbox_preds, self.bbox_coder.encode_size)  # (B, A, 5)
            return self.loss_from_targets(logits, deltas, torch.cat(priors, -2), gt_index, batch_gt_instances)

    def loss_from_targets(
        self, logits: Tensor, deltas: Tensor, priors: Tensor, gt_index: Tensor, objects: list[InstanceData]
    ) -> dict[str, Tensor]:
        """Losses given each prior's object: (B, A, C) logits, (B, A, 5) deltas, (A, 5) or (B, A, 5) priors, (B, A)."""
        loss_cls, avg_factor, number = self.classification_loss(logits, gt_index, objects)
        positives = self.positives(gt_index, objects)
        if len(positives.image):
            chosen = positives.priors_of(priors)
            loss_bbox = self.box_loss(chosen, positives.of(deltas), positives.boxes, positives.weight, avg_factor)
        else:
            # keeps the branch in the graph: data-parallel training waits for every gradient
            loss_bbox = deltas.sum() * 0
        return {"loss_cls": loss_cls, "loss_bbox": loss_bbox, "num_pos": number.float().mean()}
