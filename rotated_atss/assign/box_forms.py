"""The little that assignment asks of a box, for both forms: (N, 5) ``cx, cy, w, h, angle`` and (N, 4) ``x1, y1, x2,
y2``. The number of columns says which.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotated_atss.ops.boxes import obb_to_hbb, points_in_obb
from rotated_atss.ops.dtypes import upcast
from rotated_atss.ops.iou import overlap_of_columns, rotated_iou

CENTER_MARGIN_PX = 0.01  # as the official code: a centre on the border is outside


def detach_and_upcast(priors: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Detach tensors, upcast the priors, and give the others the dtype and device of the priors."""
    priors = upcast(priors.detach())
    return (priors, *(boxes.detach().to(priors) for boxes in others))


def centers(boxes: Tensor) -> Tensor:
    """(N, 2)."""
    return boxes[:, :2] if boxes.shape[1] == 5 else (boxes[:, :2] + boxes[:, 2:]) / 2


def sides(boxes: Tensor) -> Tensor:
    """(N, 2) width and height."""
    return boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:] - boxes[:, :2]


def horizontal(boxes: Tensor) -> Tensor:
    """(N, 4), the circumscribed horizontal boxes."""
    return obb_to_hbb(boxes) if boxes.shape[1] == 5 else boxes


def side_distances(points: Tensor, boxes: Tensor) -> Tensor:
    """(N, 4) distances left, top, right, bottom of aligned points (N, 2) in the boxes' own frames; negative
    outside.
    """
    offset = points - centers(boxes)
    if boxes.shape[1] == 5:
        cos, sin = boxes[:, 4].cos(), boxes[:, 4].sin()
        offset = torch.stack((offset[:, 0] * cos + offset[:, 1] * sin, offset[:, 1] * cos - offset[:, 0] * sin), 1)
    half = sides(boxes) / 2
    return torch.cat((half + offset, half - offset), 1)


def inside_of(points: Tensor, boxes: Tensor, index: Tensor) -> Tensor:
    """(N,) bool: points (N, 2) in ``boxes[index]`` by more than :data:`CENTER_MARGIN_PX`."""
    chosen = boxes.index_select(0, index)
    if boxes.shape[1] == 4:
        return inside(points, chosen)
    # a box's sine once, not once a point: beyond 2,000 of them torch wakes its threads, which cost more than they give
    turned = boxes[:, 4].cos().index_select(0, index), boxes[:, 4].sin().index_select(0, index)
    return points_in_obb(points, chosen, CENTER_MARGIN_PX, turned)


def inside(points: Tensor, boxes: Tensor) -> Tensor:
    """(N,) bool: aligned points (N, 2) in boxes by more than :data:`CENTER_MARGIN_PX`."""
    if boxes.shape[1] == 5:
        return points_in_obb(points, boxes, CENTER_MARGIN_PX)
    return torch.cat((points - boxes[:, :2], boxes[:, 2:] - points), 1).amin(1) > CENTER_MARGIN_PX


def aligned_iou(boxes1: Tensor, boxes2: Tensor, mode: str = "iou") -> Tensor:
    """(N,) IoU, or intersection over the first box (``iof``), row by row; 0 for boxes without area."""
    if boxes1.shape[1] == 5:
        return rotated_iou(boxes1, boxes2, aligned=True, mode=mode)
    return _horizontal_overlap(boxes1.unbind(1), boxes2.unbind(1), mode)


def candidate_iou(priors: Tensor, objects: Tensor, candidates: Tensor) -> Tensor:
    """(G, K) IoU of objects (G, 5) or (G, 4) with those priors (A, 5) or (A, 4) that their row of ``candidates``
    names.
    """
    if priors.shape[1] == 5 and candidates.device.type == "cuda":  # its kernel takes rows
        pairs = priors[candidates.flatten()], objects.repeat_interleave(candidates.shape[1], 0)
        return rotated_iou(*pairs, aligned=True).view_as(candidates)
    flat = candidates.flatten()  # index_select: on the CPU five times as fast as indexing with brackets
    theirs = [column.index_select(0, flat).view_as(candidates) for column in priors[:, :4].unbind(1)]
    own = [column[:, None] for column in objects.unbind(1)]
    if len(own) == 4:
        return _horizontal_overlap(theirs, own)
    angle = priors[:, 4]
    # mostly the priors' angles are all the same: what depends on them and the object alone is then computed once
    alike = bool((angle == angle[0]).all())
    theirs.append(angle[:1, None] if alike else angle.index_select(0, flat).view_as(candidates))
    return overlap_of_columns(theirs, own, screened=True)


def _horizontal_overlap(boxes1: Sequence[Tensor], boxes2: Sequence[Tensor], mode: str = "iou") -> Tensor:
    """Of boxes given column by column; shapes may broadcast."""
    (left1, top1, right1, bottom1), (left2, top2, right2, bottom2) = boxes1, boxes2
    width = (torch.minimum(right1, right2) - torch.maximum(left1, left2)).clamp(min=0)
    shared = (torch.minimum(bottom1, bottom2) - torch.maximum(top1, top2)).clamp(min=0) * width
    area1, area2 = (right1 - left1) * (bottom1 - top1), (right2 - left2) * (bottom2 - top2)
    whole = area1 if mode == "iof" else area1 + area2 - shared
    overlap = shared / torch.where(whole > 0, whole, 1.0)
    return torch.where((shared > 0) & overlap.isfinite(), overlap, 0.0)
