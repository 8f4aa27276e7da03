"""Assign ground-truth boxes by the spatial and scale constraints (SSC) of FCOS.

The ATSS paper (arXiv 1912.02424) compares ATSS with this assignment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from rotated_atss.assign.box_formats import (
    aligned_iou,
    box_wh,
    centers,
    points_in_boxes,
    side_distances,
    to_hbb,
)
from rotated_atss.assign.candidate_selection import nearest_priors
from rotated_atss.assign.conflicts import resolve_conflicts
from rotated_atss.assign.ignore_mask import apply_ignore_mask
from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs
from rotated_atss.assign.validation import (
    check_at_least_one,
    check_level_sizes,
    check_regress_limits,
    prepare_boxes,
    valid_gt_mask,
)
from rotated_atss.ops.single_thread import single_threaded

REGRESS_LIMITS_PX = (64.0, 128.0, 256.0, 512.0)  # FCOS (Tian et al., arXiv 1904.01355, section 3.2)


@single_threaded
def ssc_assign(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    *,
    regress_limits: Sequence[float] = REGRESS_LIMITS_PX,
    gt_boxes_ignore: Tensor | None = None,
    ignore_iof_threshold: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Assign ground-truth boxes to priors by the spatial and scale constraints of FCOS.

    A prior is positive for a box under two conditions:

    - spatial constraint: the center of the prior lies in the box;
    - scale constraint: the distances from this center to the four sides of the box are measured along the box axes, and
      the largest of them is in the regression range of the prior's level.

    If a prior is positive for several boxes, it is assigned to the box with the smallest area. Of several boxes with
    the same area, the one with the lowest index gets the prior.

    Args:
        priors: (A, 5) ``cx, cy, w, h, angle`` in pixels and radians, or (A, 4) ``x1, y1, x2, y2`` in pixels. All
            priors of the first level come first, then those of the next level.
        level_sizes: Number of priors per level; their sum is A.
        gt_boxes: (G, 5) or (G, 4), in the format of the priors.
        regress_limits: Limits in pixels between the regression ranges of consecutive levels, in increasing order. There
            is one limit fewer than levels. ``(64, 128)`` corresponds to the ``regress_ranges`` ``((-1, 64), (64, 128),
            (128, INF))`` of MMDetection's FCOS. A distance equal to a limit belongs to both ranges.
        gt_boxes_ignore: (I, 5) or (I, 4) ignored boxes, as for :func:`rotated_atss.assign.atss_assign`.
        ignore_iof_threshold: Threshold in [0, 1] for ``gt_boxes_ignore``. With a negative value, ``gt_boxes_ignore``
            has no effect.

    Returns:
        ``gt_index`` (A,) and ``iou`` (A,) as :func:`rotated_atss.assign.atss_assign`.

    Raises:
        TypeError: Boxes are not tensors.
        ValueError: Shapes or sizes do not match, or ``regress_limits`` is invalid.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import ssc_assign
        >>> priors = torch.tensor([[8.0, 8, 32, 32, 0], [24, 8, 32, 32, 0], [16, 16, 64, 64, 0]])
        >>> ssc_assign(priors, [2, 1], torch.tensor([[10.0, 10, 24, 12, 0]]), regress_limits=[16])[0]
        tensor([ 0, -1, -1])
    """
    priors, gt_boxes, ignore_mask = prepare_boxes(priors, gt_boxes, gt_boxes_ignore, ignore_iof_threshold)
    regress_ranges = _regress_ranges(priors, level_sizes, regress_limits)
    valid_gt = valid_gt_mask(gt_boxes)
    prior_centers = centers(priors)
    centers_as_hbbs = torch.cat((prior_centers, prior_centers), 1)  # zero-area boxes x1 = x2, y1 = y2
    pairs = overlapping_box_pairs(centers_as_hbbs, to_hbb(gt_boxes))
    return _assign_to_smallest_gt(priors, gt_boxes, valid_gt, ignore_mask, pairs, regress_ranges)


