"""From the scores of a batch to its detections, all images at once: no loop over images or levels, and the device is
waited for a few times a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.ops import rotated_nms
from rotated_atss.ops.boxes import scale_obb


@dataclass(frozen=True)
class Candidates:
    """(N,) rows of a batch: by image, by level, falling scores within a level."""

    image_index: Tensor  # int64
    prior_index: Tensor  # int64, among those of all levels
    labels: Tensor  # int64
    scores: Tensor

    def take(self, rows: Tensor) -> Candidates:
        return Candidates(self.image_index[rows], self.prior_index[rows], self.labels[rows], self.scores[rows])

    def gather(self, values: Tensor) -> Tensor:
        """Rows of (B, A, ...)."""
        return values[self.image_index, self.prior_index]


def best_candidates(scores: Tensor, level_sizes: list[int], score_thr: float, nms_pre: int) -> Candidates:
    """The (prior, class) pairs above ``score_thr``, the best ``nms_pre`` of each level of each image (all if not above
    0). Equal scores keep the order of the priors.

    Args:
        scores: (B, A, C), level after level.
        level_sizes: Number of priors a level.
        score_thr: Lowest score, itself not included.
        nms_pre: Most pairs a level.
    """
    classes = scores.shape[2]
    place = torch.nonzero((scores > score_thr).flatten()).squeeze(1)  # half the time of three indices at once
    score, label, row = scores.flatten()[place], place % classes, place.div(classes, rounding_mode="floor")
    image, prior = row.div(scores.shape[1], rounding_mode="floor"), row % scores.shape[1]
    ends = torch.tensor(level_sizes, device=scores.device).cumsum(0)
    segment = image * len(level_sizes) + torch.searchsorted(ends, prior, right=True)
    by_score = score.argsort(descending=True, stable=True)
    order = by_score[segment[by_score].argsort(stable=True)]
    if nms_pre > 0:
        order = order[rank_in_run(segment[order]) < nms_pre]
    return Candidates(image, prior, label, score).take(order)


def rank_in_run(numbers: Tensor) -> Tensor:
    """(N,) how many equal ones stand before each of the sorted ``numbers``."""
    return torch.arange(len(numbers), device=numbers.device) - torch.searchsorted(numbers, numbers)


def original_size(boxes: Tensor, image: Tensor, metas: list[dict]) -> Tensor:
    """Boxes (N, 5) of the network's inputs as boxes of the images as they were read."""
    factors = [tuple(float(1 / scale) for scale in meta["scale_factor"]) for meta in metas]
    if len(set(factors)) == 1:
        return scale_obb(boxes, factors[0])
    scaled = boxes.clone()
    for number, factor in enumerate(factors):
        rows = torch.nonzero(image == number).squeeze(1)
        scaled[rows] = scale_obb(boxes[rows], factor).to(scaled)
    return scaled


def detections(
    boxes: Tensor, found: Candidates, images: int, classes: int, cfg: Any, with_nms: bool
) -> list[InstanceData]:
    """Boxes (K, 5), scores and labels of each image: large enough ones, NMS a class, the best ``max_per_img``; without
    NMS in the order given.

    Args:
        boxes: (N, 5) of the candidates.
        found: The candidates.
        images: B.
        classes: Number of classes.
        cfg: ``min_bbox_size``, ``nms.iou_threshold``, ``max_per_img``.
        with_nms: See above.
    """
    if cfg.get("min_bbox_size", 0) > 0:
        rows = torch.nonzero((boxes[:, 2:4] > cfg.min_bbox_size).all(1)).squeeze(1)
        boxes, found = boxes[rows], found.take(rows)
    if with_nms:
        # an image's class is a class of its own
        keep = rotated_nms(boxes, found.scores, found.image_index * classes + found.labels, cfg.nms.iou_threshold)
        keep = keep[found.image_index[keep].argsort(stable=True)]
        keep = keep[rank_in_run(found.image_index[keep]) < cfg.max_per_img]
        boxes, found = boxes[keep], found.take(keep)
    ends = torch.searchsorted(found.image_index, torch.arange(images, device=boxes.device), right=True).tolist()
    slices = [slice(start, stop) for start, stop in zip([0, *ends], ends)]
    return [InstanceData(bboxes=boxes[s], scores=found.scores[s], labels=found.labels[s]) for s in slices]
