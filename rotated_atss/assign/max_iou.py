"""Assign ground-truth boxes to priors by IoU thresholds.

RetinaNet (Lin et al., arXiv 1708.02002, section 4) and Faster R-CNN use this assignment. IoUs are computed only for
pairs whose circumscribed horizontal boxes overlap. No (priors x boxes) tensor is built.

Several priors can have the same, highest IoU with a box, for example all priors that contain a tiny box, or several
priors along an elongated box. Rounding makes these equal IoUs differ by amounts that depend on dtype and device.
Therefore, IoUs within :data:`TIE_TOLERANCE` of the highest IoU count as equal to the highest IoU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rotated_atss.assign.box_formats import aligned_iou, centers, points_in_boxes
from rotated_atss.assign.conflicts import BACKGROUND, IGNORE
from rotated_atss.assign.ignore_mask import apply_ignore_mask
from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs
from rotated_atss.assign.validation import check_thresholds, prepare_boxes, valid_gt_mask
from rotated_atss.ops.single_thread import single_threaded

# Relative tolerance, 10 times the rounding error of float32 IoUs of boxes with an aspect ratio of 100.
TIE_TOLERANCE = 1e-4
LOW_QUALITY_RULES = ("last_match", "highest_iou")


@single_threaded
def max_iou_assign(
    priors: Tensor,
    gt_boxes: Tensor,
    *,
    pos_iou: float = 0.5,
    neg_iou: float = 0.4,
    min_pos_iou: float = 0.0,
    match_low_quality: bool = True,
    gt_max_assign_all: bool = True,
    low_quality_rule: str = "last_match",
    gt_boxes_ignore: Tensor | None = None,
    ignore_iof_threshold: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Assign ground-truth boxes to priors by IoU thresholds.

    The highest IoU of a prior with any box determines the assignment:

    - At least ``pos_iou``: the prior is assigned to the box with this IoU. If there are several, the one with the
      lowest index gets the prior.
    - Below ``neg_iou``: the prior is background.
    - Between the thresholds: the prior is ignored.

    Low-quality matches (``match_low_quality``) take precedence over these rules.

    Args:
        priors: (A, 5) ``cx, cy, w, h, angle`` in pixels and radians, or (A, 4) ``x1, y1, x2, y2`` in pixels.
        gt_boxes: (G, 5) or (G, 4), in the format of the priors. Zero-area boxes and boxes with non-finite values are
            assigned to no prior; on the CPU, a warning reports their number.
        pos_iou: Lower threshold of positives, in (0, 1].
        neg_iou: Upper threshold of negatives, in (0, ``pos_iou``].
        min_pos_iou: Minimum IoU of a low-quality match.
        match_low_quality: Also match each box with the prior that has the highest IoU with this box (low-quality
            match). The matched prior is positive regardless of ``pos_iou`` and ``neg_iou``. Unlike in MMDetection, a
            box that overlaps no prior has no match, even if ``min_pos_iou`` is 0.
        gt_max_assign_all: If several priors have the highest IoU with a box, within :data:`TIE_TOLERANCE`, match the
            box with all of these priors instead of only with the prior that has the lowest index.
        low_quality_rule: Which box gets the prior of a low-quality match. With ``last_match``, it is the matched box;
            if several boxes are matched with the prior, the last of them, which has the highest index. MMDetection's
            ``MaxIoUAssigner`` has this rule. With ``highest_iou``, it is the box that has the highest IoU with the
            prior, even if the prior was matched with another box. ``Matcher`` of maskrcnn-benchmark, Detectron2,
            torchvision and the official code of ATSS has this rule.
        gt_boxes_ignore: (I, 5) or (I, 4) ignored boxes. A prior with more than ``ignore_iof_threshold`` of its area in
            an ignored box is neither positive nor negative.
        ignore_iof_threshold: Threshold in [0, 1] for ``gt_boxes_ignore``. With a negative value, ``gt_boxes_ignore``
            has no effect.

    Returns:
        ``gt_index`` (A,) int64: per prior, the index of the assigned ground-truth box, or :data:`BACKGROUND` (-1), or
        :data:`IGNORE` (-2). ``iou`` (A,): the IoU of the prior with the assigned box, 0 for priors without a box.

    Raises:
        TypeError: Boxes are not tensors.
        ValueError: Shapes do not match, or a threshold or rule is invalid.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import max_iou_assign
        >>> priors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 20], [0, 0, 10, 23], [50, 0, 60, 10]])
        >>> gt_index, iou = max_iou_assign(priors, torch.tensor([[0.0, 0, 10, 10]]))
        >>> gt_index
        tensor([ 0,  0, -2, -1])
    """
    check_thresholds(pos_iou, neg_iou, min_pos_iou)
    check_low_quality_rule(low_quality_rule)
    priors, gt_boxes, ignore_mask = prepare_boxes(priors, gt_boxes, gt_boxes_ignore, ignore_iof_threshold)
    # This call only warns of invalid boxes. The mask that it returns is not needed, because invalid boxes overlap
    # nothing.
    valid_gt_mask(gt_boxes)
    matches = _Matches(priors)
    for pair_priors, pair_gts in overlapping_box_pairs(priors, gt_boxes):
        if ignore_mask is not None:  # ignored priors must not be the match of a box
            not_ignored = ~ignore_mask[pair_priors]
            pair_priors, pair_gts = pair_priors[not_ignored], pair_gts[not_ignored]
        pair_ious = aligned_iou(gt_boxes[pair_gts], priors[pair_priors])
        matches.update_highest_iou(pair_priors, pair_gts, pair_ious)
        if match_low_quality:
            matches.update_low_quality(pair_priors, pair_gts, pair_ious, min_pos_iou, gt_max_assign_all)
    gt_index, iou = matches.assign(pos_iou, neg_iou, low_quality_rule)
    return apply_ignore_mask(gt_index, ignore_mask), iou


