"""Positives by IoU thresholds, as RetinaNet (Lin et al., arXiv 1708.02002, section 4) and Faster R-CNN have them.

The IoU of a pair is computed only where the circumscribed boxes meet, and nothing of size priors x objects is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rotated_atss.assign.box_forms import aligned_iou, detach_and_upcast
from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs
from rotated_atss.assign.resolution import BACKGROUND, IGNORE, ignored_priors, mark_ignored, valid_gt_mask
from rotated_atss.assign.validation import check_forms, check_thresholds


def max_iou_assign(
    priors: Tensor,
    gt_boxes: Tensor,
    *,
    pos_iou: float = 0.5,
    neg_iou: float = 0.4,
    min_pos_iou: float = 0.0,
    match_low_quality: bool = True,
    gt_max_assign_all: bool = True,
    gt_boxes_ignore: Tensor | None = None,
    ignore_iof_threshold: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Choose the object, if any, that each prior learns.

    A prior learns the object it overlaps most (the lowest index among equals) if their IoU reaches ``pos_iou``; below
    ``neg_iou`` it is background, between the two it is left out.

    Args:
        priors: (A, 5) ``cx, cy, w, h, angle``, pixels and radians, or (A, 4) ``x1, y1, x2, y2``; levels do not matter.
        gt_boxes: (G, 5) objects, or (G, 4) as the priors. Those without area or with numbers that are not finite get
            no prior (one warning says how many).
        pos_iou: See above; in (0, 1].
        neg_iou: See above; in (0, pos_iou].
        min_pos_iou: Smallest best IoU with which an object takes priors by ``match_low_quality``.
        match_low_quality: Every object also takes the priors that overlap it most, whatever the thresholds say and
            whomever they had (of several such objects the highest index). An object that overlaps no prior takes
            none: the reference of ``min_pos_iou=0`` would hand it every prior that it does not touch.
        gt_max_assign_all: Take all priors of equal best IoU, not only that of the lowest index.
        gt_boxes_ignore: (I, 5) or (I, 4) regions to ignore. A prior of which more than ``ignore_iof_threshold`` lies in
            one of them is neither positive nor negative.
        ignore_iof_threshold: See ``gt_boxes_ignore``; negative ignores nothing.

    Returns:
        ``gt_index`` (A,) int64, the index of each prior's object, :data:`BACKGROUND` (-1) or :data:`IGNORE` (-2), and
        ``iou`` (A,), the IoU with it, 0 where none.

    Raises:
        ValueError: Shapes or thresholds that do not fit together.
    """
    check_forms(priors, gt_boxes=gt_boxes, gt_boxes_ignore=gt_boxes_ignore)
    check_thresholds(pos_iou, neg_iou, min_pos_iou)
    priors, gt_boxes = detach_and_upcast(priors, gt_boxes)
    ignored = ignored_priors(priors, gt_boxes_ignore, ignore_iof_threshold)
    valid_gt_mask(gt_boxes)  # for its warning: they overlap nothing
    best = _Best(priors)
    for prior, object_ in overlapping_box_pairs(priors, gt_boxes):
        if ignored is not None:
            kept = ~ignored[prior]
            prior, object_ = prior[kept], object_[kept]
        overlap = aligned_iou(gt_boxes[object_], priors[prior])
        best.take_positives(prior, object_, overlap)
        if match_low_quality:
            best.take_low_quality(prior, object_, overlap, min_pos_iou, gt_max_assign_all)
    gt_index, iou = best.outcome(pos_iou, neg_iou)
    return mark_ignored(gt_index, ignored), iou


class _Best:
    """What the pairs seen so far make of every prior. They come object after object, all pairs of one at once."""

    def __init__(self, priors: Tensor) -> None:
        self.iou = priors.new_zeros(len(priors))  # best with any object
        self.owner = torch.full_like(self.iou, BACKGROUND, dtype=torch.int64)  # that object
        self.low_iou = torch.zeros_like(self.iou)  # with the object that took it as the best it has
        self.low_owner = torch.full_like(self.owner, BACKGROUND)

    def take_positives(self, prior: Tensor, object_: Tensor, overlap: Tensor) -> None:
        before = self.iou[prior]
        self.iou.scatter_reduce_(0, prior, overlap, "amax")
        better = torch.nonzero((overlap > before) & (overlap == self.iou[prior])).squeeze(1)
        self.owner[prior[better]] = torch.iinfo(torch.int64).max
        self.owner.scatter_reduce_(0, prior[better], object_[better], "amin")

    def take_low_quality(
        self, prior: Tensor, object_: Tensor, overlap: Tensor, min_pos_iou: float, all_equal: bool
    ) -> None:
        if not len(object_):
            return
        first = int(object_[0])
        local = object_ - first
        highest = overlap.new_zeros(int(local[-1]) + 1).scatter_reduce_(0, local, overlap, "amax")
        best = torch.nonzero((overlap == highest[local]) & (overlap > 0) & (overlap >= min_pos_iou)).squeeze(1)
        if not all_equal:
            lowest = torch.full_like(highest, len(self.iou), dtype=torch.int64)
            lowest.scatter_reduce_(0, local[best], prior[best], "amin")
            best = best[prior[best] == lowest[local[best]]]
        self.low_owner.scatter_reduce_(0, prior[best], object_[best], "amax")
        last = best[self.low_owner[prior[best]] == object_[best]]
        self.low_iou[prior[last]] = overlap[last]

    def outcome(self, pos_iou: float, neg_iou: float) -> tuple[Tensor, Tensor]:
        low = self.low_owner >= 0
        between = torch.where(self.iou >= neg_iou, IGNORE, BACKGROUND)
        gt_index = torch.where(low, self.low_owner, torch.where(self.iou >= pos_iou, self.owner, between))
        iou = torch.where(low, self.low_iou, self.iou)
        return gt_index, torch.where(gt_index >= 0, iou, 0)
