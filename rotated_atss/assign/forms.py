"""The little that assignment asks of a box, for both forms: (N, 5) ``cx, cy, w, h, angle`` and (N, 4) ``x1, y1, x2,
y2``. The number of columns says which."""

from __future__ import annotations

import torch
from torch import Tensor

from rotated_atss.boxes import obb_to_hbb, points_in_obb
from rotated_atss.ops.iou import rotated_iou

CENTER_MARGIN_PX = 0.01  # as the official code: a centre on the border is outside


def computable(priors: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Detached, in the priors' dtype and on their device; halves in float32."""
    priors = priors.detach()
    if priors.dtype != torch.float64:
        priors = priors.float()
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
    outside."""
    offset = points - centers(boxes)
    if boxes.shape[1] == 5:
        cos, sin = boxes[:, 4].cos(), boxes[:, 4].sin()
        offset = torch.stack((offset[:, 0] * cos + offset[:, 1] * sin, offset[:, 1] * cos - offset[:, 0] * sin), 1)
    half = sides(boxes) / 2
    return torch.cat((half + offset, half - offset), 1)


def inside(points: Tensor, boxes: Tensor) -> Tensor:
    """(N,) bool: aligned points (N, 2) in boxes by more than :data:`CENTER_MARGIN_PX`."""
    if boxes.shape[1] == 5:
        return points_in_obb(points, boxes, CENTER_MARGIN_PX)
    return torch.cat((points - boxes[:, :2], boxes[:, 2:] - points), 1).amin(1) > CENTER_MARGIN_PX


def aligned_iou(boxes1: Tensor, boxes2: Tensor, mode: str = "iou") -> Tensor:
    """(N,) IoU, or intersection over the first box (``iof``), row by row; 0 for boxes without area."""
    if boxes1.shape[1] == 5:
        return rotated_iou(boxes1, boxes2, aligned=True, mode=mode)
    shared = (torch.minimum(boxes1[:, 2:], boxes2[:, 2:]) - torch.maximum(boxes1[:, :2], boxes2[:, :2])).clamp(min=0)
    shared = shared.prod(1)
    area1, area2 = sides(boxes1).prod(1), sides(boxes2).prod(1)
    whole = area1 if mode == "iof" else area1 + area2 - shared
    overlap = shared / torch.where(whole > 0, whole, torch.ones_like(whole))
    return torch.where((shared > 0) & overlap.isfinite(), overlap, torch.zeros_like(overlap))
