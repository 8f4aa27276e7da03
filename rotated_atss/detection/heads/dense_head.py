"""Label assignment, losses and decoding, which all dense heads for oriented boxes share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor, nn

from rotated_atss.assign import IGNORE
from rotated_atss.detection.heads.loss_targets import check_loss_target, loss_target
from rotated_atss.detection.heads.positives import Positives, gather_positives
from rotated_atss.detection.heads.postprocess import (
    clamp_centers_to_image,
    postprocess_detections,
    rescale_to_original,
)
from rotated_atss.detection.heads.prior_grids import prior_grids, valid_hw
from rotated_atss.ops.candidates import best_candidates
from rotated_atss.ops.dtypes import upcast


class OrientedDenseHead:
    """Mixin that adapts an anchor head of MMDetection to oriented boxes.

    In the list of base classes, the mixin must precede MMDetection's head. The assigner selects the positives, and the
    box coder defines the deltas. Losses, decoding and NMS run in float32 regardless of the precision of the network.

    In the shapes below, B is the number of images, C of classes, A of priors on all levels, N of priors on one level,
    and P of positives.
    """

    average_over_processes = False  # whether the normalizer of the losses is averaged over distributed processes

    # attributes that MMDetection's head sets
    num_classes: int
    cls_out_channels: int
    use_sigmoid_cls: bool
    reg_decoded_bbox: bool
    assigner: Any
    bbox_coder: Any
    prior_generator: Any
    loss_cls: nn.Module
    loss_bbox: nn.Module
    train_cfg: Any
    test_cfg: Any

    def check_settings(self) -> None:
        """Reject losses and training settings that this head does not support.

        Raises:
            ValueError: The classification loss is a softmax loss, the box loss does not match ``reg_decoded_bbox``, or
                ``train_cfg`` has a setting that only MMDetection's anchor heads support.
        """
        # If the config of the loss omits use_sigmoid, use_sigmoid_cls is False, whatever the default of the loss is.
        if not self.use_sigmoid_cls:
            raise ValueError(
                "loss_cls must be a sigmoid loss, but its use_sigmoid is False or not set. "
                "Set use_sigmoid=True in loss_cls."
            )
        check_loss_target(self.loss_bbox, self.reg_decoded_bbox)
        train_cfg = self.train_cfg or {}
        border, pos_weight = train_cfg.get("allowed_border", -1), train_cfg.get("pos_weight", -1)
        if border >= 0:  # a negative value means that no priors are dropped
            raise ValueError(
                f"the oriented heads do not drop priors that cross the image border, got allowed_border={border}. "
                "Remove it from train_cfg."
            )
        if pos_weight > 0 and pos_weight != 1:  # 0 and negative values mean a weight of 1
            raise ValueError(
                f"the oriented heads weight positives and negatives equally, got pos_weight={pos_weight}. "
                "Remove it from train_cfg."
            )

    def multi_level_priors(self, featmap_sizes: list[torch.Size], device: torch.device | str) -> list[Tensor]:
        """Generate the priors of each level, (H * W * priors per location, 5) float32."""
        return self.prior_generator.grid_priors(featmap_sizes, dtype=torch.float32, device=device)

    def assign_batch(
        self,
        priors: list[Tensor],
        featmap_sizes: list[torch.Size],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None,
    ) -> Tensor:
        """Assign ground-truth boxes to the priors of a batch.

        Args:
            priors: Priors per level: (N, 5), or (B, N, 5) if each image has its own priors.
            featmap_sizes: (height, width) of each level.
            batch_gt_instances: Ground truth of each image.
            batch_img_metas: Metadata of each image, with ``pad_shape``.
            batch_gt_instances_ignore: Ignored regions of each image, or None.

        Returns:
            ``gt_index`` (B, A) int64. Each value is the index of the assigned box in the ground truth of the image,
            ``BACKGROUND`` or ``IGNORE``. Priors outside ``pad_shape`` are ``IGNORE``.
        """
        ignored_instances = batch_gt_instances_ignore or [None] * len(batch_gt_instances)
        return self.assigner.assign_batch(
            torch.cat(priors, -2),
            [level.shape[-2] for level in priors],
            [gt.bboxes for gt in batch_gt_instances],
            [ignored.bboxes if ignored is not None and len(ignored) else None for ignored in ignored_instances],
            grids=prior_grids(self.prior_generator, featmap_sizes),
            valid_hw=[valid_hw(self.prior_generator, featmap_sizes, meta["pad_shape"]) for meta in batch_img_metas],
            # If each image has its own priors, they are boxes of a previous stage. There is one box per location of the
            # grids, but its center is not on the grid.
            on_grids=priors[0].ndim == 2,
        )

    def gather_positives(self, gt_index: Tensor, batch_gt_instances: list[InstanceData]) -> Positives:
        """Gather the positives of ``gt_index`` (B, A).

        On CUDA, counting the positives would make the CPU wait for the GPU. If the assigner has an upper bound of their
        number, the positives are padded to this bound instead.
        """
        if gt_index.device.type == "cpu" or not hasattr(self.assigner, "max_num_pos"):
            return gather_positives(gt_index, batch_gt_instances)
        generator = self.prior_generator
        num_gts = sum(len(gt.bboxes) for gt in batch_gt_instances)
        max_num_pos = self.assigner.max_num_pos(num_gts, generator.num_levels, generator.num_base_priors[0])
        return gather_positives(gt_index, batch_gt_instances, max_num_pos)

    def classification_loss(
        self, logits: Tensor, gt_index: Tensor, batch_gt_instances: list[InstanceData]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the classification loss of a batch.

        Args:
            logits: (B, A, C) class logits.
            gt_index: (B, A) result of :meth:`assign_batch`. Priors with the value ``IGNORE`` have weight 0.
            batch_gt_instances: Ground truth of each image.

        Returns:
            The loss, its normalizer, and the number of positives per image (B,).
        """
        num_pos = (gt_index >= 0).sum(1)
        # An image without positives is counted as having one, as in the training of the published models.
        avg_factor = num_pos.clamp(min=1).sum()
        if self.average_over_processes:
            avg_factor = reduce_mean(avg_factor.float())
        labels = torch.stack(
            [
                _prior_labels(image_gt_index, gt.labels, self.num_classes)
                for image_gt_index, gt in zip(gt_index, batch_gt_instances)
            ]
        )
        logits = upcast(logits)
        weight = (gt_index != IGNORE).to(logits.dtype)
        loss = self.loss_cls(logits.flatten(0, 1), labels.flatten(), weight.flatten(), avg_factor=avg_factor)
        return loss, avg_factor, num_pos

    def regression_loss(
        self, priors: Tensor, deltas: Tensor, gt_boxes: Tensor, weight: Tensor | None, avg_factor: Tensor
    ) -> Tensor:
        """Compute the box loss of P positives.

        Args:
            priors: (P, 5) priors of the positives.
            deltas: (P, 5) predicted deltas.
            gt_boxes: (P, 5) ground-truth boxes assigned to the positives.
            weight: (P,), or None for equal weights.
            avg_factor: Normalizer of the loss.

        Returns:
            Scalar loss. Depending on the loss module, it compares deltas, decoded boxes or both.
        """
        deltas = upcast(deltas)
        weight = torch.ones_like(deltas) if weight is None else weight[:, None].expand_as(deltas)
        target = loss_target(self.loss_bbox)
        if target == "both":
            encoded = self.bbox_coder.encode(priors, gt_boxes)
            return self.loss_bbox(deltas, encoded, weight, avg_factor, self.bbox_coder.decode(priors, deltas), gt_boxes)
        if target == "boxes":
            return self.loss_bbox(self.bbox_coder.decode(priors, deltas), gt_boxes, weight, avg_factor=avg_factor)
        return self.loss_bbox(deltas, self.bbox_coder.encode(priors, gt_boxes), weight, avg_factor=avg_factor)

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        score_factors: list[Tensor] | None = None,
        batch_img_metas: list[dict] | None = None,
        cfg: Any = None,
        rescale: bool = False,
        with_nms: bool = True,
        priors: list[Tensor] | None = None,
    ) -> list[InstanceData]:
        """Decode the outputs of the head into detections.

        The top-k candidates per level are selected and decoded. After class-wise NMS, the ``max_per_img`` detections
        with the highest scores are kept per image.

        Args:
            cls_scores: Class logits per level, (B, priors per location * C, H, W).
            bbox_preds: Deltas per level, (B, priors per location * 5, H, W).
            score_factors: Centerness logits per level, (B, priors per location, H, W), or None. Scores are multiplied
                by the centerness after the top-k selection, as in MMDetection.
            batch_img_metas: Metadata of each image, with ``scale_factor``.
            cfg: Test settings; None uses the settings of the head. They are ``score_thr``, ``nms_pre``, the settings of
                :func:`postprocess_detections`, and ``clamp_centers`` (default False): whether to clamp the centers of
                decoded boxes to the image, as mmrotate does.
            rescale: Whether to scale the boxes to the original image.
            with_nms: Whether to apply NMS.
            priors: Priors per level, (B, N, 5); None uses the priors of the generator.

        Returns:
            ``bboxes`` (K, 5), ``scores`` (K,) and ``labels`` (K,) of each image. After NMS, they are in descending
            order of score.
        """
        cfg = self.test_cfg if cfg is None else cfg
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            if priors is None:
                priors = self.multi_level_priors([level.shape[-2:] for level in cls_scores], cls_scores[0].device)
            logits = flatten_levels([level.detach() for level in cls_scores], self.cls_out_channels)
            deltas = flatten_levels([level.detach() for level in bbox_preds], self.bbox_coder.encode_size)
            level_sizes = [level.shape[-2] for level in priors]
            candidates = best_candidates(logits.float().sigmoid_(), level_sizes, cfg.score_thr, cfg.nms_pre)
            if score_factors is not None:
                centerness = flatten_levels([level.detach() for level in score_factors], 1)[..., 0]
                scores = candidates.scores * candidates.gather(centerness).float().sigmoid()
                candidates = replace(candidates, scores=scores)
            all_priors = torch.cat(priors, -2)
            boxes = self.bbox_coder.decode(candidates.gather_priors(all_priors), candidates.gather(deltas))
            metas = batch_img_metas or []  # None is only MMDetection's default value; it always passes the metadata
            if cfg.get("clamp_centers", False):
                boxes = clamp_centers_to_image(boxes, candidates.image_index, metas)
            if rescale:
                boxes = rescale_to_original(boxes, candidates.image_index, metas)
            return postprocess_detections(boxes, candidates, len(metas), self.cls_out_channels, cfg, with_nms)


def flatten_levels(levels: list[Tensor], channels: int) -> Tensor:
    """Concatenate the feature maps of all levels, with one row per prior, in the order of the priors.

    Args:
        levels: Feature maps per level, (B, priors per location * channels, H, W).
        channels: Number of channels per prior.

    Returns:
        (B, A, channels).

    Example:
        >>> flatten_levels([torch.zeros(2, 10, 4, 4), torch.zeros(2, 10, 2, 2)], channels=5).shape
        torch.Size([2, 40, 5])
    """
    # With len() instead of shape[0], the batch size would be a constant in an exported graph.
    return torch.cat([level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, channels) for level in levels], 1)


def _prior_labels(gt_index: Tensor, gt_labels: Tensor, background: int) -> Tensor:
    """Return the class label of each prior (A,), or ``background`` for priors without an assigned box."""
    if not len(gt_labels):
        return torch.full_like(gt_index, background)
    return torch.where(gt_index >= 0, gt_labels[gt_index.clamp(min=0)], background)
