"""Selection of the detections of a batch: candidates before NMS, then class-wise NMS.

All images and levels are handled at once, without loops.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rotated_atss.ops.nms import rotated_nms


@dataclass(frozen=True)
class PriorPairs:
    """(image, prior) pairs of a batch of B images with A priors each."""

    image_index: Tensor  # (P,) int64
    prior_index: Tensor  # (P,) int64, over all levels

    def gather(self, values: Tensor) -> Tensor:
        """Select the rows of (B, A, ...) values that belong to the pairs."""
        return values[self.image_index, self.prior_index]

    def gather_priors(self, priors: Tensor) -> Tensor:
        """Select the priors of the pairs, (P, 5), from one set for all images, (A, 5), or one per image, (B, A, 5)."""
        return priors[self.prior_index] if priors.ndim == 2 else self.gather(priors)


@dataclass(frozen=True)
class Candidates(PriorPairs):
    """Scored (prior, class) pairs of a batch, sorted by image, level and descending score."""

    labels: Tensor  # (P,) int64
    scores: Tensor  # (P,)

    def take(self, rows: Tensor) -> Candidates:
        """Select candidates by index."""
        return Candidates(self.image_index[rows], self.prior_index[rows], self.labels[rows], self.scores[rows])


def best_candidates(
    scores: Tensor, level_sizes: list[int], score_thr: float, nms_pre: int, ranking: Tensor | None = None
) -> Candidates:
    """Select the highest-scoring (prior, class) pairs of each level of each image.

    Args:
        scores: (B, A, C) of B images, A priors and C classes. The priors are sorted by level.
        level_sizes: Number of priors per level.
        score_thr: Pairs need a score above this value.
        nms_pre: Maximum number of pairs kept per level and image. 0 or a negative value keeps all pairs.
        ranking: (B, A, C) scores that rank the pairs above the threshold. None ranks them by ``scores``.

    Returns:
        The candidates, with the scores by which they were ranked. Candidates with equal scores keep the order of the
        priors.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.candidates import best_candidates
        >>> scores = torch.tensor([[[0.9, 0.1], [0.3, 0.8], [0.6, 0.0]]])  # 1 image, 3 priors, 2 classes
        >>> candidates = best_candidates(scores, level_sizes=[2, 1], score_thr=0.2, nms_pre=2)
        >>> candidates.prior_index.tolist(), candidates.labels.tolist()
        ([0, 1, 2], [0, 1, 0])
    """
    num_classes = scores.shape[2]
    # nonzero is twice as fast on the flattened mask as on the (B, A, C) mask
    flat_index = torch.nonzero((scores > score_thr).flatten()).squeeze(1)
    rank_score = (scores if ranking is None else ranking).flatten()[flat_index]
    label = flat_index % num_classes
    row = flat_index.div(num_classes, rounding_mode="floor")  # row index of the scores viewed as (B * A, C)
    num_priors = scores.shape[1]
    image_index, prior_index = row.div(num_priors, rounding_mode="floor"), row % num_priors
    level_ends = torch.tensor(level_sizes, device=scores.device).cumsum(0)
    level = torch.searchsorted(level_ends, prior_index, right=True)
    group = image_index * len(level_sizes) + level  # one group per image and level
    by_score = rank_score.argsort(descending=True, stable=True)
    order = by_score[group[by_score].argsort(stable=True)]  # by group, then by descending score
    if nms_pre > 0:
        order = order[rank_within_groups(group[order]) < nms_pre]
    return Candidates(image_index, prior_index, label, rank_score).take(order)


def rank_within_groups(group: Tensor) -> Tensor:
    """Number the elements of each group from 0.

    Args:
        group: (N,) sorted group numbers.

    Returns:
        (N,) int64.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.candidates import rank_within_groups
        >>> rank_within_groups(torch.tensor([0, 0, 3, 3, 3, 7])).tolist()
        [0, 1, 0, 1, 2, 0]
    """
    first_of_group = torch.searchsorted(group, group)  # (N,)
    return torch.arange(len(group), device=group.device) - first_of_group


def suppress_candidates(
    boxes: Tensor, candidates: Candidates, num_classes: int, iou_threshold: float, max_per_image: int
) -> Tensor:
    """Apply class-wise NMS to the candidates of each image, in one call for the batch.

    Args:
        boxes: (N, 5) boxes of the candidates.
        candidates: Candidates of all images; ``prior_index`` is not used.
        num_classes: Number of classes.
        iou_threshold: Boxes whose IoU with a higher-scoring kept box exceeds this value are suppressed.
        max_per_image: Maximum number of detections kept per image.

    Returns:
        (K,) int64 indices of the kept candidates, sorted by image and descending score.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.candidates import Candidates, suppress_candidates
        >>> boxes = torch.tensor([[10.0, 10.0, 8.0, 4.0, 0.0]]).repeat(2, 1)
        >>> image_index, labels, scores = torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor([0.5, 0.75])
        >>> candidates = Candidates(image_index, torch.tensor([3, 7]), labels, scores)
        >>> suppress_candidates(boxes, candidates, num_classes=2, iou_threshold=0.1, max_per_image=100)
        tensor([1])
    """
    # a different label per image and class, so that one NMS call serves the batch
    offset_labels = candidates.image_index * num_classes + candidates.labels
    keep = rotated_nms(boxes, candidates.scores, offset_labels, iou_threshold)
    # rotated_nms sorts by descending score over all images, and a stable sort by image keeps this order per image
    keep = keep[candidates.image_index[keep].argsort(stable=True)]
    return keep[rank_within_groups(candidates.image_index[keep]) < max_per_image]


def image_slices(image_index: Tensor, num_images: int) -> list[slice]:
    """Return the slice of elements that belong to each image.

    Args:
        image_index: (N,) sorted image indices.
        num_images: Number of images.

    Returns:
        One slice of ``image_index`` per image.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.candidates import image_slices
        >>> image_slices(torch.tensor([0, 0, 2]), 3)
        [slice(0, 2, None), slice(2, 2, None), slice(2, 3, None)]
    """
    images = torch.arange(num_images, device=image_index.device)
    ends = torch.searchsorted(image_index, images, right=True).tolist()
    return [slice(start, stop) for start, stop in zip([0, *ends], ends)]
