"""The nearest cells of a point on regular grids, found from the grids' numbers instead of from the priors: the work
grows with the points alone, not with the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_MAX_POINTS = {"cpu": 2000, "cuda": 1 << 20}  # at once: bounds the memory
# On the CPU the numbers of so few stay below the size at which torch wakes its threads, of half as many also those of
# both axes together: on a machine that is busy threads cost a hundred times what they give, and it is with few objects
# that one is trained.
_FEW_POINTS = 640
_NO_CELL = 0x7F800000 << 32  # the key of an infinite distance


class Grid(NamedTuple):
    """One level: rows of cells, the centres ``stride`` pixels apart along both axes."""

    height: int  # rows
    width: int  # columns
    stride: float
    x0: float = 0.0  # centre of the first cell
    y0: float = 0.0


def nearest_cells(points: Tensor, grids: Sequence[Grid], count: int, limits: Tensor | None = None) -> Tensor:
    """The ``count`` nearest cells of each point on every grid: those of an exhaustive search that compares distances
    in float32 and takes the lower index among equals.

    Along an axis a division tells the nearest lines in order. The cell at the i-th nearest row and the j-th nearest
    column (from 0) has ``(i + 1) (j + 1) - 1`` cells at least as near, so that the cells wanted lie on a staircase of
    such pairs: 31 cells for nine, however large the grid, also at its borders. Its steps are one wider than that
    demands, for distances that rounding makes equal.

    Args:
        points: (G, 2) float32 or float64, no farther than some hundred thousand pixels from the grids.
        grids: L of them.
        count: Cells wanted; a smaller grid gives what it has.
        limits: (2, L, G) int64, the rows and columns that exist for each point; None for all of them.

    Returns:
        (G, L, count) int64, ``row * width + column``, nearest first; -1 where a grid, or what exists of it for this
        point, has no more cells.
    """
    most = _MAX_POINTS.get(points.device.type, 1 << 16)
    chunk = _FEW_POINTS if points.device.type == "cpu" and len(points) <= most // 2 else most
    if len(points) <= chunk:
        return _nearest_cells(points, grids, count, limits)
    limited = [None] * len(points) if limits is None else limits.split(chunk, -1)
    parts = [_nearest_cells(part, grids, count, limit) for part, limit in zip(points.split(chunk), limited)]
    return torch.cat(parts)


def _nearest_cells(points: Tensor, grids: Sequence[Grid], count: int, limits: Tensor | None) -> Tensor:
    sizes = torch.tensor([[g.height for g in grids], [g.width for g in grids]], device=points.device)[..., None]
    (rows, from_rows), (columns, from_columns) = _nearest_of_axes(
        points, grids, sizes if limits is None else limits, count + 1
    )
    rows = rows * sizes[1].int()
    steps = _staircase(count)
    shape = (sum(steps), len(grids), len(points))
    distance, index = from_rows.new_empty(shape), rows.new_empty(shape)
    start = 0
    for row, step in enumerate(steps):
        tread = slice(start, start + step)
        torch.add(from_columns[:step], from_rows[row], out=distance[tread])
        torch.add(columns[:step], rows[row], out=index[tread])
        start += step
    nearest = _smallest(distance.float().flatten(1), index.flatten(1), count)
    return nearest.view(len(grids), len(points), count).transpose(0, 1)


@cache
def _staircase(count: int) -> list[int]:
    """For the nearest row, the next and so on: with how many of the nearest columns it is compared."""

    def needed(row: int, column: int) -> bool:
        return row + column <= count if row == 0 or column == 0 else (row + 1) * (column + 1) <= count + 3

    return [sum(needed(row, column) for column in range(count + 1)) for row in range(count + 1)]


def _nearest_of_axes(points: Tensor, grids: Sequence[Grid], sizes: Tensor, number: int) -> list[tuple[Tensor, Tensor]]:
    """:func:`_nearest_lines` of the rows and of the columns, both at once or one after the other."""
    strides = points.new_tensor([g.stride for g in grids])[:, None]
    origins = points.new_tensor([[g.y0 for g in grids], [g.x0 for g in grids]])[..., None]
    position = points.flip(1).t()[:, None]  # (2, 1, G)
    apart = points.device.type == "cpu" and _FEW_POINTS // 2 < len(points) <= _FEW_POINTS
    found = [
        _nearest_lines(position[axes], origins[axes], strides, sizes[axes], number)
        for axes in ([slice(0, 1), slice(1, 2)] if apart else [slice(0, 2)])
    ]
    return [axis for lines, squared in found for axis in zip(lines.unbind(1), squared.unbind(1))]


def _nearest_lines(
    position: Tensor, origins: Tensor, strides: Tensor, sizes: Tensor, number: int
) -> tuple[Tensor, Tensor]:
    """The ``number`` nearest rows or columns, nearest first, the lower first among equals.

    Args:
        position: (X, 1, G), where the points lie on each axis.
        origins: (X, L, 1), where the first line lies.
        strides: (L, 1) pixels from line to line.
        sizes: (X, L, 1) or (X, L, G), how many lines there are.
        number: R.

    Returns:
        (R, X, L, G) int32 lines and their squared distances, infinite where there is no such line.
    """
    last = (sizes - 1).to(position)
    place = ((position - origins) / strides).nan_to_num_(0.0)
    first = (place - 0.5).ceil_().clamp_(min=0).minimum(last)  # halves go down: the lower of two equals
    towards = (place > first).to(position).mul_(2).sub_(1)  # the side on which the second nearest lies
    ahead = torch.where(towards > 0, last - first, first)
    shorter = torch.minimum(ahead, last - ahead)  # so many lie on either side, taken in turns; the rest on one
    one_sided = torch.where(ahead * 2 >= last, towards, -towards)
    rank = torch.arange(number, dtype=position.dtype, device=position.device).view(-1, 1, 1, 1)
    in_turns = torch.where(rank % 2 == 1, (rank + 1) / 2, -rank / 2) * towards
    lines = (rank - shorter).mul_(one_sided)
    lines = torch.where(rank <= 2 * shorter, in_turns, lines).add_(first)
    squared = torch.mul(lines, strides).add_(origins).sub_(position).square_()
    squared.masked_fill_(rank > last, torch.inf)
    return lines.clamp_(min=0).int(), squared


def _smallest(distance: Tensor, index: Tensor, count: int) -> Tensor:
    """(N, count) int64 of (S, N) float32 distances and int32 indices: the indices with the smallest, the lower index
    among equals, -1 for infinite ones.
    """
    # a float that is not negative orders as its bits do: with the index below them every key is unique
    if distance.device.type == "cpu":
        # NumPy sorts short rows ten times faster than torch
        keys = np.empty((distance.shape[1], len(distance)), dtype=np.int64)
        np.left_shift(distance.view(torch.int32).numpy().T, np.int64(32), out=keys, dtype=np.int64)
        keys |= index.numpy().T
        keys.sort(axis=1)
        smallest = torch.from_numpy(keys[:, :count])
    else:
        keys_ = distance.t().contiguous().view(torch.int32).long().bitwise_left_shift_(32).bitwise_or_(index.t())
        smallest = keys_.topk(min(count, keys_.shape[1]), largest=False, sorted=True).values
    return torch.where(smallest < _NO_CELL, smallest & 0xFFFFFFFF, -1)
