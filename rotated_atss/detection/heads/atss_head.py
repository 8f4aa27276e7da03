"""Rotated ATSS with the paper's own head: GroupNorm towers, a scale a level, a centerness branch, an IoU loss."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import ATSSHead
from mmdet.registry import MODELS
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor, nn

from rotated_atss.detection.heads.dense_head import OrientedDenseHead, flatten_levels
from rotated_atss.ops.centerness import FRAMES, centerness


@MODELS.register_module()
class RotatedATSSHead(OrientedDenseHead, ATSSHead):
    """ATSS's head (``cls_convs``, ``reg_convs``, ``atss_cls``, ``atss_reg``, ``atss_centerness``, ``scales``) for
    oriented boxes; the same parameters as mmrotate 1.x's.

    Args:
        centerness_frame: ``hbb`` (default, as mmrotate 1.x): in the circumscribed horizontal box. ``obb``: in
            the object's own frame, for assignment by the oriented box only: a third of the positives of an assignment
            by the horizontal one lie outside the object, where this centerness does not exist.
        kwargs: As MMDetection's ``ATSSHead``; with a loss of deltas (L1, smooth L1) set ``reg_decoded_bbox=False``.

    Raises:
        ValueError: Parts that do not fit together.
    """

    average_over_processes = True

    def __init__(self, *args, centerness_frame: str = "hbb", **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.check_parts()
        if centerness_frame not in FRAMES:
            raise ValueError(f"unknown centerness_frame {centerness_frame!r}: choose one of {', '.join(FRAMES)}")
        if centerness_frame == "obb" and getattr(getattr(self, "assigner", None), "by_hbb", False):
            raise ValueError(
                "centerness_frame='obb' does not exist outside the object, where assignment by the circumscribed box "
                "puts positives: set it to 'hbb', or assign_by_circumhbbox to None"
            )
        self.centerness_frame = centerness_frame

    def _init_layers(self) -> None:
        super()._init_layers()
        width = self.num_base_priors * self.bbox_coder.encode_size  # MMDetection's has four numbers a box
        kernel = self.pred_kernel_size
        self.atss_reg = nn.Conv2d(self.feat_channels, width, kernel, padding=kernel // 2)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        centernesses: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch, summed over levels, and ``num_pos``, the mean number of positives an image."""
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            sizes = [level.shape[-2:] for level in cls_scores]
            priors = self.multi_level_priors(sizes, cls_scores[0].device)
            gt_index = self.assign_batch(priors, sizes, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore)
            logits = flatten_levels(cls_scores, self.cls_out_channels)  # (B, A, C)
            deltas = flatten_levels(bbox_preds, self.bbox_coder.encode_size)  # (B, A, 5)
            central = flatten_levels(centernesses, 1)[..., 0]  # (B, A)
            return self.loss_from_targets(logits, deltas, central, torch.cat(priors), gt_index, batch_gt_instances)

    def loss_from_targets(
        self,
        logits: Tensor,
        deltas: Tensor,
        central: Tensor,
        priors: Tensor,
        gt_index: Tensor,
        objects: list[InstanceData],
    ) -> dict[str, Tensor]:
        """Losses given each prior's object: (B, A, C) logits, (B, A, 5) deltas, (B, A) centerness logits, (A, 5)
        priors, (B, A). A positive's box loss weighs as its centerness, and the weights average it.
        """
        loss_cls, avg_factor, number = self.classification_loss(logits, gt_index, objects)
        positives = self.positives(gt_index, objects)
        chosen = positives.priors_of(priors)
        target = centerness(chosen[:, :2], positives.boxes, self.centerness_frame)
        if positives.weight is not None:
            target = target * positives.weight
        if len(target):
            loss_centerness = self.loss_centerness(
                positives.of(central).float(), target, positives.weight, avg_factor=avg_factor
            )
        else:
            loss_centerness = central.sum() * 0
        total = reduce_mean(target.sum()).clamp(min=1)  # of all processes, so each takes part even without positives
        if len(target):
            loss_bbox = self.box_loss(chosen, positives.of(deltas), positives.boxes, target, total)
        else:
            loss_bbox = deltas.sum() * 0
        return {
            "loss_cls": loss_cls,
            "loss_bbox": loss_bbox,
            "loss_centerness": loss_centerness,
            "num_pos": number.float().mean(),
        }
