"""RetinaNet head for oriented boxes, without a centerness branch."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.detection.heads.dense_head import OrientedDenseHead, flatten_levels


@MODELS.register_module()
class RotatedRetinaHead(OrientedDenseHead, RetinaHead):
    """RetinaNet head for oriented boxes, with the layers and parameter names of MMDetection's ``RetinaHead``.

    With :class:`RotatedATSSAssigner` it is the head of Rotated ATSS in mmrotate 0.x; with
    :class:`RotatedMaxIoUAssigner` it is the head of Rotated RetinaNet.

    Args:
        args, kwargs: Arguments of MMDetection's ``RetinaHead``. ``loss_cls`` must accept logits (N, C) and labels (N,).
            With ``reg_decoded_bbox=True``, ``loss_bbox`` must compare decoded boxes. With False, it must compare
            deltas, or both deltas and decoded boxes.

    Raises:
        ValueError: A loss does not match the head, or a training setting is not supported.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.check_settings()

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
        priors: list[Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch from the outputs of the head.

        Args:
            cls_scores: Class logits per level, (B, priors per location * C, H, W).
            bbox_preds: Deltas per level, (B, priors per location * 5, H, W).
            batch_gt_instances: Ground truth of each image.
            batch_img_metas: Meta information of each image.
            batch_gt_instances_ignore: Ignored regions of each image.
            priors: Priors per level, (B, N, 5); None for the priors of ``prior_generator``, which are the same for all
                images.

        Returns:
            ``loss_cls``, ``loss_bbox`` and ``num_pos``, the mean number of positives per image.
        """
        # Disable autocast, because it would compute parts of the assignment and the losses in half precision.
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            featmap_sizes = [level.shape[-2:] for level in cls_scores]
            if priors is None:
                priors = self.multi_level_priors(featmap_sizes, cls_scores[0].device)
            gt_index = self.assign_batch(
                priors, featmap_sizes, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
            )
            logits = flatten_levels(cls_scores, self.cls_out_channels)  # (B, A, C)
            deltas = flatten_levels(bbox_preds, self.bbox_coder.encode_size)  # (B, A, 5)
            return self.loss_from_targets(logits, deltas, torch.cat(priors, -2), gt_index, batch_gt_instances)

    def loss_from_targets(
        self, logits: Tensor, deltas: Tensor, priors: Tensor, gt_index: Tensor, batch_gt_instances: list[InstanceData]
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch of B images, A priors and C classes from the result of the label assignment.

        Args:
            logits: (B, A, C) class logits.
            deltas: (B, A, 5) predicted deltas.
            priors: (A, 5), or (B, A, 5) if the priors differ between images.
            gt_index: (B, A) result of :meth:`assign_batch`.
            batch_gt_instances: Ground truth of each image.

        Returns:
            The same as :meth:`loss_by_feat`.
        """
        loss_cls, avg_factor, num_pos = self.classification_loss(logits, gt_index, batch_gt_instances)
        positives = self.gather_positives(gt_index, batch_gt_instances)
        if len(positives.image_index):
            loss_bbox = self.regression_loss(
                positives.gather_priors(priors),
                positives.gather(deltas),
                positives.gt_boxes,
                positives.weight,
                avg_factor,
            )
        else:
            loss_bbox = deltas.sum() * 0  # keeps the parameters in the graph, as DDP requires
        return {"loss_cls": loss_cls, "loss_bbox": loss_bbox, "num_pos": num_pos.float().mean()}
