"""The other ways to choose positives that the ATSS paper compares itself with (Zhang et al., arXiv 1912.02424, section
3 and tables 2 and 3), for oriented and horizontal boxes. ``iou`` is :func:`rotated_atss.assign.max_iou_assign`.

All take and return what :func:`rotated_atss.assign.atss_assign` does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rotated_atss.assign.box_forms import (
    aligned_iou,
    centers,
    detach_and_upcast,
    horizontal,
    inside,
    side_distances,
    sides,
)
from rotated_atss.assign.candidates import nearest_priors
from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs
from rotated_atss.assign.resolution import (
    BACKGROUND,
    IGNORE,
    ignored_priors,
    mark_ignored,
    resolve_conflicts,
    valid_gt_mask,
)
from rotated_atss.assign.validation import check_counts, check_forms, check_levels, check_scale_ranges

SCALE_RANGES_PX = (64.0, 128.0, 256.0, 512.0)  # FCOS (Tian et al., arXiv 1904.01355, section 3.2)
DISTANCE_SHARE = 1e-3  # the farthest prior loses this much of its IoU in the order of topk: a tie-break


def ssc_assign(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    *,
    scale_ranges: Sequence[float] = SCALE_RANGES_PX,
    gt_boxes_ignore: Tensor | None = None,
    ignore_iof_threshold: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Spatial and scale constraint, as FCOS: a prior is positive if its centre lies in the object and the largest of
    its distances to the object's sides (in the object's own frame) is in the range of the prior's level.

    Of several such objects the smallest wins, of equal ones the lowest index.

    Args:
        priors: As :func:`atss_assign`, as the others that are not named here.
        level_sizes: Number of priors a level.
        gt_boxes: (G, 5) or (G, 4).
        scale_ranges: Pixels between the ranges of two levels, rising; the first level begins at 0, the last has no
            end. A distance on the border belongs to both.
        gt_boxes_ignore: (I, 5) or (I, 4).
        ignore_iof_threshold: See ``gt_boxes_ignore`` of :func:`atss_assign`.

    Raises:
        ValueError: Not one range fewer than levels, or ranges that do not rise.
    """
    priors, gt_boxes, ignored = _prepared(priors, level_sizes, gt_boxes, gt_boxes_ignore, ignore_iof_threshold)
    low, high = _level_ranges(priors, level_sizes, scale_ranges)
    usable, points = valid_gt_mask(gt_boxes), centers(priors)
    claims = [_no_claims(priors)[:2]]
    for prior, object_ in overlapping_box_pairs(torch.cat((points, points), 1), horizontal(gt_boxes)):
        fits = _in_range(points[prior], gt_boxes[object_], low[prior], high[prior])
        fits &= inside(points[prior], gt_boxes[object_]) & usable[object_]
        claims.append((prior[fits], object_[fits]))
    prior, object_ = (torch.cat(part) for part in zip(*claims))
    return _smallest_object(priors, gt_boxes, ignored, prior, object_)


