"""Find the grid cells whose centers are nearest to given points.

Few cells are examined per point, so the time does not depend on the size of the grids:

1. Rank the rows and the columns of a grid by their distance to the point. Rank 0 is the nearest. The ranks are computed
   from the point's coordinates in units of the stride, without sorting.
2. Discard cells by their ranks. The rows of ranks 0 to i and the columns of ranks 0 to j have ``(i + 1) * (j + 1)``
   cells in common. The cell of row rank i and column rank j is the farthest of these cells from the point. If there
   are more than ``num_cells`` of these cells, the farthest one is not needed.
3. Sort the remaining cells by distance. To find the 9 nearest cells, 31 cells are sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# torch computes tensors of more than 32,768 elements in several threads. On a busy machine, threads cost up to a
# hundred times what they save. Training images usually have few boxes, so the tensors are kept below this limit: with
# 10 ranks (9 candidates plus 1) and 5 levels, a tensor for one axis has 50 elements per point, and a tensor for both
# axes has 100. The limit is reached at about 640 and 320 points.
_MAX_POINTS_OF_ONE_AXIS = 640
_MAX_POINTS_OF_BOTH_AXES = 320
# More points than this are not split into chunks of 640 points, because the overhead of the chunks would exceed the
# cost of the threads.
_MAX_SINGLE_THREAD_POINTS = 1000
_MAX_POINTS_PER_CHUNK = {"cpu": 2000, "cuda": 1 << 20}  # bounds the memory
_MAX_POINTS_PER_CHUNK_ON_OTHER_DEVICES = 1 << 16
# Smallest sort key of an infinite distance. 0x7F800000 is the bit pattern of infinity in float32.
_INFINITE_DISTANCE_KEY = 0x7F800000 << 32


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
    x0: float = 0.0  # x of the center of the first cell, in pixels
    y0: float = 0.0  # y of the center of the first cell, in pixels


def nearest_cells(points: Tensor, grids: Sequence[Grid], num_cells: int, valid_hw: Tensor | None = None) -> Tensor:
    """Find the cells of every grid whose centers are nearest to each point.

    The result is the same as with an exhaustive search that compares distances in float32 and, of cells at the same
    distance, takes the cell with the lowest index first.

    Args:
        points: (N, 2) float32 or float64 in pixels, within some hundred thousand pixels of the grids.
        grids: L grids.
        num_cells: Cells to find per point and grid.
        valid_hw: (2, L, N) int64, the number of valid rows and the number of valid columns per grid and point. None if
            all cells are valid.

    Returns:
        (N, L, num_cells) int64 cell indices ``row * width + column``, nearest first. If a grid has fewer valid cells
        than ``num_cells``, -1 fills the remaining places.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.grids import Grid, nearest_cells
        >>> nearest_cells(torch.tensor([[9.0, 1.0]]), [Grid(height=2, width=3, stride=8.0)], 2)
        tensor([[[1, 2]]])
    """
    chunk_size = _points_per_chunk(len(points), points.device.type)
    if len(points) <= chunk_size:
        return _nearest_cells_of_chunk(points, grids, num_cells, valid_hw)
    chunks = points.split(chunk_size)
    if valid_hw is None:
        return torch.cat([_nearest_cells_of_chunk(chunk, grids, num_cells, None) for chunk in chunks])
    hw_chunks = valid_hw.split(chunk_size, dim=2)
    return torch.cat([_nearest_cells_of_chunk(chunk, grids, num_cells, hw) for chunk, hw in zip(chunks, hw_chunks)])


def _points_per_chunk(num_points: int, device_type: str) -> int:
    """Return the maximum number of points per chunk if there are ``num_points`` points in total."""
    if device_type == "cpu" and num_points <= _MAX_SINGLE_THREAD_POINTS:
        return _MAX_POINTS_OF_ONE_AXIS
    return _MAX_POINTS_PER_CHUNK.get(device_type, _MAX_POINTS_PER_CHUNK_ON_OTHER_DEVICES)


def _nearest_cells_of_chunk(points: Tensor, grids: Sequence[Grid], num_cells: int, valid_hw: Tensor | None) -> Tensor:
    """Find the nearest cells (N, L, num_cells) of a chunk of points (N, 2). All distances are squared."""
    grid_hw = torch.tensor([[g.height for g in grids], [g.width for g in grids]])[..., None]  # (2, L, 1)
    grid_hw = grid_hw.to(points.device, non_blocking=True)
    (rows, row_distances), (columns, column_distances) = _nearest_rows_and_columns(
        points, grids, grid_hw if valid_hw is None else valid_hw, num_ranks=num_cells + 1
    )
    row_starts = rows * grid_hw[1].int()  # (R, L, N), index of the first cell of each row
    columns_per_row = _num_columns_per_row(num_cells)
    shape = (sum(columns_per_row), len(grids), len(points))  # one entry per examined cell, grid and point
    distances, cells = row_distances.new_empty(shape), rows.new_empty(shape)
    start = 0
    for row_rank, num_columns in enumerate(columns_per_row):
        cells_of_row = slice(start, start + num_columns)
        torch.add(column_distances[:num_columns], row_distances[row_rank], out=distances[cells_of_row])
        torch.add(columns[:num_columns], row_starts[row_rank], out=cells[cells_of_row])
        start += num_columns
    # Flattened, each (grid, point) pair is a separate point of _sort_by_distance.
    nearest = _sort_by_distance(distances.float().flatten(1), cells.flatten(1), num_cells)
    return nearest.view(len(grids), len(points), num_cells).transpose(0, 1)


@cache
def _num_columns_per_row(num_cells: int) -> list[int]:
    """Return how many of the nearest columns to examine in each of the rows of ranks 0 to ``num_cells``.

    With exact distances, the cell of row rank i and column rank j is needed only if ``(i + 1) * (j + 1) <= num_cells``.
    Rounding can change the order of almost equal distances, so a few more cells are examined.
    """

    def is_examined(row_rank: int, column_rank: int) -> bool:
        margin = 1 if row_rank == 0 or column_rank == 0 else 3  # found by comparing with exhaustive search
        return (row_rank + 1) * (column_rank + 1) <= num_cells + margin

    ranks = range(num_cells + 1)
    return [sum(is_examined(row_rank, column_rank) for column_rank in ranks) for row_rank in ranks]


def _nearest_rows_and_columns(
    points: Tensor, grids: Sequence[Grid], valid_hw: Tensor, num_ranks: int
) -> list[tuple[Tensor, Tensor]]:
    """Find the nearest rows and the nearest columns of each point, nearest first.

    Args:
        points: (N, 2) pixels.
        grids: L grids.
        valid_hw: (2, L, 1) or (2, L, N), the number of valid rows and the number of valid columns.
        num_ranks: R, the number of rows to find, and also the number of columns to find.

    Returns:
        A list of two tuples, the first for the rows and the second for the columns. Each tuple has the (R, L, N)
        indices and the (R, L, N) squared distances along the axis.
    """
    strides = torch.tensor([g.stride for g in grids], dtype=points.dtype)[:, None]
    origins = torch.tensor([[g.y0 for g in grids], [g.x0 for g in grids]], dtype=points.dtype)[..., None]  # (2, L, 1)
    strides, origins = (values.to(points.device, non_blocking=True) for values in (strides, origins))
    yx = points.flip(1).t()[:, None]  # (2, 1, N)
    if points.device.type == "cpu" and _MAX_POINTS_OF_BOTH_AXES < len(points) <= _MAX_POINTS_OF_ONE_AXIS:
        # Process one axis at a time, because torch would compute tensors for both axes in several threads.
        return [_nearest_lines(yx[axis], origins[axis], strides, valid_hw[axis], num_ranks) for axis in (0, 1)]
    lines, squared_distances = _nearest_lines(yx, origins, strides, valid_hw, num_ranks)  # (R, 2, L, N)
    return list(zip(lines.unbind(1), squared_distances.unbind(1)))


def _nearest_lines(
    coordinates: Tensor, origins: Tensor, strides: Tensor, num_lines: Tensor, num_ranks: int
) -> tuple[Tensor, Tensor]:
    """Find the nearest lines (rows or columns) of each point, sorted by distance, then by index.

    Args:
        coordinates: (..., 1, N) coordinates of the points along an axis, in pixels. For one axis, ``...`` is
            empty; for both axes, it is 2.
        origins: (..., L, 1) coordinates of line 0.
        strides: (L, 1) distances between lines.
        num_lines: (..., L, 1) or (..., L, N) numbers of valid lines.
        num_ranks: R, the number of lines to find.

    Returns:
        (R, ..., L, N) int32 indices of lines and their squared distances. For ranks beyond the number of valid lines,
        the distance is infinite and the index is meaningless.
    """
    last_line = (num_lines - 1).to(coordinates)
    # Position of each point in units of lines. It is NaN if the center of an invalid box is NaN. NaN is replaced by 0,
    # because such boxes are assigned to no prior, so any line is good enough for them.
    position = ((coordinates - origins) / strides).nan_to_num_(0.0)
    nearest = (position - 0.5).ceil_().clamp_(min=0).minimum(last_line)  # the lower line if two are equally near
    # A line is "ahead" if it is on the same side of the nearest line as the point. The second nearest line is ahead.
    # direction is 1 if the lines ahead have higher indices than the nearest line, -1 if they have lower indices.
    direction = (position > nearest).to(coordinates).mul_(2).sub_(1)
    num_ahead = torch.where(direction > 0, last_line - nearest, nearest)
    num_behind = last_line - num_ahead
    # Sorted by distance, lines ahead (odd ranks) and lines behind (even ranks) alternate until one side has no more
    # lines. This shorter side then has num_on_shorter_side of the ranks so far. All further ranks are on the longer
    # side: the line of such a rank r is r - num_on_shorter_side lines away from the nearest line.
    num_on_shorter_side = torch.minimum(num_ahead, num_behind)
    longer_direction = torch.where(num_ahead >= num_behind, direction, -direction)
    rank = torch.arange(num_ranks, dtype=coordinates.dtype, device=coordinates.device)
    rank = rank.view(-1, *[1] * coordinates.ndim)  # (R, 1, ..., 1)
    alternating_offset = torch.where(rank % 2 == 1, (rank + 1) / 2, -rank / 2) * direction
    remaining_offset = (rank - num_on_shorter_side).mul_(longer_direction)
    lines = torch.where(rank <= 2 * num_on_shorter_side, alternating_offset, remaining_offset).add_(nearest)
    squared_distances = torch.mul(lines, strides).add_(origins).sub_(coordinates).square_()
    squared_distances.masked_fill_(rank > last_line, torch.inf)
    return lines.clamp_(min=0).int(), squared_distances


def _sort_by_distance(distances: Tensor, cells: Tensor, num_cells: int) -> Tensor:
    """Return the nearest cells of each point, sorted by distance, then by cell index.

    Args:
        distances: (S, N) float32, not negative, distances of N points to their S examined cells.
        cells: (S, N) int32 cell indices.
        num_cells: Cells to return per point.

    Returns:
        (N, num_cells) int64 cell indices, -1 instead of cells at an infinite distance.
    """
    # The upper 32 bits of a key are the float32 distance, and the lower 32 bits are the cell index. Non-negative floats
    # sort in the same order as their bits read as integers. All keys of a point differ, so the order is unique.
    if distances.device.type == "cpu":
        # NumPy sorts short rows ten times as fast as torch.
        keys = np.empty((distances.shape[1], len(distances)), dtype=np.int64)
        np.left_shift(distances.view(torch.int32).numpy().T, np.int64(32), out=keys, dtype=np.int64)
        keys |= cells.numpy().T
        keys.sort(axis=1)
        smallest = torch.from_numpy(keys[:, :num_cells])
    else:
        device_keys = distances.t().contiguous().view(torch.int32).long().bitwise_left_shift_(32)
        device_keys.bitwise_or_(cells.t())
        smallest = device_keys.topk(min(num_cells, device_keys.shape[1]), largest=False, sorted=True).values
    return torch.where(smallest < _INFINITE_DISTANCE_KEY, smallest & 0xFFFFFFFF, -1)
