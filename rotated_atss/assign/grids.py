"""Search for the cells of regular grids whose centers are nearest to given points.

The cells are computed from the parameters of the grids. The cost is proportional to the number of points and does not
depend on the size of the grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_MAX_POINTS = {"cpu": 2000, "cuda": 1 << 20}  # points per chunk, which bounds the memory
# torch computes tensors of more than 32,768 elements in several threads. On a busy machine, threads cost up to a
# hundred times what they save, and training images usually have few boxes. 640 points x 10 lines x 5 levels are 32,000
# elements per axis; tensors that hold both axes reach the limit at 320 points.
_SINGLE_THREAD_POINTS = 640
_NO_CELL = 0x7F800000 << 32  # key of an infinite distance: the bits of infinity in float32, then index 0


class Grid(NamedTuple):
    """Rows and columns of cells whose centers are ``stride`` pixels apart along both axes.

    Example:
        >>> from rotated_atss.assign import Grid
        >>> Grid(height=128, width=128, stride=8.0, x0=4.0, y0=4.0)
        Grid(height=128, width=128, stride=8.0, x0=4.0, y0=4.0)
    """

    height: int  # rows
    width: int  # columns
    stride: float
    x0: float = 0.0  # center of the first cell in pixels
    y0: float = 0.0


def nearest_cells(points: Tensor, grids: Sequence[Grid], num_cells: int, valid_hw: Tensor | None = None) -> Tensor:
    """Find the nearest cells of each point on every grid.

    The result is that of an exhaustive search that compares distances in float32 and takes the lower index first among
    equal distances.

    For each point, the rows and the columns of the grid are ranked by their distance to it; rank 0 is the nearest. The
    ranks follow from the quotient of coordinate and stride, without sorting. No cell of row rank i and column rank j is
    nearer than the ``(i + 1) (j + 1) - 1`` other cells whose ranks are at most i and j. If this number is ``num_cells``
    or more, the cell need not be examined. A margin keeps the cells whose distances become equal by rounding. For
    ``num_cells = 9``, 31 cells are examined, for any size of the grid and also at its borders.

    Args:
        points: (N, 2) float32 or float64, within some hundred thousand pixels of the grids.
        grids: L grids.
        num_cells: Cells per point and grid; a smaller grid has fewer.
        valid_hw: (2, L, N) int64, the numbers of valid rows and of valid columns per grid and point; None if all cells
            are valid.

    Returns:
        (N, L, num_cells) int64 ``row * width + column``, nearest first; -1 where a grid has no more valid cells.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.grids import Grid, nearest_cells
        >>> nearest_cells(torch.tensor([[9.0, 1.0]]), [Grid(height=2, width=3, stride=8.0)], 2)
        tensor([[[1, 2]]])
    """
    max_points = _MAX_POINTS.get(points.device.type, 1 << 16)
    single_thread = points.device.type == "cpu" and len(points) <= max_points // 2
    chunk = _SINGLE_THREAD_POINTS if single_thread else max_points
    if len(points) <= chunk:
        return _nearest_cells(points, grids, num_cells, valid_hw)
    chunks_hw = [None] * len(points) if valid_hw is None else valid_hw.split(chunk, -1)
    return torch.cat([_nearest_cells(part, grids, num_cells, hw) for part, hw in zip(points.split(chunk), chunks_hw)])


def _nearest_cells(points: Tensor, grids: Sequence[Grid], num_cells: int, valid_hw: Tensor | None) -> Tensor:
    """Find the nearest cells (N, L, num_cells) of a chunk of points."""
    sizes = torch.tensor([[g.height for g in grids], [g.width for g in grids]])[..., None]
    sizes = sizes.to(points.device, non_blocking=True)
    (rows, row_distances), (columns, column_distances) = _nearest_rows_and_columns(
        points, grids, sizes if valid_hw is None else valid_hw, num_cells + 1
    )
    first_cells = rows * sizes[1].int()  # index of the first cell of each row
    step_widths = _staircase(num_cells)
    shape = (sum(step_widths), len(grids), len(points))
    distance, index = row_distances.new_empty(shape), rows.new_empty(shape)
    start = 0
    for row_rank, width in enumerate(step_widths):
        pairs = slice(start, start + width)
        torch.add(column_distances[:width], row_distances[row_rank], out=distance[pairs])
        torch.add(columns[:width], first_cells[row_rank], out=index[pairs])
        start += width
    nearest = _smallest(distance.float().flatten(1), index.flatten(1), num_cells)
    return nearest.view(len(grids), len(points), num_cells).transpose(0, 1)


@cache
def _staircase(num_cells: int) -> list[int]:
    """Return, per row rank, how many of the nearest columns to combine with that row."""

    def is_examined(row_rank: int, column_rank: int) -> bool:
        if row_rank == 0 or column_rank == 0:
            return row_rank + column_rank <= num_cells  # exact distances need < num_cells
        return (row_rank + 1) * (column_rank + 1) <= num_cells + 3  # exact distances need <= num_cells

    ranks = range(num_cells + 1)
    return [sum(is_examined(row_rank, column_rank) for column_rank in ranks) for row_rank in ranks]


def _nearest_rows_and_columns(
    points: Tensor, grids: Sequence[Grid], sizes: Tensor, num_lines: int
) -> list[tuple[Tensor, Tensor]]:
    """Find the nearest rows and the nearest columns of each point, each with squared distances, nearest first."""
    strides = torch.tensor([g.stride for g in grids], dtype=points.dtype)[:, None]
    origins = torch.tensor([[g.y0 for g in grids], [g.x0 for g in grids]], dtype=points.dtype)[..., None]
    strides, origins = (values.to(points.device, non_blocking=True) for values in (strides, origins))
    position = points.flip(1).t()[:, None]  # (2, 1, N)
    # separately where tensors that hold both axes would be computed in several threads
    separate_axes = points.device.type == "cpu" and _SINGLE_THREAD_POINTS // 2 < len(points) <= _SINGLE_THREAD_POINTS
    results = [
        _nearest_lines(position[axes], origins[axes], strides, sizes[axes], num_lines)
        for axes in ([slice(0, 1), slice(1, 2)] if separate_axes else [slice(0, 2)])
    ]
    return [axis for lines, squared in results for axis in zip(lines.unbind(1), squared.unbind(1))]


def _nearest_lines(
    position: Tensor, origins: Tensor, strides: Tensor, sizes: Tensor, num_lines: int
) -> tuple[Tensor, Tensor]:
    """Find the nearest lines (rows or columns), nearest first, the lower one first among equal distances.

    Args:
        position: (X, 1, N) coordinates of the points on X axes.
        origins: (X, L, 1) coordinates of the first lines.
        strides: (L, 1) distances between lines.
        sizes: (X, L, 1) or (X, L, N) numbers of valid lines.
        num_lines: R.

    Returns:
        (R, X, L, N) int32 lines and their squared distances, infinite for lines outside the grid.
    """
    last = (sizes - 1).to(position)
    # fractional; centers of invalid boxes can be NaN, and any line will do for them, because they are assigned no prior
    line = ((position - origins) / strides).nan_to_num_(0.0)
    first = (line - 0.5).ceil_().clamp_(min=0).minimum(last)  # nearest line; the lower one if two are equally near
    direction = (line > first).to(position).mul_(2).sub_(1)  # toward the second nearest line
    ahead = torch.where(direction > 0, last - first, first)  # number of lines in that direction
    # By distance, lines of both sides alternate until the shorter side ends; the others lie on the longer side.
    shorter_side = torch.minimum(ahead, last - ahead)  # number of its lines
    longer_side = torch.where(ahead * 2 >= last, direction, -direction)  # its direction
    rank = torch.arange(num_lines, dtype=position.dtype, device=position.device).view(-1, 1, 1, 1)
    alternating = torch.where(rank % 2 == 1, (rank + 1) / 2, -rank / 2) * direction
    lines = (rank - shorter_side).mul_(longer_side)
    lines = torch.where(rank <= 2 * shorter_side, alternating, lines).add_(first)
    squared = torch.mul(lines, strides).add_(origins).sub_(position).square_()
    squared.masked_fill_(rank > last, torch.inf)
    return lines.clamp_(min=0).int(), squared


def _smallest(distance: Tensor, index: Tensor, number: int) -> Tensor:
    """Select per column the indices of the smallest distances, the lower index first among equal distances.

    Args:
        distance: (S, N) float32, not negative.
        index: (S, N) int32.
        number: Indices to select per column.

    Returns:
        (N, number) int64, -1 for infinite distances.
    """
    # A key has the bits of the distance above the index. The bits of non-negative floats, read as an integer, have the
    # order of the floats. All keys of a column differ.
    if distance.device.type == "cpu":
        # NumPy sorts short rows ten times as fast as torch.
        array = np.empty((distance.shape[1], len(distance)), dtype=np.int64)
        np.left_shift(distance.view(torch.int32).numpy().T, np.int64(32), out=array, dtype=np.int64)
        array |= index.numpy().T
        array.sort(axis=1)
        smallest = torch.from_numpy(array[:, :number])
    else:
        keys = distance.t().contiguous().view(torch.int32).long().bitwise_left_shift_(32).bitwise_or_(index.t())
        smallest = keys.topk(min(number, keys.shape[1]), largest=False, sorted=True).values
    return torch.where(smallest < _NO_CELL, smallest & 0xFFFFFFFF, -1)
