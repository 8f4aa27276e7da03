"""ATSS head for oriented boxes (Zhang et al., arXiv 1912.02424): GroupNorm towers, one scale per level, centerness."""

from __future__ import annotations

from typing import Any

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
    """ATSS head for oriented boxes, with the parameter names of mmrotate 1.x.

    The parameters are ``cls_convs``, ``reg_convs``, ``atss_cls``, ``atss_reg``, ``atss_centerness`` and ``scales``.

    Args:
        centerness_frame: Box in which centerness is measured: ``hbb``, the circumscribed horizontal box, as in mmrotate
            1.x; or ``obb``, the oriented box itself. ``obb`` requires assignment by oriented boxes: a third of the
            positives assigned by horizontal boxes lie outside the oriented box, where the centerness is 0.
        args, kwargs: Arguments of MMDetection's ``ATSSHead``. A loss of deltas (L1, smooth L1) requires
            ``reg_decoded_bbox=False``; the default of ``ATSSHead`` is True.

    Raises:
        ValueError: Losses, assigner and ``centerness_frame`` do not match, or a training setting is not supported.
    """

    average_over_processes = True

    def __init__(self, *args: Any, centerness_frame: str = "hbb", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.check_settings()
        if centerness_frame not in FRAMES:
            raise ValueError(f"centerness_frame must be one of {', '.join(FRAMES)}, got {centerness_frame!r}")
        assigner = getattr(self, "assigner", None)  # without train_cfg, the head has no assigner
        if centerness_frame == "obb" and getattr(assigner, "assigns_by_hbb", False):
            raise ValueError(
                "centerness_frame='obb' requires assignment by the oriented box, got assign_by_circumhbbox. "
                "Set centerness_frame='hbb' or assign_by_circumhbbox=None."
            )
        self.centerness_frame = centerness_frame

    def _init_layers(self) -> None:
        super()._init_layers()
        # Replace MMDetection's layer, which predicts 4 deltas per prior, by one that predicts 5.
        channels = self.num_base_priors * self.bbox_coder.encode_size
        kernel_size = self.pred_kernel_size
        self.atss_reg = nn.Conv2d(self.feat_channels, channels, kernel_size, padding=kernel_size // 2)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        centernesses: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch from the outputs of the head.

        Args:
            cls_scores: Class logits per level, (B, C, H, W).
            bbox_preds: Deltas per level, (B, 5, H, W).
            centernesses: Centerness logits per level, (B, 1, H, W).
            batch_gt_instances: Ground truth of each image.
            batch_img_metas: Meta information of each image.
            batch_gt_instances_ignore: Ignored regions of each image.

        Returns:
            ``loss_cls``, ``loss_bbox``, ``loss_centerness`` and ``num_pos``, the mean number of positives per image.
        """
        with torch.autocast(cls_scores[0].device.type, enabled=False):  # losses in float32, also in mixed precision
            featmap_sizes = [level.shape[-2:] for level in cls_scores]
            priors = self.multi_level_priors(featmap_sizes, cls_scores[0].device)
            gt_index = self.assign_batch(
                priors, featmap_sizes, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
            )
            logits = flatten_levels(cls_scores, self.cls_out_channels)  # (B, A, C)
            deltas = flatten_levels(bbox_preds, self.bbox_coder.encode_size)  # (B, A, 5)
            centerness_logits = flatten_levels(centernesses, 1)[..., 0]  # (B, A)
            return self.loss_from_targets(
                logits, deltas, centerness_logits, torch.cat(priors), gt_index, batch_gt_instances
            )

    def loss_from_targets(
        self,
        logits: Tensor,
        deltas: Tensor,
        centerness_logits: Tensor,
        priors: Tensor,
        gt_index: Tensor,
        batch_gt_instances: list[InstanceData],
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch of B images, A priors and C classes from the result of the label assignment.

        The box loss of each positive is weighted by its target centerness and normalized by the sum of these weights.

        Args:
            logits: (B, A, C) class logits.
            deltas: (B, A, 5) predicted deltas.
            centerness_logits: (B, A) predicted centerness before the sigmoid.
            priors: (A, 5) priors of all levels.
            gt_index: (B, A) result of :meth:`assign_batch`.
            batch_gt_instances: Ground truth of each image.

        Returns:
            The same as :meth:`loss_by_feat`.
        """
        loss_cls, avg_factor, num_pos = self.classification_loss(logits, gt_index, batch_gt_instances)
        positives = self.gather_positives(gt_index, batch_gt_instances)
        pos_priors = positives.gather_priors(priors)
        target_centerness = centerness(pos_priors[:, :2], positives.gt_boxes, self.centerness_frame)
        if positives.weight is not None:  # 0 in rows that only pad the positives to a fixed number
            target_centerness = target_centerness * positives.weight
        # reduce_mean is a collective operation, so processes without positives must call it, too.
        total_weight = reduce_mean(target_centerness.sum()).clamp(min=1)
        if len(target_centerness):
            loss_centerness = self.loss_centerness(
                positives.gather(centerness_logits).float(), target_centerness, positives.weight, avg_factor=avg_factor
            )
            loss_bbox = self.regression_loss(
                pos_priors, positives.gather(deltas), positives.gt_boxes, target_centerness, total_weight
            )
        else:  # keep the parameters in the graph, as DDP requires
            loss_centerness, loss_bbox = centerness_logits.sum() * 0, deltas.sum() * 0
        return {
            "loss_cls": loss_cls,
            "loss_bbox": loss_bbox,
            "loss_centerness": loss_centerness,
            "num_pos": num_pos.float().mean(),
        }
