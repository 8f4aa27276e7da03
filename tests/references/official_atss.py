"""Slow reference of the training targets and losses of the official ATSS (Zhang et al., arXiv 1912.02424).

The rules are those of the authors' repository, github.com/sfzhang15/ATSS (``atss_core/modeling/rpn/atss``, on
maskrcnn-benchmark), one object and one prior at a time, in float64. A box is ``x1, y1, x2, y2``, the indices of its
first and last pixels, so its width is ``x2 - x1 + 1``. Where the official code leaves the order of equal distances to
``topk``, the lower index is nearer, as in this package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Box = Sequence[float]
BACKGROUND = -1


def to_pixel_indices(box: Box) -> list[float]:
    """Convert a box that ends at the far edge of its last pixel to the index of that pixel."""
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - 1, y2 - 1]


def official_priors(image_hw: tuple[int, int], strides: Sequence[int], scale: int = 8) -> list[list[Box]]:
    """List the square priors of each level: centered at ``stride / 2`` in the cell, ``scale * stride`` pixels wide."""
    levels = []
    for stride in strides:
        rows, columns = -(-image_hw[0] // stride), -(-image_hw[1] // stride)
        reach = (scale * stride - 1) / 2
        centers = [(x * stride + stride / 2, y * stride + stride / 2) for y in range(rows) for x in range(columns)]
        levels.append([(x - reach, y - reach, x + reach, y + reach) for x, y in centers])
    return levels


def center(box: Box) -> tuple[float, float]:
    """Return the mean of the first and the last pixel."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def iou(a: Box, b: Box) -> float:
    """Compute the IoU of two sets of whole pixels."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def sides(point: tuple[float, float], box: Box) -> tuple[float, float, float, float]:
    """Return the distances of a point from the first and the last pixel: left, top, right, bottom; without + 1."""
    return point[0] - box[0], point[1] - box[1], box[2] - point[0], box[3] - point[1]


def assign(levels: Sequence[Sequence[Box]], gt_boxes: Sequence[Box], topk: int = 9) -> list[int]:
    """Return the index of the object of each prior, or BACKGROUND."""
    priors = [prior for level in levels for prior in level]
    best = [(-math.inf, BACKGROUND)] * len(priors)
    for number, gt_box in enumerate(gt_boxes):
        candidates, start = [], 0
        for level in levels:
            distances = [(math.dist(center(prior), center(gt_box)), start + i) for i, prior in enumerate(level)]
            candidates += [index for _, index in sorted(distances)[:topk]]
            start += len(level)
        ious = [iou(priors[index], gt_box) for index in candidates]
        mean = sum(ious) / len(ious)
        threshold = mean + math.sqrt(sum((value - mean) ** 2 for value in ious) / (len(ious) - 1))
        for index, value in zip(candidates, ious):
            is_inside = min(sides(center(priors[index]), gt_box)) > 0.01
            if value >= threshold and is_inside and value > best[index][0]:
                best[index] = (value, number)
    return [number for _, number in best]


def centerness(prior: Box, gt_box: Box) -> float:
    """Compute the centerness of a prior's center from its distances to the first and the last pixel."""
    left, top, right, bottom = sides(center(prior), gt_box)
    return math.sqrt(min(left, right) / max(left, right) * (min(top, bottom) / max(top, bottom)))


def decode(prior: Box, delta: Sequence[float]) -> list[float]:
    """Decode deltas, which are divided by 10, 10, 5 and 5, to the first and the last pixel."""
    size = [prior[2] - prior[0] + 1, prior[3] - prior[1] + 1]
    box = [0.0] * 4
    for axis in range(2):
        middle = center(prior)[axis] + delta[axis] / 10 * size[axis]
        length = size[axis] * math.exp(min(delta[axis + 2] / 5, math.log(1000 / 16)))
        box[axis], box[axis + 2] = middle - (length - 1) / 2, middle + (length - 1) / 2
    return box


def giou_loss(pred: Box, target: Box) -> float:
    """Compute 1 - GIoU of boxes measured without + 1; a box of less than a pixel has no area."""
    pred = [pred[0], pred[1], max(pred[0], pred[2]), max(pred[1], pred[3])]
    width, height = (min(pred[i + 2], target[i + 2]) - max(pred[i], target[i]) for i in (0, 1))
    intersection = width * height if width > 0 and height > 0 else 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (pred, target)]
    union = sum(areas) - intersection + 1e-7
    hull = math.prod(max(pred[i + 2], target[i + 2]) - min(pred[i], target[i]) for i in (0, 1)) + 1e-7
    return 1 - (intersection / union - (hull - union) / hull)


def focal_loss(logit: float, is_positive: bool) -> float:
    """Compute the focal loss of one class with alpha = 0.25 and gamma = 2."""
    p = 1 / (1 + math.exp(-logit))
    return -0.25 * (1 - p) ** 2 * math.log(p) if is_positive else -0.75 * p**2 * math.log(1 - p)


def binary_cross_entropy(logit: float, target: float) -> float:
    """Compute the cross entropy of a sigmoid with a target in [0, 1]."""
    p = 1 / (1 + math.exp(-logit))
    return -target * math.log(p) - (1 - target) * math.log(1 - p)


def losses(
    levels: Sequence[Sequence[Box]],
    logits: Sequence[Sequence[Sequence[float]]],
    deltas: Sequence[Sequence[Sequence[float]]],
    centerness_logits: Sequence[Sequence[float]],
    gt_boxes: Sequence[Sequence[Box]],
    gt_labels: Sequence[Sequence[int]],
) -> dict[str, float]:
    """Compute the three losses of a batch in one process; every prior of the padded batch counts.

    Args:
        levels: Priors per level.
        logits: Per image and prior, one logit per class.
        deltas: Per image and prior, four deltas.
        centerness_logits: Per image and prior.
        gt_boxes: Objects of each image.
        gt_labels: Their classes.
    """
    priors = [prior for level in levels for prior in level]
    classification, regression, center_loss, weight, num_pos = 0.0, 0.0, 0.0, 0.0, 0
    for image in range(len(logits)):
        for index, number in enumerate(assign(levels, gt_boxes[image])):
            label = None if number == BACKGROUND else gt_labels[image][number]
            classification += sum(focal_loss(v, label == c) for c, v in enumerate(logits[image][index]))
            if number == BACKGROUND:
                continue
            target = centerness(priors[index], gt_boxes[image][number])
            box = decode(priors[index], deltas[image][index])
            regression += target * giou_loss(box, gt_boxes[image][number])
            center_loss += binary_cross_entropy(centerness_logits[image][index], target)
            weight, num_pos = weight + target, num_pos + 1
    return {
        "loss_cls": classification / max(num_pos, 1),
        "loss_bbox": 2 * regression / weight if num_pos else 0.0,
        "loss_centerness": center_loss / max(num_pos, 1),
    }
