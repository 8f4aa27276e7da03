"""Slow references of dense heads: priors of a grid, outputs in the order of the priors, and class-wise NMS."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from rotated_atss.ops import rotated_iou


def square_grid_priors(height: int, width: int, stride: int, ratios: Sequence[float] = (1.0,)) -> list[list[float]]:
    """List the priors of a level, row by row: centers at multiples of the stride, area ``(4 * stride) ** 2``."""
    return [
        [column * stride, row * stride, 4 * stride / math.sqrt(ratio), 4 * stride * math.sqrt(ratio), 0.0]
        for row in range(height)
        for column in range(width)
        for ratio in ratios
    ]


def rows_of_priors(level: Tensor, image: int, channels: int) -> list[Tensor]:
    """List the outputs (channels,) of one image in a level (B, priors * channels, H, W) in the order of the priors."""
    _, height, width = level[image].shape
    return [
        level[image, prior * channels : (prior + 1) * channels, row, column]
        for row in range(height)
        for column in range(width)
        for prior in range(level.shape[1] // channels)
    ]


def slow_classwise_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> list[int]:
    """Keep each box, by descending score, unless a kept box of its class has a higher IoU with it."""
    iou, scores, labels = rotated_iou(boxes, boxes).tolist(), scores.tolist(), labels.tolist()
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda index: -scores[index]):  # stable: ties in input order
        if all(labels[index] != labels[other] or iou[other][index] <= iou_threshold for other in kept):
            kept.append(index)
    return kept
