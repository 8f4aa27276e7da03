"""What the dense heads of oriented boxes share: matching, gathering of positives, losses and decoding, over the plain
core.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.assign import BACKGROUND, IGNORE, Grid
from rotated_atss.detection.heads.postprocess import best_candidates, detections, original_size

GAUSSIAN = ("GD", "KLD", "GWD")


@dataclass(frozen=True)
class Positives:
    """The (image, prior) pairs of a batch that have an object, gathered once. On CUDA, where to count them would wait
    for the device, as many rows as there can be; those behind the last positive name the first prior and weigh 0.
    """

    image: Tensor  # (P,) int64
    prior: Tensor  # (P,) int64
    boxes: Tensor  # (P, 5) their objects
    weight: Tensor | None = None  # (P,) float32, 1 or 0; None where every row is a positive

    def of(self, values: Tensor) -> Tensor:
        """Rows of (B, A, ...) that belong to the positives."""
        return values[self.image, self.prior]

    def priors_of(self, priors: Tensor) -> Tensor:
        """(P, 5) of (A, 5) priors that all images share, or of (B, A, 5)."""
        return priors[self.prior] if priors.ndim == 2 else self.of(priors)


def gather_positives(gt_index: Tensor, objects: list[InstanceData], most: int | None = None) -> Positives:
    """Positives of (B, A) matches.

    Args:
        gt_index: The object of each prior in its image.
        objects: Of each image.
        most: How many positives there can be; None counts them.
    """
    counts = torch.tensor([0, *(len(gt.bboxes) for gt in objects[:-1])], device=gt_index.device)
    boxes = torch.cat([gt.bboxes for gt in objects])
    if most is None:
        image, prior = torch.nonzero(gt_index >= 0).unbind(1)
        return Positives(image, prior, boxes[gt_index[image, prior] + counts.cumsum(0)[image]])
    found = torch.nonzero_static(gt_index >= 0, size=min(most, gt_index.numel()), fill_value=-1)
    weight = (found[:, 0] >= 0).float()
    image, prior = found.clamp(min=0).unbind(1)
    owner = gt_index[image, prior].clamp(min=0) + counts.cumsum(0)[image]
    return Positives(image, prior, boxes[owner.clamp(max=len(boxes) - 1)], weight)


class OrientedDenseHead:
    """Mixin in front of one of MMDetection's anchor heads: what is positive is the assigner's business, how a box is
    written in deltas the coder's. Losses, decoding and NMS run in float32 whatever the network's precision.
    """

    average_over_processes = False  # of the number of positives that losses are divided by

    def check_parts(self) -> None:
        """Refuse losses and coders that do not fit together.

        Raises:
            ValueError: With the reason and the change that mends it.
        """
        if not self.use_sigmoid_cls:  # read from the config, whatever the loss defaults to
            raise ValueError("the head's classes are sigmoids: set use_sigmoid=True in loss_cls")
        check_loss_fits(self.loss_bbox, self.reg_decoded_bbox)

    def multi_level_priors(self, featmap_sizes: list[torch.Size], device: torch.device) -> list[Tensor]:
        """Priors of each level, (H * W * priors a location, 5), float32."""
        return self.prior_generator.grid_priors(featmap_sizes, dtype=torch.float32, device=device)

    def assign_batch(
        self,
        priors: list[Tensor],
        featmap_sizes: list[torch.Size],
        objects: list[InstanceData],
        metas: list[dict],
        ignored: list[InstanceData] | None,
    ) -> Tensor:
        """(B, A) matches for levels of priors (N, 5), or (B, N, 5) where every image has its own; priors beyond an
        image's own padding count as ignored.
        """
        regions = [None if gt is None or not len(gt) else gt.bboxes for gt in ignored or [None] * len(objects)]
        return self.assigner.assign_batch(
            torch.cat(priors, -2),
            [level.shape[-2] for level in priors],
            [gt.bboxes for gt in objects],
            regions,
            grids=prior_grids(self.prior_generator, featmap_sizes),
            valid_hw=[valid_hw(self.prior_generator, featmap_sizes, meta["pad_shape"]) for meta in metas],
            on_grids=priors[0].ndim == 2,
        )

    def positives(self, gt_index: Tensor, objects: list[InstanceData]) -> Positives:
        """Of (B, A) matches, gathered without waiting for the device where the assigner knows how many there can be."""
        most = getattr(self.assigner, "max_num_pos", None)
        if gt_index.device.type == "cpu" or most is None:
            return gather_positives(gt_index, objects)
        number = sum(len(gt.bboxes) for gt in objects)
        return gather_positives(
            gt_index, objects, most(number, self.prior_generator.num_levels, self.prior_generator.num_base_priors[0])
        )

    def classification_loss(
        self, logits: Tensor, gt_index: Tensor, objects: list[InstanceData]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The classes' loss of (B, A, C) logits, the number that averages it, and the positives of each image (B,)."""
        number = (gt_index >= 0).sum(1)
        # an image without positives still counts one: so did the published runs
        avg_factor = number.clamp(min=1).sum()
        if self.average_over_processes:
            avg_factor = reduce_mean(avg_factor.float())
        labels = torch.stack([_labels(each, gt.labels, self.num_classes) for each, gt in zip(gt_index, objects)])
        weight = (gt_index != IGNORE).to(logits.dtype if logits.dtype == torch.float64 else torch.float32)
        loss = self.loss_cls(logits.flatten(0, 1), labels.flatten(), weight.flatten(), avg_factor=avg_factor)
        return loss, avg_factor, number

    def box_loss(
        self, priors: Tensor, deltas: Tensor, boxes: Tensor, weight: Tensor | None, avg_factor: Tensor
    ) -> Tensor:
        """The box loss of positives: (P, 5) priors, deltas and objects, (P,) weights."""
        deltas = deltas if deltas.dtype == torch.float64 else deltas.float()
        weight = torch.ones_like(deltas) if weight is None else weight[:, None].expand_as(deltas)
        compares = loss_target(self.loss_bbox)
        if compares == "both":
            coded = (deltas, self.bbox_coder.encode(priors, boxes))
            return self.loss_bbox(*coded, weight, avg_factor, self.bbox_coder.decode(priors, deltas), boxes)
        if compares == "boxes":
            return self.loss_bbox(self.bbox_coder.decode(priors, deltas), boxes, weight, avg_factor=avg_factor)
        return self.loss_bbox(deltas, self.bbox_coder.encode(priors, boxes), weight, avg_factor=avg_factor)

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
        """Boxes (K, 5), scores and labels of each image, best first: top-k a level, decode, NMS a class, top-k an
        image. ``score_factors`` (logits of centerness) scale the scores after the top-k, as MMDetection does;
        ``priors`` (levels of (B, N, 5)) replace those of the generator.
        """
        cfg = self.test_cfg if cfg is None else cfg
        with torch.autocast(cls_scores[0].device.type, enabled=False):
            if priors is None:
                priors = self.multi_level_priors([level.shape[-2:] for level in cls_scores], cls_scores[0].device)
            logits, deltas = (
                flatten_levels([level.detach() for level in levels], channels)
                for levels, channels in (
                    (cls_scores, self.cls_out_channels),
                    (bbox_preds, self.bbox_coder.encode_size),
                )
            )
            sizes = [level.shape[-2] for level in priors]
            found = best_candidates(logits.float().sigmoid_(), sizes, cfg.score_thr, cfg.nms_pre)
            if score_factors is not None:
                factor = flatten_levels([level.detach() for level in score_factors], 1)[..., 0]
                found = replace(found, scores=found.scores * found.gather(factor).float().sigmoid())
            priors = torch.cat(priors, -2)
            chosen = priors[found.prior_index] if priors.ndim == 2 else found.gather(priors)
            boxes = self.bbox_coder.decode(chosen, found.gather(deltas))
            metas = batch_img_metas or []
            if rescale:
                boxes = original_size(boxes, found.image_index, metas)
            return detections(boxes, found, len(metas), self.cls_out_channels, cfg, with_nms)