def center_sampling_assign(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    *,
    topk: int = 9,
    priors_per_location: int = 1,
    scale_ranges: Sequence[float] = SCALE_RANGES_PX,
    gt_boxes_ignore: Tensor | None = None,
    ignore_iof_threshold: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """The paper's lite variant (section 4.2): of the ``topk`` locations of a level nearest to the object's centre,
    those that :func:`ssc_assign` would take. FCOS's own center sampling takes a radius of strides instead.

    Arguments as :func:`ssc_assign` and :func:`atss_assign`.
    """
    priors, gt_boxes, ignored = _prepared(priors, level_sizes, gt_boxes, gt_boxes_ignore, ignore_iof_threshold)
    check_counts(topk=topk, priors_per_location=priors_per_location)
    low, high = _level_ranges(priors, level_sizes, scale_ranges)
    if not len(priors) or not len(gt_boxes):
        return _nobody(priors, ignored)
    points = centers(priors)
    candidates = nearest_priors(points, level_sizes, centers(gt_boxes), topk * priors_per_location, ignored)
    prior = candidates.flatten()
    object_ = torch.arange(len(gt_boxes), device=prior.device).repeat_interleave(candidates.shape[1])
    fits = _in_range(points[prior], gt_boxes[object_], low[prior], high[prior])
    fits &= inside(points[prior], gt_boxes[object_]) & valid_gt_mask(gt_boxes)[object_]
    return _smallest_object(priors, gt_boxes, ignored, prior[fits], object_[fits])


def topk_assign(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    *,
    topk: int = 9,
    gt_boxes_ignore: Tensor | None = None,
    ignore_iof_threshold: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """The ``topk`` priors of all levels that overlap the object most, as far as their centres lie in it.

    Near ties go to the nearer prior: the order is that of the IoU less the distance to the object's centre, measured
    so that :data:`DISTANCE_SHARE` is the longest distance between an object and a corner of the priors' extent (the
    official code's order, for priors on a grid). A prior wanted by several goes to the object of highest IoU, of
    equal ones to the lowest index. Arguments as :func:`atss_assign`.
    """
    priors, gt_boxes, ignored = _prepared(priors, level_sizes, gt_boxes, gt_boxes_ignore, ignore_iof_threshold)
    check_counts(topk=topk)
    points, middles = centers(priors), centers(gt_boxes)
    longest = _longest_distance(points, middles[valid_gt_mask(gt_boxes)])
    claims = [_no_claims(priors)]
    for prior, object_ in overlapping_box_pairs(priors, gt_boxes):
        overlap = aligned_iou(priors[prior], gt_boxes[object_])
        score = overlap - (points[prior] - middles[object_]).norm(dim=1) * (DISTANCE_SHARE / longest)
        wanted = overlap > 0 if ignored is None else (overlap > 0) & ~ignored[prior]
        best = _best_of_each(prior[wanted], object_[wanted], score[wanted], topk)
        prior, object_, overlap = prior[wanted][best], object_[wanted][best], overlap[wanted][best]
        fits = inside(points[prior], gt_boxes[object_])
        claims.append((prior[fits], object_[fits], overlap[fits]))
    prior, object_, overlap = (torch.cat(part) for part in zip(*claims))
    gt_index, iou = resolve_conflicts(len(priors), prior, object_, overlap, torch.ones_like(prior, dtype=torch.bool))
    return mark_ignored(gt_index, ignored), iou


def ignore_outside_gt(priors: Tensor, gt_boxes: Tensor, gt_index: Tensor, iou: Tensor) -> tuple[Tensor, Tensor]:
    """Positives whose centre lies outside their object become :data:`IGNORE`: what the official code does to those
    found by IoU, so that they may be compared with the others.

    Args:
        priors: (A, 5) or (A, 4).
        gt_boxes: (G, 5) or (G, 4).
        gt_index: (A,).
        iou: (A,).
    """
    taken = torch.nonzero(gt_index >= 0).squeeze(1)
    outside = taken[~inside(centers(priors[taken]), gt_boxes[gt_index[taken]])]
    return gt_index.index_fill(0, outside, IGNORE), iou.index_fill(0, outside, 0)


def _prepared(
    priors: Tensor, level_sizes: Sequence[int], gt_boxes: Tensor, gt_boxes_ignore: Tensor | None, threshold: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    check_forms(priors, gt_boxes=gt_boxes, gt_boxes_ignore=gt_boxes_ignore)
    check_levels(priors, list(level_sizes))
    priors, gt_boxes = detach_and_upcast(priors, gt_boxes)
    return priors, gt_boxes, ignored_priors(priors, gt_boxes_ignore, threshold)


def _level_ranges(priors: Tensor, level_sizes: Sequence[int], scale_ranges: Sequence[float]) -> tuple[Tensor, Tensor]:
    """(A,) smallest and (A,) largest regression distance in pixels that each prior may learn."""
    check_scale_ranges(scale_ranges, len(level_sizes))
    sizes = torch.tensor(level_sizes, device=priors.device)
    low, high = priors.new_tensor((0, *scale_ranges)), priors.new_tensor((*scale_ranges, math.inf))
    return low.repeat_interleave(sizes), high.repeat_interleave(sizes)


def _in_range(points: Tensor, boxes: Tensor, low: Tensor, high: Tensor) -> Tensor:
    reach = side_distances(points, boxes).amax(1)
    return (reach >= low) & (reach <= high)


def _smallest_object(
    priors: Tensor, gt_boxes: Tensor, ignored: Tensor | None, prior: Tensor, object_: Tensor
) -> tuple[Tensor, Tensor]:
    """Every claimed prior to the smallest object that claims it."""
    valid = torch.ones_like(prior, dtype=torch.bool) if ignored is None else ~ignored[prior]
    area = sides(gt_boxes).prod(1)[object_]
    gt_index, _ = resolve_conflicts(len(priors), prior, object_, 1 / area, valid)
    taken = torch.nonzero(gt_index >= 0).squeeze(1)
    iou = priors.new_zeros(len(priors))
    iou[taken] = aligned_iou(priors[taken], gt_boxes[gt_index[taken]])
    return mark_ignored(gt_index, ignored), iou


def _no_claims(priors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Empty: priors, objects, IoUs."""
    nothing = torch.zeros(0, dtype=torch.int64, device=priors.device)
    return nothing, nothing, priors.new_zeros(0)


def _nobody(priors: Tensor, ignored: Tensor | None) -> tuple[Tensor, Tensor]:
    gt_index = torch.full((len(priors),), BACKGROUND, dtype=torch.int64, device=priors.device)
    return mark_ignored(gt_index, ignored), priors.new_zeros(len(priors))


def _longest_distance(points: Tensor, middles: Tensor) -> float:
    """From any of the middles to any corner of the points' extent; at least 1."""
    if not len(middles) or not len(points):
        return 1.0
    low, high = points.amin(0), points.amax(0)
    reach = torch.maximum((middles - low).abs(), (middles - high).abs())
    return max(1.0, float(reach.norm(dim=1).max()))


def _best_of_each(prior: Tensor, object_: Tensor, score: Tensor, number: int) -> Tensor:
    """Indices of the ``number`` best claims of each object, the lower prior first among equals."""
    order = prior.argsort(stable=True)
    order = order[score[order].argsort(descending=True, stable=True)]
    order = order[object_[order].argsort(stable=True)]
    owner = object_[order]
    first = torch.searchsorted(owner, owner)  # where the owner's claims begin
    rank = torch.arange(len(order), device=order.device) - first
    return order[rank < number]
