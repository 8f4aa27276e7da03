"""Slow reference of ATSS: Algorithm 1 of Zhang et al. (arXiv 1912.02424), one ground-truth box and one prior at a time.

Boxes are (N, 5) ``cx, cy, w, h, angle`` or (N, 4) ``x1, y1, x2, y2``. The algorithm leaves three choices open: among
priors at equal distances the lower index is nearer, a prior that several boxes select is assigned to the box of highest
IoU, and among equal IoUs to the box of lowest index. Distances are compared in float32, as in the package. The IoU of
oriented boxes is the package's own; ``tests/ops`` compares it with shapely.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rotated_atss.ops import rotated_iou

BACKGROUND, IGNORE = -1, -2
CENTER_MARGIN_PX = 0.01


def slow_atss(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    topk: int = 9,
    priors_per_location: int = 1,
    gt_boxes_ignore: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Assign ground-truth boxes to priors.

    Args:
        priors: (A, 5) or (A, 4).
        level_sizes: Number of priors per level.
        gt_boxes: (G, 5) or (G, 4).
        topk: Candidate locations per level, k of the paper.
        priors_per_location: Priors with the same center.
        gt_boxes_ignore: (I, 5) or (I, 4); a prior with more than half of its area in one of them is ignored.

    Returns:
        ``gt_index`` (A,) int64 and ``iou`` (A,) float32.
    """
    ignored = [False] * len(priors)
    for box in [] if gt_boxes_ignore is None else gt_boxes_ignore:
        ignored = [before or share > 0.5 for before, share in zip(ignored, overlaps(priors, box, "iof"))]
    number = topk * priors_per_location
    candidates = [nearest_candidates(priors, level_sizes, box, number, ignored) for box in gt_boxes]
    gt_index, iou = assign_candidates(priors, gt_boxes, candidates)
    gt_index[torch.tensor(ignored, dtype=torch.bool)] = IGNORE
    return gt_index, iou


def nearest_candidates(
    priors: Tensor, level_sizes: Sequence[int], gt_box: Tensor, num_candidates: int, ignored: Sequence[bool]
) -> list[int]:
    """Select the candidates of one box, lines 2 to 6: the nearest priors of every level that are not ignored."""
    offset = center(priors) - center(gt_box)
    distance = (offset[:, 0] ** 2 + offset[:, 1] ** 2).float().tolist()
    candidates: list[int] = []  # line 2: C_g
    start = 0
    for size in level_sizes:  # line 3
        nearest = sorted((distance[i], i) for i in range(start, start + size) if not ignored[i])  # line 4: S_i
        candidates += [i for _, i in nearest[:num_candidates]]  # line 5
        start += size
    return candidates


def assign_candidates(priors: Tensor, gt_boxes: Tensor, candidates: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Select the positives among given candidates, lines 7 to 17, and resolve conflicts by the highest IoU."""
    gt_index, iou = [BACKGROUND] * len(priors), [0.0] * len(priors)  # line 17: others are negative
    for g, gt_box in enumerate(gt_boxes):  # line 1
        if not len(candidates[g]) or not _is_valid(gt_box):
            continue
        values = overlaps(priors[candidates[g]], gt_box)  # line 7: D_g
        mean = sum(values) / len(values)  # line 8: m_g
        squares = sum((value - mean) ** 2 for value in values)
        std = math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else 0.0  # line 9: v_g
        threshold = mean + std  # line 10: t_g
        for i, value in zip(candidates[g], values):  # line 11
            is_positive = value >= threshold and contains_center(gt_box, priors[i])  # line 12
            if is_positive and (gt_index[i] == BACKGROUND or value > iou[i]):
                gt_index[i], iou[i] = g, value  # line 13
    return torch.tensor(gt_index, dtype=torch.int64), torch.tensor(iou, dtype=torch.float32)


def overlaps(boxes: Tensor, box: Tensor, mode: str = "iou") -> list[float]:
    """Compute the IoU of boxes with one box, or the share of each that lies in the box (``iof``)."""
    if len(box) == 5:
        return rotated_iou(boxes, box[None], mode=mode)[:, 0].tolist()
    return [_horizontal_overlap(each, box.tolist(), mode) for each in boxes.tolist()]


def _horizontal_overlap(a: list[float], b: list[float], mode: str) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(0.0, width) * max(0.0, height)
    area_a, area_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return intersection / (area_a if mode == "iof" else area_a + area_b - intersection)


def contains_center(gt_box: Tensor, prior: Tensor) -> bool:
    """Check that the center of a prior lies inside a box, by more than :data:`CENTER_MARGIN_PX`."""
    return min(side_distances(gt_box, center(prior))) > CENTER_MARGIN_PX


def side_distances(gt_box: Tensor, point: Tensor) -> tuple[float, float, float, float]:
    """Compute the distances of a point to the left, top, right and bottom side of a box, in the box's own frame."""
    x, y = point.tolist()
    box = gt_box.tolist()
    if len(box) == 4:
        return x - box[0], y - box[1], box[2] - x, box[3] - y
    dx, dy, cos, sin = x - box[0], y - box[1], math.cos(box[4]), math.sin(box[4])
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    return box[2] / 2 + along, box[3] / 2 + across, box[2] / 2 - along, box[3] / 2 - across


def center(boxes: Tensor) -> Tensor:
    """Return the (..., 2) centers of (..., 5) or (..., 4) boxes."""
    return boxes[..., :2] if boxes.shape[-1] == 5 else (boxes[..., :2] + boxes[..., 2:]) / 2


def _is_valid(box: Tensor) -> bool:
    wh = box[2:4] if len(box) == 5 else box[2:] - box[:2]
    return bool(box.isfinite().all()) and bool((wh > 0).all())