def prior_grids(generator: Any, featmap_sizes: list[torch.Size]) -> list[Grid]:
    """The levels of a generator of MMDetection's as grids; the first anchor of the first location, where there are
    anchors, tells its centre.
    """
    firsts = getattr(generator, "base_anchors", None) or [torch.zeros(1, 4)] * len(featmap_sizes)
    middles = [((each[0, :2] + each[0, 2:]) / 2).tolist() for each in firsts]
    return [
        Grid(height, width, stride, *middle)
        for (height, width), (stride, _), middle in zip(featmap_sizes, generator.strides, middles)
    ]


def valid_hw(generator: Any, featmap_sizes: list[torch.Size], pad_shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Rows and columns of each level that lie on an image with its own padding, as MMDetection's valid flags."""
    image_height, image_width = pad_shape[:2]
    return [
        (min(-(-image_height // down), height), min(-(-image_width // across), width))
        for (height, width), (across, down) in zip(featmap_sizes, generator.strides)
    ]


def loss_target(loss: torch.nn.Module) -> str:
    """``deltas``, ``boxes`` or ``both``: what a box loss is given."""
    compares = getattr(loss, "compares", None)
    if compares is not None:
        return compares
    name = type(loss).__name__
    return "boxes" if "IoU" in name or any(part in name for part in GAUSSIAN) else "deltas"


def check_loss_fits(loss_bbox: torch.nn.Module, decoded: bool) -> None:
    """Refuse a box loss that does not fit ``reg_decoded_bbox``."""
    name, compares = type(loss_bbox).__name__, loss_target(loss_bbox)
    if compares == "boxes" and not decoded:
        raise ValueError(
            f"{name} compares boxes, but the head regresses deltas: set reg_decoded_bbox=True, or use L1Loss"
        )
    if decoded and compares != "boxes":
        raise ValueError(
            f"{name} compares deltas, but reg_decoded_bbox=True gives it boxes: set it to False, or use RotatedIoULoss"
        )


def flatten_levels(levels: list[Tensor], channels: int) -> Tensor:
    """Levels (B, priors x channels, H, W) to (B, A, channels), in the order of the priors."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(len(level), -1, channels) for level in levels], 1)


def _labels(gt_index: Tensor, classes: Tensor, background: int) -> Tensor:
    """(A,) class of each prior, ``background`` where it has no object."""
    if not len(classes):
        return torch.full_like(gt_index, background)
    return torch.where(gt_index > BACKGROUND, classes[gt_index.clamp(min=0)], background)