def check_low_quality_rule(low_quality_rule: str) -> None:
    """Raise ``ValueError`` unless the rule is one of :data:`LOW_QUALITY_RULES`.

    Example:
        >>> from rotated_atss.assign.max_iou import check_low_quality_rule
        >>> check_low_quality_rule("best")
        Traceback (most recent call last):
        ValueError: low_quality_rule must be one of last_match, highest_iou, got 'best'
    """
    if low_quality_rule not in LOW_QUALITY_RULES:
        raise ValueError(f"low_quality_rule must be one of {', '.join(LOW_QUALITY_RULES)}, got {low_quality_rule!r}")


class _Matches:
    """Per prior, the ground-truth box with the highest IoU and the box of the last low-quality match.

    The update methods process (prior, box) pairs in chunks, in ascending order of the box index. A chunk contains all
    pairs of its ground-truth boxes, because low-quality matches need the highest IoU of each box.
    """

    def __init__(self, priors: Tensor) -> None:
        # All tensors have shape (A,). Without a box or a low-quality match, a prior has BACKGROUND and IoU 0.
        self.iou = priors.new_zeros(len(priors))
        self.gt_index = torch.full_like(self.iou, BACKGROUND, dtype=torch.int64)
        self.low_quality_iou = torch.zeros_like(self.iou)
        self.low_quality_gt_index = torch.full_like(self.gt_index, BACKGROUND)

    def update_highest_iou(self, prior_index: Tensor, gt_index: Tensor, iou: Tensor) -> None:
        """Update the box with the highest IoU of each prior. If several boxes have it, the lowest index wins."""
        previous_iou = self.iou[prior_index]
        self.iou.scatter_reduce_(0, prior_index, iou, "amax")
        # If a box of an earlier chunk has the same IoU, it keeps the prior, because its index is lower: ">", not ">=".
        is_new_best = (iou > previous_iou) & (iou == self.iou[prior_index])
        new_best_pairs = torch.nonzero(is_new_best).squeeze(1)
        improved_priors = prior_index[new_best_pairs]
        # Of several boxes of this chunk, amin selects the lowest index. The maximum makes it ignore the previous box.
        self.gt_index[improved_priors] = torch.iinfo(torch.int64).max
        self.gt_index.scatter_reduce_(0, improved_priors, gt_index[new_best_pairs], "amin")

    def update_low_quality(
        self, prior_index: Tensor, gt_index: Tensor, iou: Tensor, min_pos_iou: float, gt_max_assign_all: bool
    ) -> None:
        """Match each box with the prior or priors of its highest IoU.

        If a prior is matched with several boxes, the box with the highest index replaces the others.
        """
        if not len(gt_index):
            return
        # The arguments have one entry per pair. Pairs are sorted by box, so the boxes of a chunk can be counted from 0.
        box = gt_index - int(gt_index[0])
        highest_iou_of_box = iou.new_zeros(int(box[-1]) + 1).scatter_reduce_(0, box, iou, "amax")
        highest_iou_of_pair = highest_iou_of_box[box]
        is_highest = (iou >= highest_iou_of_pair * (1 - TIE_TOLERANCE)) & (iou > 0)
        matched = torch.nonzero(is_highest & (highest_iou_of_pair >= min_pos_iou)).squeeze(1)  # indices of pairs
        box, prior_index, gt_index, iou = box[matched], prior_index[matched], gt_index[matched], iou[matched]
        if not gt_max_assign_all:
            lowest_prior_of_box = torch.full_like(highest_iou_of_box, len(self.iou), dtype=torch.int64)
            lowest_prior_of_box.scatter_reduce_(0, box, prior_index, "amin")
            has_lowest_prior = prior_index == lowest_prior_of_box[box]
            prior_index, gt_index, iou = (values[has_lowest_prior] for values in (prior_index, gt_index, iou))
        self.low_quality_gt_index.scatter_reduce_(0, prior_index, gt_index, "amax")
        # The IoU must come from the pair whose box has just been stored for the prior.
        is_stored = self.low_quality_gt_index[prior_index] == gt_index
        self.low_quality_iou[prior_index[is_stored]] = iou[is_stored]

    def assign(self, pos_iou: float, neg_iou: float, low_quality_rule: str) -> tuple[Tensor, Tensor]:
        """Apply the thresholds, then the low-quality matches, and return ``gt_index`` (A,) and ``iou`` (A,)."""
        is_low_quality = self.low_quality_gt_index >= 0
        if low_quality_rule == "last_match":
            low_quality_gt_index, low_quality_iou = self.low_quality_gt_index, self.low_quality_iou
        else:  # highest_iou
            low_quality_gt_index, low_quality_iou = self.gt_index, self.iou
        ignore_or_background = torch.where(self.iou >= neg_iou, IGNORE, BACKGROUND)
        gt_index = torch.where(self.iou >= pos_iou, self.gt_index, ignore_or_background)
        gt_index = torch.where(is_low_quality, low_quality_gt_index, gt_index)
        iou = torch.where(is_low_quality, low_quality_iou, self.iou)
        return gt_index, torch.where(gt_index >= 0, iou, 0)


