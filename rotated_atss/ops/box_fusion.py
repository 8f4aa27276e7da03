"""Fusion of the detections of several test-time augmentation passes (scales, flips, quarter turns) over one image.

Boxes are oriented, (N, 5) ``cx, cy, w, h, angle``, or horizontal, (N, 4) ``x1, y1, x2, y2``, in pixels; every function
accepts both.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.ops.box_transforms import flip_hbb, flip_obb, rot90_hbb, rot90_obb, scale_obb
from rotated_atss.ops.boxes import HALF_PI, hbb_to_obb, obb_to_corners
from rotated_atss.ops.cpu_if_no_float64 import cpu_if_no_float64
from rotated_atss.ops.nms import greedy_mask, rank_by_score, suppressing_pairs

Detections = tuple[Tensor, Tensor, Tensor]  # boxes (N, 4 or 5), scores (N,), labels (N,)


def map_back(
    boxes: Tensor,
    image_wh: tuple[float, float],
    *,
    turns: int = 0,
    scale_xy: tuple[float, float] = (1.0, 1.0),
    flip: str | None = None,
) -> Tensor:
    """Map the boxes of an augmented image back to the original image.

    The augmentation rotates the image, then resizes it, then flips it.

    Args:
        boxes: (N, 5) or (N, 4) in pixels of the augmented image.
        image_wh: Width and height of the original image in pixels.
        turns: Quarter turns clockwise.
        scale_xy: New size over old size of the rotated image, horizontally and vertically.
        flip: ``horizontal``, ``vertical``, ``diagonal`` or None.

    Returns:
        Boxes of the same shape; without augmentation, the same values bit for bit. Angles are not normalized.

    Raises:
        ValueError: ``boxes`` has another shape, or ``flip`` is unknown.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_fusion import map_back
        >>> map_back(torch.tensor([[160.0, 40.0, 200.0, 50.0]]), (100, 50), scale_xy=(2.0, 2.0), flip="horizontal")
        tensor([[ 0., 20., 20., 25.]])
    """
    oriented = _is_oriented(boxes)
    scale_x, scale_y = scale_xy
    rotated_wh = image_wh if turns % 2 == 0 else image_wh[::-1]
    # the steps of the augmentation are undone in reverse order
    if flip is not None:
        scaled_wh = (rotated_wh[0] * scale_x, rotated_wh[1] * scale_y)
        boxes = flip_obb(boxes, scaled_wh, flip) if oriented else flip_hbb(boxes, scaled_wh, flip)
    if scale_xy != (1.0, 1.0):
        inverse_x, inverse_y = 1 / scale_x, 1 / scale_y
        if oriented:
            boxes = scale_obb(boxes, (inverse_x, inverse_y))
        else:
            boxes = boxes * boxes.new_tensor([inverse_x, inverse_y, inverse_x, inverse_y])
    if turns % 4:
        boxes = rot90_obb(boxes, rotated_wh, -turns) if oriented else rot90_hbb(boxes, rotated_wh, -turns)
    return boxes


@cpu_if_no_float64
def in_size_range(
    boxes: Tensor, low: float | None, high: float | None, scale_xy: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """Return which boxes have a size strictly between two limits. The size is the square root of the area.

    Args:
        boxes: (N, 5) or (N, 4).
        low: Lower limit in pixels. None sets no limit.
        high: Upper limit in pixels. None sets no limit.
        scale_xy: Factors that convert lengths from pixels of the boxes to pixels of the limits, horizontally and
            vertically.

    Returns:
        (N,) bool.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_fusion import in_size_range
        >>> in_size_range(torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 30.0, 30.0]]), 16, None)
        tensor([False,  True])
    """
    wh = boxes[:, 2:4] if _is_oriented(boxes) else boxes[:, 2:4] - boxes[:, :2]
    area = wh.double().clamp(min=0).prod(1) * (scale_xy[0] * scale_xy[1])
    keep = torch.ones_like(area, dtype=torch.bool)
    if low is not None:
        keep &= area > low**2
    if high is not None:
        keep &= area < high**2
    return keep


def merge_by_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Detections:
    """Merge the detections of all passes by :func:`rotated_atss.ops.rotated_nms`.

    Args:
        boxes: (N, 5) or (N, 4).
        scores: (N,).
        labels: (N,) integers.
        iou_threshold: Boxes whose IoU with a higher-scoring kept box exceeds this value are suppressed.

    Returns:
        Boxes, scores and labels in descending order of score.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_fusion import merge_by_nms
        >>> boxes = torch.tensor([[0.0, 0, 100, 100], [0, 0, 100, 80]])
        >>> merge_by_nms(boxes, torch.tensor([0.6, 0.3]), torch.tensor([0, 0]), 0.5)
        (tensor([[  0.,   0., 100., 100.]]), tensor([0.6000]), tensor([0]))
    """
    keep = rotated_nms(_as_oriented(boxes), scores, labels, iou_threshold)
    return boxes[keep], scores[keep], labels[keep]


@cpu_if_no_float64
def merge_by_voting(
    boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float, soft_score: float | None = None
) -> Detections:
    """Merge the detections of all passes by box voting.

    The highest-scoring box of a class, the best box, forms a group with all boxes of the class whose IoU with the best
    box is at least ``iou_threshold``. The group becomes one box: the score-weighted mean of its boxes, with the score
    of the best box. The remaining boxes are grouped in the same way.

    With ``soft_score``, the other boxes of a group are also returned, as in the multi-scale test of the official ATSS
    repository (sfzhang15/ATSS, ``bbox_aug_vote.py``). They keep their coordinates and get the new score ``score * (1 -
    IoU with the best box)``. Boxes whose new score is below ``soft_score`` are removed.

    Args:
        boxes: (N, 5) or (N, 4). Oriented boxes are averaged in the representation closest to the group's best box.
        scores: (N,), not negative. Equal scores rank in input order, NaN ranks last.
        labels: (N,) integers. Boxes of different classes are never grouped.
        iou_threshold: Minimum IoU with the best box of the group (inclusive).
        soft_score: Minimum new score of the other boxes of a group. None removes all of them.

    Returns:
        Boxes, scores and labels in descending order of score. A box that overlaps no other is returned bit for bit.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_fusion import merge_by_voting
        >>> boxes = torch.tensor([[0.0, 0, 100, 100], [0, 0, 100, 80]])
        >>> merge_by_voting(boxes, torch.tensor([0.6, 0.2]), torch.tensor([0, 0]), 0.5)
        (tensor([[  0.,   0., 100.,  95.]]), tensor([0.6000]), tensor([0]))
    """
    order = rank_by_score(scores)
    boxes, scores, labels = boxes[order], scores[order], labels[order]
    best_index, iou = _group_by_best_box(_as_oriented(boxes), labels, iou_threshold)
    is_best = best_index == torch.arange(len(boxes), device=boxes.device)
    merged_boxes = _average_groups(boxes, scores, best_index)[is_best]
    merged_scores, merged_labels = scores[is_best], labels[is_best]
    if soft_score is not None:
        soft_scores = scores * (1 - iou.to(scores.dtype))
        is_soft = ~is_best & (soft_scores >= soft_score)
        merged_boxes = torch.cat((merged_boxes, boxes[is_soft]))
        merged_scores = torch.cat((merged_scores, soft_scores[is_soft]))
        merged_labels = torch.cat((merged_labels, labels[is_soft]))
    order = rank_by_score(merged_scores)
    return merged_boxes[order], merged_scores[order], merged_labels[order]


def _group_by_best_box(boxes: Tensor, labels: Tensor, iou_threshold: float) -> tuple[Tensor, Tensor]:
    """Group the boxes for voting.

    Args:
        boxes: (N, 5) in descending order of score.
        labels: (N,).
        iou_threshold: Minimum IoU with the best box of the group (inclusive).

    Returns:
        best_index: (N,) index of the best box of each box's group.
        iou: (N,) IoU of each box with the best box of its group; 1 for the best box itself.
    """
    best_index = torch.arange(len(boxes), device=boxes.device)
    iou = boxes.new_ones(len(boxes))
    if len(boxes) < 2:
        return best_index, iou
    boxes64 = boxes.double()
    # Groups include pairs whose IoU equals the threshold, but suppressing_pairs leaves them out. Search with a slightly
    # lower threshold, then select the pairs with the exact one.
    suppressors, suppressed = suppressing_pairs(boxes64, labels, max(iou_threshold - 1e-6, 0.0))
    pair_iou = rotated_iou(boxes64[suppressors], boxes64[suppressed], aligned=True)
    reaches_threshold = pair_iou >= iou_threshold
    suppressors, suppressed, pair_iou = (values[reaches_threshold] for values in (suppressors, suppressed, pair_iou))
    is_kept = greedy_mask(len(boxes), suppressors, suppressed)  # (N,), true for the best boxes of the groups
    suppressor_is_kept = is_kept[suppressors]  # (P,)
    # A suppressed box joins the group of the highest-scoring kept box that suppresses it. Boxes are sorted by score, so
    # this is the kept box with the smallest index.
    best_index = best_index.scatter_reduce(0, suppressed[suppressor_is_kept], suppressors[suppressor_is_kept], "amin")
    is_pair_with_best = best_index[suppressed] == suppressors
    iou[suppressed[is_pair_with_best]] = pair_iou[is_pair_with_best].to(boxes.dtype)
    return best_index, iou


def _average_groups(boxes: Tensor, scores: Tensor, best_index: Tensor) -> Tensor:
    """Replace the best box of each group by the score-weighted mean of the group.

    Args:
        boxes: (N, 4 or 5).
        scores: (N,).
        best_index: (N,) index of the best box of each box's group.

    Returns:
        (N, 4 or 5). Other boxes, and best boxes that are alone in their group, are unchanged bit for bit.
    """
    # weights are at least 1e-12, so that the total weight is positive even if all scores of a group are 0
    weight = scores.double().nan_to_num(nan=0.0).clamp(min=1e-12)
    is_best = best_index == torch.arange(len(boxes), device=boxes.device)
    members = torch.nonzero(~is_best).squeeze(1)  # (M,) boxes that are not the best of their group
    best_of_member = best_index[members]  # (M,)
    best_boxes, member_boxes = boxes[best_of_member].double(), boxes[members].double()
    if _is_oriented(boxes):
        member_boxes = _nearest_representation(member_boxes, best_boxes)
    # mean = best + (sum of weight * (member - best)) / total weight. In this form, a box without members is not changed
    # by rounding.
    weighted_shifts = boxes.new_zeros(boxes.shape, dtype=torch.float64)
    weighted_shifts.index_add_(0, best_of_member, (member_boxes - best_boxes) * weight[members, None])
    total_weight = weight.index_add(0, best_of_member, weight[members])
    return (boxes.double() + weighted_shifts / total_weight[:, None]).to(boxes.dtype)


def _nearest_representation(boxes: Tensor, targets: Tensor) -> Tensor:
    """Rewrite rectangles (N, 5) so that their parameters can be averaged with the parameters of ``targets`` (N, 5).

    A rectangle has four representations: it stays the same if a multiple of pi/2 is added to the angle and, for odd
    multiples, w and h are swapped. The representation whose corners are nearest to the target's corners is returned.
    Its angle differs from the target's angle by at most pi.
    """
    corners, target_corners = obb_to_corners(boxes), obb_to_corners(targets)
    # In the representation with one more quarter turn, the list of corners starts at the next corner.
    distance = torch.stack([(corners.roll(-quarter, 1) - target_corners).square().sum((1, 2)) for quarter in range(4)])
    quarter_turns = distance.argmin(0)  # (N,)
    swaps_sides = quarter_turns % 2 == 1
    w = torch.where(swaps_sides, boxes[:, 3], boxes[:, 2])
    h = torch.where(swaps_sides, boxes[:, 2], boxes[:, 3])
    angle = boxes[:, 4] + quarter_turns.to(boxes.dtype) * HALF_PI
    full_turns = torch.round((angle - targets[:, 4]) / (2 * math.pi))
    angle = angle - full_turns * (2 * math.pi)
    return torch.stack((boxes[:, 0], boxes[:, 1], w, h, angle), 1)


def _is_oriented(boxes: Tensor) -> bool:
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5):
        raise ValueError(f"boxes must have shape (N, 5) or (N, 4), got {tuple(boxes.shape)}")
    return boxes.shape[1] == 5


def _as_oriented(boxes: Tensor) -> Tensor:
    return boxes if _is_oriented(boxes) else hbb_to_obb(boxes)