@single_threaded
def center_sampling_assign(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    *,
    topk: int = 9,
    priors_per_location: int = 1,
    regress_limits: Sequence[float] = REGRESS_LIMITS_PX,
    gt_boxes_ignore: Tensor | None = None,
    ignore_iof_threshold: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Assign ground-truth boxes like :func:`ssc_assign`, but only to their ``topk`` nearest locations per level.

    This is the lite variant of ATSS, which section 4.2 of the paper calls center sampling. It differs from the center
    sampling of FCOS, which selects all locations within a radius of some strides.

    Args:
        priors: (A, 5) or (A, 4), level after level.
        level_sizes: Number of priors per level; their sum is A.
        gt_boxes: (G, 5) or (G, 4).
        topk: Candidate locations per level.
        priors_per_location: Number of priors at a location; a level has ``topk * priors_per_location`` candidates.
        regress_limits: As for :func:`ssc_assign`.
        gt_boxes_ignore: As for :func:`ssc_assign`.
        ignore_iof_threshold: As for :func:`ssc_assign`.

    Returns:
        ``gt_index`` (A,) and ``iou`` (A,) as :func:`rotated_atss.assign.atss_assign`.

    Raises:
        TypeError: Boxes are not tensors.
        ValueError: Shapes or sizes do not match, or ``regress_limits`` is invalid.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import center_sampling_assign
        >>> priors = torch.tensor([[8.0, 8, 32, 32, 0], [24, 8, 32, 32, 0], [16, 16, 64, 64, 0]])
        >>> gt_boxes = torch.tensor([[14.0, 8, 24, 12, 0]])
        >>> center_sampling_assign(priors, [2, 1], gt_boxes, topk=1, regress_limits=[20])[0]
        tensor([ 0, -1, -1])
    """
    priors, gt_boxes, ignore_mask = prepare_boxes(priors, gt_boxes, gt_boxes_ignore, ignore_iof_threshold)
    check_at_least_one(topk=topk, priors_per_location=priors_per_location)
    regress_ranges = _regress_ranges(priors, level_sizes, regress_limits)
    valid_gt = valid_gt_mask(gt_boxes)
    pairs = []
    if len(priors) and len(gt_boxes):
        num_candidates = topk * priors_per_location
        # If a level has too few other priors, some candidates are ignored priors. _assign_to_smallest_gt drops them.
        candidates = nearest_priors(centers(priors), level_sizes, centers(gt_boxes), num_candidates, ignore_mask)
        gt_index = torch.arange(len(gt_boxes), device=priors.device).repeat_interleave(candidates.shape[1])
        pairs = [(candidates.flatten(), gt_index)]
    return _assign_to_smallest_gt(priors, gt_boxes, valid_gt, ignore_mask, pairs, regress_ranges)


def _regress_ranges(
    priors: Tensor, level_sizes: Sequence[int], regress_limits: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Return the regression range of each prior's level in pixels, as lower limits (A,) and upper limits (A,)."""
    check_level_sizes(priors, level_sizes)
    check_regress_limits(regress_limits, len(level_sizes))
    sizes = torch.tensor(level_sizes, device=priors.device)
    lower, upper = priors.new_tensor((0, *regress_limits)), priors.new_tensor((*regress_limits, math.inf))
    return lower.repeat_interleave(sizes), upper.repeat_interleave(sizes)


def _assign_to_smallest_gt(
    priors: Tensor,
    gt_boxes: Tensor,
    valid_gt: Tensor,
    ignore_mask: Tensor | None,
    pairs: Iterable[tuple[Tensor, Tensor]],
    regress_ranges: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Assign each prior to the smallest ground-truth box with which it satisfies the spatial and scale constraints.

    ``pairs`` yields chunks of N pairs to test, as a tuple of the prior indices (N,) and the ground-truth indices (N,).
    """
    prior_centers, (lower, upper) = centers(priors), regress_ranges
    no_index = torch.zeros(0, dtype=torch.int64, device=priors.device)
    positives = [(no_index, no_index)]  # torch.cat needs at least one part
    for prior_index, gt_index in pairs:
        points, boxes = prior_centers[prior_index], gt_boxes[gt_index]
        largest_distance = side_distances(points, boxes).amax(1)
        is_positive = (largest_distance >= lower[prior_index]) & (largest_distance <= upper[prior_index])
        is_positive &= points_in_boxes(points, boxes) & valid_gt[gt_index]
        positives.append((prior_index[is_positive], gt_index[is_positive]))
    prior_index, gt_index = (torch.cat(column) for column in zip(*positives))
    not_ignored = torch.ones_like(prior_index, dtype=torch.bool)
    if ignore_mask is not None:
        not_ignored &= ~ignore_mask[prior_index]
    areas = box_wh(gt_boxes).prod(1)
    priority = 1 / areas[gt_index]  # the smallest box has the highest priority
    assigned, _ = resolve_conflicts(len(priors), prior_index, gt_index, priority, not_ignored)
    positive = torch.nonzero(assigned >= 0).squeeze(1)
    iou = priors.new_zeros(len(priors))
    iou[positive] = aligned_iou(priors[positive], gt_boxes[assigned[positive]])
    return apply_ignore_mask(assigned, ignore_mask), iou
