"""Seeded inputs: pairs of boxes, crowded scenes, detections, priors. The same seed gives the same numbers anywhere."""

from __future__ import annotations

import math

import torch
from torch import Tensor

STRIDES = (8, 16, 32, 64, 128)
SIDES_PX = (2.0, 62.0)

PAIR_KINDS = {
    "random": "random, overlapping",
    "far": "centres near 20,000 px",
    "identical": "identical boxes",
    "jittered": "jittered by 1e-3 px",
    "swapped": "w and h swapped, angle + pi/2",
}


def uniform(draw: torch.Generator, rows: int, low: float, high: float, columns: int = 1) -> Tensor:
    return torch.rand(rows, columns, generator=draw, dtype=torch.float64) * (high - low) + low


def pairs(kind: str, number: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two times (N, 5) float64 boxes of one of :data:`PAIR_KINDS`, sides 2 to 62 px, any angle.

    Centres lie in a 1024 tile, those of a random pair at most 10 px apart along either axis.
    """
    draw = torch.Generator().manual_seed(seed)
    origin = 19_500.0 if kind == "far" else 0.0
    first = _boxes(draw, uniform(draw, number, origin, origin + 1024, 2))
    if kind in ("random", "far"):
        return first, _boxes(draw, first[:, :2] + uniform(draw, number, -10, 10, 2))
    if kind == "identical":
        return first, first.clone()
    if kind == "jittered":
        return first, first + uniform(draw, number, -1e-3, 1e-3, 5)
    if kind == "swapped":
        second = first[:, [0, 1, 3, 2, 4]]
        second[:, 4] += math.pi / 2
        return first, second
    raise ValueError(f"unknown kind {kind!r}: choose one of {', '.join(PAIR_KINDS)}")


def _boxes(draw: torch.Generator, centers: Tensor) -> Tensor:
    sides, angle = uniform(draw, len(centers), *SIDES_PX, 2), uniform(draw, len(centers), -math.pi / 2, math.pi / 2)
    return torch.cat((centers, sides, angle), 1)


def crowd(number: int, seed: int = 0) -> Tensor:
    """(N, 5) float32 boxes of a heap: the circles of any two meet, so that no pair is spared the exact work."""
    draw = torch.Generator().manual_seed(seed)
    sides = uniform(draw, number, 30, SIDES_PX[1], 2)
    centers, angle = uniform(draw, number, 500, 520, 2), uniform(draw, number, -math.pi / 2, math.pi / 2)
    return torch.cat((centers, sides, angle), 1).float()


def scene(objects: int, seed: int = 0, *, size: int = 1024, grid: int | None = None, upright: bool = False) -> Tensor:
    """(G, 5) float32 objects of a tile, le90, sides about 6 to 130 px.

    Args:
        objects: G.
        seed: The same gives the same.
        size: Side of the tile in pixels.
        grid: Centres are multiples of it, as integer labels have them, so that distances to priors tie.
        upright: Angles are 0 or -pi/2 and sides multiples of 4 px, so that edges coincide with priors' edges.
    """
    draw = torch.Generator().manual_seed(seed)
    long = 12 * uniform(draw, objects, 0, 2.4).exp()
    short = long * uniform(draw, objects, 0.25, 1)
    centers, angle = uniform(draw, objects, 0, size, 2), uniform(draw, objects, -math.pi / 2, math.pi / 2)
    if grid:
        centers = (centers / grid).round() * grid
    if upright:
        angle = torch.where(angle < 0, -math.pi / 2, 0.0)
        long, short = ((side / 4).ceil() * 4 for side in (long, short))
    return torch.cat((centers, long, short, angle), 1).float()


def detections(objects: int, each: int, classes: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """What a head hands to NMS: ``each`` detections of every object, jittered. Boxes, distinct scores, labels."""
    draw = torch.Generator().manual_seed(seed)
    boxes = scene(objects, seed, size=size).double().repeat_interleave(each, 0)
    return _jittered(draw, boxes), *_scores_and_labels(draw, objects, each, classes)


def harbour(objects: int, each: int, size: int = 4096, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Ships of one class side by side at slanted piers, as dense as real ones: ``each`` detections a ship."""
    draw = torch.Generator().manual_seed(seed)
    columns = math.ceil(math.sqrt(objects * 2.5))
    index = torch.arange(objects)
    across, along = (index % columns).double(), (index // columns).double()
    width, length = size / columns * 0.8, size / math.ceil(objects / columns) * 0.8
    tilt = 0.3
    centers = torch.stack((across * width / 0.8 + along * math.tan(tilt), along * length / 0.8), 1) + length / 2
    sides = torch.tensor([length, width], dtype=torch.float64).expand(objects, 2)
    angle = torch.full((objects, 1), math.pi / 2 - tilt, dtype=torch.float64)
    boxes = torch.cat((centers, sides, angle), 1).repeat_interleave(each, 0)
    return _jittered(draw, boxes), *_scores_and_labels(draw, objects, each, 1)


def _jittered(draw: torch.Generator, boxes: Tensor) -> Tensor:
    noise = torch.randn(boxes.shape, generator=draw, dtype=torch.float64)
    scale = torch.cat((boxes[:, 2:4] * 0.05, boxes[:, 2:4] * 0.08, torch.full((len(boxes), 1), 0.05)), 1)
    noisy = boxes + noise * scale
    noisy[:, 2:4] = noisy[:, 2:4].clamp(min=1)
    return noisy.float()


def _scores_and_labels(draw: torch.Generator, objects: int, each: int, classes: int) -> tuple[Tensor, Tensor]:
    number = objects * each
    scores = (torch.randperm(number, generator=draw) + 1).float() / number  # distinct: no tie decides
    return scores, torch.randint(classes, (objects,), generator=draw).repeat_interleave(each)


def priors(size: int = 1024) -> tuple[Tensor, list[int]]:
    """(A, 5) float32 priors as the configs have them (side 4 x stride at column and row x stride) and levels' sizes."""
    levels = []
    for stride in STRIDES:
        steps = torch.arange(-(-size // stride), dtype=torch.float32) * stride
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        centers = torch.stack((x.flatten(), y.flatten()), 1)
        levels.append(torch.nn.functional.pad(centers, (0, 2), value=4.0 * stride))
    return torch.nn.functional.pad(torch.cat(levels), (0, 1)), [len(level) for level in levels]


def grids(size: int = 1024) -> list[tuple[int, int, float, float, float]]:
    """The levels of :func:`priors` as rows, columns, stride and the first centre."""
    return [(-(-size // stride), -(-size // stride), float(stride), 0.0, 0.0) for stride in STRIDES]
