"""Detections of several passes over one image (resized, turned, flipped) made one set. Plain torch.

Boxes are (N, 5) oriented or (N, 4) horizontal ``x1 y1 x2 y2``, in pixels; every function takes both.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.ops.box_transforms import flip_hbb, flip_obb, rot90_hbb, rot90_obb, scale_obb
from rotated_atss.ops.boxes import HALF_PI, hbb_to_obb, obb_to_corners
from rotated_atss.ops.nms import suppressing_pairs

Detections = tuple[Tensor, Tensor, Tensor]  # boxes (N, 4 or 5), scores (N,), labels (N,)


def map_back(
    boxes: Tensor,
    image_wh: tuple[float, float],
    *,
    turns: int = 0,
    scale_xy: tuple[float, float] = (1.0, 1.0),
    flip: str | None = None,
) -> Tensor:
    """Boxes of a pass as boxes of the image. The pass turned the image, then resized it, then flipped it.

    Args:
        boxes: (N, 5) or (N, 4) in pixels of the pass.
        image_wh: Width and height of the image before all that, in pixels.
        turns: Quarter turns clockwise.
        scale_xy: New size over old size of the turned image, horizontally and vertically.
        flip: ``horizontal``, ``vertical``, ``diagonal`` or None.

    Returns:
        As ``boxes``; bit for bit where the pass changed nothing. Angles are in no particular angle version.
    """
    width, height = image_wh if turns % 2 == 0 else image_wh[::-1]
    if flip is not None:
        seen_wh = (width * scale_xy[0], height * scale_xy[1])
        boxes = flip_obb(boxes, seen_wh, flip) if _oriented(boxes) else flip_hbb(boxes, seen_wh, flip)
    if scale_xy != (1.0, 1.0):
        back = (1 / scale_xy[0], 1 / scale_xy[1])
        boxes = scale_obb(boxes, back) if _oriented(boxes) else boxes * boxes.new_tensor(back * 2)
    if turns % 4:
        turned_wh = (width, height)
        boxes = rot90_obb(boxes, turned_wh, -turns) if _oriented(boxes) else rot90_hbb(boxes, turned_wh, -turns)
    return boxes


def in_size_range(
    boxes: Tensor, low: float | None, high: float | None, scale_xy: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """Which boxes a pass may keep: the square root of their area lies strictly between two limits, in pixels of the
    image as the pass saw it.

    Args:
        boxes: (N, 5) or (N, 4).
        low, high: Limits in pixels; None for none.
        scale_xy: What turns the boxes' pixels into the pass's: (1, 1) before they are mapped back, the pass's resizing
            after.

    Returns:
        (N,) bool.
    """
    wh = boxes[:, 2:4] if _oriented(boxes) else boxes[:, 2:4] - boxes[:, :2]
    area = wh.double().clamp(min=0).prod(1) * (scale_xy[0] * scale_xy[1])
    keep = torch.ones_like(area, dtype=torch.bool)
    if low is not None:
        keep &= area > low**2
    if high is not None:
        keep &= area < high**2
    return keep


def merge_by_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Detections:
    """The best of all passes, as :func:`rotated_atss.ops.rotated_nms` keeps them, best first."""
    keep = rotated_nms(_as_oriented(boxes), scores, labels, iou_threshold)
    return boxes[keep], scores[keep], labels[keep]


def merge_by_voting(
    boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float, soft_score: float | None = None
) -> Detections:
    """Box voting: of each class, the best box and all that overlap it become one box, their score-weighted mean, with
    the best score; then the best of the rest, and so on.

    With ``soft_score`` as the multi-scale test of the official ATSS repository (sfzhang15/ATSS, ``bbox_aug_vote.py``):
    the others of a group also stay, where they are, with ``score * (1 - IoU with the best)`` if that is at least
    ``soft_score``. Oriented boxes are averaged in the angle version that lies nearest the best box.

    Args:
        boxes: (N, 5) or (N, 4).
        scores: (N,), not negative. Equal ones rank in input order, NaN ranks last.
        labels: (N,) integers; boxes of different classes do not meet.
        iou_threshold: A box joins a better one's group at this IoU or above.
        soft_score: Lowest score of what stays softly; None lets nothing stay.

    Returns:
        Boxes, scores and labels, best first. A box in no group is returned bit for bit.
    """
    order = scores.double().nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)
    boxes, scores, labels = boxes[order], scores[order], labels[order]
    owner, overlap = _groups(_as_oriented(boxes), labels, iou_threshold)
    leads = owner == torch.arange(len(owner), device=owner.device)
    means = _group_means(boxes, scores, owner)
    found = [means[leads]], [scores[leads]], [labels[leads]]
    if soft_score is not None:
        soft = scores * (1 - overlap.to(scores.dtype))
        stays = ~leads & (soft >= soft_score)
        for parts, more in zip(found, (boxes, soft, labels)):
            parts.append(more[stays])
    boxes, scores, labels = (torch.cat(parts) for parts in found)
    order = scores.double().nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)
    return boxes[order], scores[order], labels[order]


def _groups(boxes: Tensor, labels: Tensor, iou_threshold: float) -> tuple[Tensor, Tensor]:
    """For (N, 5) boxes in falling order of score: the index (N,) of the box whose group each joins (its own, where it
    leads one) and the IoU (N,) with it (1 for its own).
    """
    if len(boxes) < 2:
        return torch.zeros_like(labels, dtype=torch.int64), boxes.new_ones(len(boxes))
    exact = boxes.double()
    # the pairs come strictly above their threshold, and those at it count too
    suppressors, suppressed = suppressing_pairs(exact, labels, max(iou_threshold - 1e-6, 0.0))
    iou = rotated_iou(exact[suppressors], exact[suppressed], aligned=True)
    joins = iou >= iou_threshold
    found = _owners(len(boxes), suppressors[joins].cpu().numpy(), suppressed[joins].cpu().numpy())
    owner = torch.from_numpy(found).to(boxes.device)
    overlap = torch.ones(len(boxes), dtype=boxes.dtype, device=boxes.device)
    chosen = owner[suppressed] == suppressors
    overlap[suppressed[chosen]] = iou[chosen].to(boxes.dtype)
    return owner, overlap


def _owners(count: int, suppressors: np.ndarray, suppressed: np.ndarray) -> np.ndarray:
    """Visit the boxes best first; one that still stands alone takes all its losers that do."""
    by_winner = np.argsort(suppressors, kind="stable")
    heads, starts = np.unique(suppressors[by_winner], return_index=True)
    tails = suppressed[by_winner]
    owner, taken = np.arange(count), np.zeros(count, dtype=bool)
    for head, start, stop in zip(heads.tolist(), starts.tolist(), [*starts[1:].tolist(), len(tails)]):
        if not taken[head]:
            mine = tails[start:stop]
            mine = mine[~taken[mine]]
            owner[mine], taken[mine] = head, True
    return owner


def _group_means(boxes: Tensor, scores: Tensor, owner: Tensor) -> Tensor:
    """(N, 4 or 5): at each leading box the score-weighted mean of its group; what leads alone stays bit for bit."""
    weight = scores.double().nan_to_num(nan=0.0).clamp(min=1e-12)
    others = torch.nonzero(owner != torch.arange(len(owner), device=owner.device)).squeeze(1)
    lead, other = boxes[owner[others]].double(), boxes[others].double()
    away = (nearest_angle_version(other, lead) if _oriented(boxes) else other) - lead
    moved = boxes.new_zeros(boxes.shape, dtype=torch.float64)
    moved.index_add_(0, owner[others], away * weight[others, None])
    total = weight.index_add(0, owner[others], weight[others])
    return (boxes.double() + moved / total[:, None]).to(boxes.dtype)


def nearest_angle_version(boxes: Tensor, targets: Tensor) -> Tensor:
    """The same rectangles (N, 5), written so that numbers may be averaged with those of ``targets`` (N, 5).

    A rectangle is itself turned by pi, and by pi/2 with its sides swapped: of the four, the one whose corners lie
    nearest the target's, with an angle within pi of the target's.
    """
    corners, goal = obb_to_corners(boxes), obb_to_corners(targets)
    # a quarter turn more makes the second corner the first
    distance = torch.stack([(corners.roll(-turn, 1) - goal).square().sum((1, 2)) for turn in range(4)])
    turn = distance.argmin(0)
    swap = turn % 2 == 1
    w, h = torch.where(swap, boxes[:, 3], boxes[:, 2]), torch.where(swap, boxes[:, 2], boxes[:, 3])
    angle = boxes[:, 4] + turn.to(boxes.dtype) * HALF_PI
    angle = angle - torch.round((angle - targets[:, 4]) / (2 * math.pi)) * (2 * math.pi)
    return torch.stack((boxes[:, 0], boxes[:, 1], w, h, angle), 1)


def _oriented(boxes: Tensor) -> bool:
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5):
        raise ValueError(f"need (N, 5) oriented or (N, 4) horizontal boxes, not {tuple(boxes.shape)}")
    return boxes.shape[1] == 5


def _as_oriented(boxes: Tensor) -> Tensor:
    return boxes if _oriented(boxes) else hbb_to_obb(boxes)