def ignore_outside_gt(priors: Tensor, gt_boxes: Tensor, gt_index: Tensor, iou: Tensor) -> tuple[Tensor, Tensor]:
    """Set positives whose center lies outside their ground-truth box to :data:`IGNORE`.

    The centers of all positives are then inside their boxes, as with ATSS (Zhang et al., arXiv 1912.02424, section 3).
    In its mode that assigns by IoU thresholds, the official code of ATSS does the same.

    Args:
        priors: (A, 5) or (A, 4).
        gt_boxes: (G, 5) or (G, 4).
        gt_index: (A,) int64, the box of each prior, as :func:`max_iou_assign` returns it.
        iou: (A,) IoU of each prior with its box.

    Returns:
        Changed copies of ``gt_index`` (A,) and ``iou`` (A,). The IoU of the ignored priors is 0.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import ignore_outside_gt
        >>> priors, gt_boxes = torch.tensor([[0.0, 0, 10, 10], [6, 0, 16, 10]]), torch.tensor([[0.0, 0, 10, 10]])
        >>> ignore_outside_gt(priors, gt_boxes, torch.tensor([0, 0]), torch.tensor([1.0, 0.25]))
        (tensor([ 0, -2]), tensor([1., 0.]))
    """
    positive = torch.nonzero(gt_index >= 0).squeeze(1)
    outside = positive[~points_in_boxes(centers(priors[positive]), gt_boxes[gt_index[positive]])]
    return gt_index.index_fill(0, outside, IGNORE), iou.index_fill(0, outside, 0)
