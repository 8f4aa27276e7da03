"""Seeded inputs: pairs of boxes, scenes and detections, identical on every machine."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SIDES_PX = (2.0, 62.0)

PAIR_KINDS = {
    "random": "random, overlapping",
    "far": "centers near 20,000 px",
    "identical": "identical boxes",
    "jittered": "jittered by 1e-3 px",
    "swapped": "w and h swapped, angle + pi/2",
}


def uniform(draw: torch.Generator, rows: int, low: float, high: float, columns: int = 1) -> Tensor:
    """Draw (rows, columns) float64 values between ``low`` and ``high``."""
    return torch.rand(rows, columns, generator=draw, dtype=torch.float64) * (high - low) + low


def pairs(kind: str, num_pairs: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw two sets of (N, 5) float64 boxes of one of :data:`PAIR_KINDS`, with sides of 2 to 62 px and any angle.

    Centers are inside a tile of 1024 px; those of a random pair are at most 10 px apart along either axis.
    """
    draw = torch.Generator().manual_seed(seed)
    origin = 19_500.0 if kind == "far" else 0.0
    first = _boxes(draw, uniform(draw, num_pairs, origin, origin + 1024, 2))
    if kind in ("random", "far"):
        return first, _boxes(draw, first[:, :2] + uniform(draw, num_pairs, -10, 10, 2))
    if kind == "identical":
        return first, first.clone()
    if kind == "jittered":
        return first, first + uniform(draw, num_pairs, -1e-3, 1e-3, 5)
    if kind == "swapped":
        second = first[:, [0, 1, 3, 2, 4]]
        second[:, 4] += math.pi / 2
        return first, second
    raise ValueError(f"unknown kind '{kind}'. Choose one of {', '.join(PAIR_KINDS)}.")


def _boxes(draw: torch.Generator, centers: Tensor) -> Tensor:
    sides, angle = uniform(draw, len(centers), *SIDES_PX, 2), uniform(draw, len(centers), -math.pi / 2, math.pi / 2)
    return torch.cat((centers, sides, angle), 1)


def crowd(num_boxes: int, seed: int = 0) -> Tensor:
    """Draw (N, 5) float32 boxes whose circumscribed circles all overlap, so that no pair is skipped."""
    draw = torch.Generator().manual_seed(seed)
    sides = uniform(draw, num_boxes, 30, SIDES_PX[1], 2)
    centers, angle = uniform(draw, num_boxes, 500, 520, 2), uniform(draw, num_boxes, -math.pi / 2, math.pi / 2)
    return torch.cat((centers, sides, angle), 1).float()


def scene(
    num_gt: int, seed: int = 0, *, size: int = 1024, grid: int | None = None, axis_aligned: bool = False
) -> Tensor:  # fmt: skip
    """Draw (G, 5) float32 ground-truth boxes of a tile, le90, with sides of about 6 to 130 px.

    Args:
        num_gt: G.
        seed: Seed of the generator.
        size: Side of the tile in pixels.
        grid: Centers are multiples of it, as in integer labels, so that distances to priors tie.
        axis_aligned: Angles are 0 or -pi/2 and sides multiples of 4 px, so that edges coincide with those of priors.
    """
    draw = torch.Generator().manual_seed(seed)
    long = 12 * uniform(draw, num_gt, 0, 2.4).exp()
    short = long * uniform(draw, num_gt, 0.25, 1)
    centers, angle = uniform(draw, num_gt, 0, size, 2), uniform(draw, num_gt, -math.pi / 2, math.pi / 2)
    if grid:
        centers = (centers / grid).round() * grid
    if axis_aligned:
        angle = torch.where(angle < 0, -math.pi / 2, 0.0)
        long, short = ((side / 4).ceil() * 4 for side in (long, short))
    return torch.cat((centers, long, short, angle), 1).float()


def detections(num_gt: int, per_gt: int, classes: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the input of NMS: ``per_gt`` jittered detections of each object, as boxes, distinct scores and labels."""
    return _detect(torch.Generator().manual_seed(seed), scene(num_gt, seed, size=size), per_gt, classes)


def harbor(num_gt: int, per_gt: int, size: int = 4096, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw ``per_gt`` detections of each of many ships of one class, moored side by side at slanted piers."""
    columns = math.ceil(math.sqrt(num_gt * 2.5))
    index = torch.arange(num_gt)
    across, along = (index % columns).double(), (index // columns).double()
    width, length = size / columns * 0.8, size / math.ceil(num_gt / columns) * 0.8
    tilt = 0.3
    centers = torch.stack((across * width / 0.8 + along * math.tan(tilt), along * length / 0.8), 1) + length / 2
    sides = torch.tensor([length, width], dtype=torch.float64).expand(num_gt, 2)
    angle = torch.full((num_gt, 1), math.pi / 2 - tilt, dtype=torch.float64)
    return _detect(torch.Generator().manual_seed(seed), torch.cat((centers, sides, angle), 1), per_gt, 1)


def _detect(draw: torch.Generator, gt_boxes: Tensor, per_gt: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw ``per_gt`` jittered boxes of each object, with scores and labels."""
    boxes = gt_boxes.double().repeat_interleave(per_gt, 0)
    noise = torch.randn(boxes.shape, generator=draw, dtype=torch.float64)
    scale = torch.cat((boxes[:, 2:4] * 0.05, boxes[:, 2:4] * 0.08, torch.full((len(boxes), 1), 0.05)), 1)
    noisy = boxes + noise * scale
    noisy[:, 2:4] = noisy[:, 2:4].clamp(min=1)
    scores = (torch.randperm(len(boxes), generator=draw) + 1).float() / len(boxes)  # distinct, so that no tie decides
    return noisy.float(), scores, torch.randint(classes, (len(gt_boxes),), generator=draw).repeat_interleave(per_gt)
