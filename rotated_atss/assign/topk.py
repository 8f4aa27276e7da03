"""Assign each ground-truth box to the k priors with the highest IoU.

The ATSS paper (arXiv 1912.02424, section 3) compares ATSS with this assignment.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotated_atss.assign.box_formats import aligned_iou, centers, points_in_boxes
from rotated_atss.assign.conflicts import resolve_conflicts
from rotated_atss.assign.ignore_mask import apply_ignore_mask
from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs
from rotated_atss.assign.validation import check_at_least_one, check_level_sizes, prepare_boxes, valid_gt_mask

# Weight of the distance relative to the IoU. It is small, so that the distance decides only between almost equal IoUs.
DISTANCE_WEIGHT = 1e-3


def topk_assign(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    *,
    topk: int = 9,
    gt_boxes_ignore: Tensor | None = None,
    ignore_iof_threshold: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Assign each ground-truth box to the ``topk`` priors with the highest IoU, if their centers lie in the box.

    The ``topk`` priors are selected first; those with centers outside the box are then dropped without replacement.

    Priors are ranked by ``IoU - DISTANCE_WEIGHT * distance / max_distance``, so that of two priors with almost equal
    IoU the nearer one ranks first. ``distance`` is the distance between the center of the prior and the center of the
    box. ``max_distance`` is the largest distance between a box center and a corner of the bounding box of all prior
    centers. On regular grids, the ranking is the same as in the official code.

    If several boxes select a prior, the box with the highest IoU gets the prior. Of several boxes with the same IoU,
    the one with the lowest index gets it.

    Args:
        priors: (A, 5) ``cx, cy, w, h, angle`` in pixels and radians, or (A, 4) ``x1, y1, x2, y2`` in pixels.
        level_sizes: Number of priors per level. The levels do not affect the result; only the sum of the sizes, A, is
            checked.
        gt_boxes: (G, 5) or (G, 4), in the format of the priors.
        topk: Priors per box, over all levels.
        gt_boxes_ignore: (I, 5) or (I, 4) ignored boxes, as for :func:`rotated_atss.assign.atss_assign`.
        ignore_iof_threshold: Threshold in [0, 1] for ``gt_boxes_ignore``. With a negative value, ``gt_boxes_ignore``
            has no effect.

    Returns:
        ``gt_index`` (A,) and ``iou`` (A,) as :func:`rotated_atss.assign.atss_assign`.

    Raises:
        TypeError: Boxes are not tensors.
        ValueError: Shapes or sizes do not match.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import topk_assign
        >>> priors = torch.tensor([[8.0, 8, 16, 16, 0], [16, 8, 16, 16, 0], [40, 8, 16, 16, 0]])
        >>> topk_assign(priors, [3], torch.tensor([[10.0, 8, 16, 16, 0]]), topk=1)[0]
        tensor([ 0, -1, -1])
    """
    priors, gt_boxes, ignore_mask = prepare_boxes(priors, gt_boxes, gt_boxes_ignore, ignore_iof_threshold)
    check_level_sizes(priors, level_sizes)
    check_at_least_one(topk=topk)
    prior_centers, gt_centers = centers(priors), centers(gt_boxes)
    max_distance = _max_distance(prior_centers, gt_centers[valid_gt_mask(gt_boxes)])
    no_index = torch.zeros(0, dtype=torch.int64, device=priors.device)
    positives = [(no_index, no_index, priors.new_zeros(0))]  # torch.cat needs at least one part
    for prior_index, gt_index in overlapping_box_pairs(priors, gt_boxes):
        iou = aligned_iou(priors[prior_index], gt_boxes[gt_index])
        distance = (prior_centers[prior_index] - gt_centers[gt_index]).norm(dim=1)
        rank_value = iou - distance * (DISTANCE_WEIGHT / max_distance)
        is_eligible = iou > 0
        if ignore_mask is not None:
            is_eligible &= ~ignore_mask[prior_index]
        columns = (prior_index, gt_index, iou, rank_value)
        prior_index, gt_index, iou, rank_value = (column[is_eligible] for column in columns)
        # The top k of a box can be selected within a chunk, because a chunk contains all pairs of its boxes.
        topk_pairs = _topk_per_gt(prior_index, gt_index, rank_value, topk)
        prior_index, gt_index, iou = prior_index[topk_pairs], gt_index[topk_pairs], iou[topk_pairs]
        is_inside = points_in_boxes(prior_centers[prior_index], gt_boxes[gt_index])
        positives.append((prior_index[is_inside], gt_index[is_inside], iou[is_inside]))
    prior_index, gt_index, iou = (torch.cat(column) for column in zip(*positives))
    is_positive = torch.ones_like(prior_index, dtype=torch.bool)
    gt_index, iou = resolve_conflicts(len(priors), prior_index, gt_index, iou, is_positive)
    return apply_ignore_mask(gt_index, ignore_mask), iou


def _max_distance(prior_centers: Tensor, gt_centers: Tensor) -> float:
    """Compute the largest distance from a box center to a corner of the bounding box of the prior centers.

    The result is at least 1 px.
    """
    if not len(gt_centers) or not len(prior_centers):
        return 1.0
    low, high = prior_centers.amin(0), prior_centers.amax(0)
    offset = torch.maximum((gt_centers - low).abs(), (gt_centers - high).abs())
    return max(1.0, float(offset.norm(dim=1).max()))


def _topk_per_gt(prior_index: Tensor, gt_index: Tensor, rank_value: Tensor, topk: int) -> Tensor:
    """Return the indices of the ``topk`` pairs with the highest rank value per box.

    Of several pairs with the same rank value, the one with the lowest prior index comes first.
    """
    # Sort by box, then by descending rank value, then by prior. Stable sorts by one key each do this if the last key is
    # sorted first.
    order = prior_index.argsort(stable=True)
    order = order[rank_value[order].argsort(descending=True, stable=True)]
    order = order[gt_index[order].argsort(stable=True)]
    sorted_gt = gt_index[order]
    first_of_gt = torch.searchsorted(sorted_gt, sorted_gt)  # per pair, the position of the first pair of its box
    rank = torch.arange(len(order), device=order.device) - first_of_gt
    return order[rank < topk]
