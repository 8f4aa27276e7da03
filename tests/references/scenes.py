"""Priors on grids and random boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rotated_atss.assign import Grid


def make_grids(size: int, strides: Sequence[int], offset: float = 0.0) -> list[Grid]:
    """Return the grid of each level of a square image; ``offset`` is the first center in strides."""
    return [Grid(-(-size // s), -(-size // s), float(s), s * offset, s * offset) for s in strides]


def grid_centers(grid: Grid) -> Tensor:
    """Return the (height * width, 2) cell centers of a grid, row by row, computed as in a prior generator."""
    y, x = torch.meshgrid(
        torch.arange(grid.height) * grid.stride + grid.y0, torch.arange(grid.width) * grid.stride + grid.x0,
        indexing="ij",
    )  # fmt: skip
    return torch.stack((x.flatten(), y.flatten()), 1).float()


def grid_priors(
    size: int = 256,
    strides: Sequence[int] = (8, 16, 32, 64, 128),
    per_location: int = 1,
    offset: float = 0.0,
    anchor_scale: float = 4.0,
) -> tuple[Tensor, list[int]]:
    """Return square (A, 5) priors with angle 0, level after level, and the number of priors per level.

    The side of the priors of a location is ``anchor_scale`` strides, times 1, 4/3, 5/3 and so on.
    """
    levels = []
    for grid in make_grids(size, strides, offset):
        centers = grid_centers(grid).repeat_interleave(per_location, 0)
        scales = 1 + torch.arange(per_location) / 3
        sides = (grid.stride * anchor_scale * scales).repeat(grid.height * grid.width)[:, None]
        levels.append(torch.cat((centers, sides, sides, torch.zeros(len(centers), 1)), 1))
    return torch.cat(levels), [len(level) for level in levels]


def random_boxes(number: int, seed: int = 0, size: int = 256, step: int | None = None) -> Tensor:
    """Return (number, 5) boxes with sides of 6 to 120 pixels and any angle.

    With ``step``, centers are multiples of it, as those of integer labels are: distances to grids tie.
    """
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    boxes = torch.cat((unit[:, :2] * size, (unit[:, 2:4] * 3 + 1.8).exp(), (unit[:, 4:] - 0.5) * math.pi), 1)
    if step:
        boxes[:, :2] = (boxes[:, :2] / step).round() * step
    return boxes
