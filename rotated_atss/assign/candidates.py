"""The candidates of an object: on every level the k priors whose centres are nearest to its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rotated_atss.assign.box_forms import centers
from rotated_atss.assign.grids import Grid, nearest_cells
from rotated_atss.assign.validation import check_grids, check_valid_hw

SAME_CENTER_PX = 1e-3  # priors of one location differ by roundings, of two by a stride
_DISTANCES_PER_CHUNK = 1 << 18  # 4 MB of buffers
# Candidates a level. The pairs of rows and columns that could hold them grow faster than they do: from some hundreds on
# it is cheaper to look at every prior.
_MAX_TOPK_ON_GRIDS = 200


class PriorLayout(NamedTuple):
    """How the priors of a batch lie: their levels, and what of them exists in which image."""

    level_sizes: list[int]
    grids: list[Grid] | None
    valid_hw: list[list[tuple[int, int]]] | None  # of each image, rows and columns a level; None for all

    @classmethod
    def of(
        cls,
        level_sizes: Sequence[int],
        grids: Sequence[Grid | tuple] | None,
        valid_hw: Sequence[Sequence[tuple[int, int]]] | None,
        images: int,
    ) -> PriorLayout:
        """Checked: ``ValueError`` where they do not fit together."""
        sizes = [int(size) for size in level_sizes]
        if grids is None and valid_hw is not None:
            raise ValueError("valid_hw counts cells of grids, but no grids were given. Pass grids too.")
        if grids is None:
            return cls(sizes, None, None)
        named = [Grid(*grid) for grid in grids]
        check_grids(named, sizes)
        if valid_hw is None:
            return cls(sizes, named, None)
        check_valid_hw(valid_hw, named, images)
        whole = [(grid.height, grid.width) for grid in named]
        existing = [[(rows, columns) for rows, columns in each] for each in valid_hw]
        return cls(sizes, named, None if all(each == whole for each in existing) else existing)

    def excluded(self, image: int, ignored: Tensor | None, device: torch.device) -> Tensor | None:
        """(A,) bool, the priors of an image that are ``ignored`` or do not exist; None if there are none."""
        if self.valid_hw is None:
            return ignored
        beyond = [self._beyond(level, *cells) for level, cells in enumerate(self.valid_hw[image])]
        missing = torch.cat(beyond).to(device)
        return missing if ignored is None else missing | ignored

    def _beyond(self, level: int, rows: int, columns: int) -> Tensor:
        assert self.grids is not None
        grid, size = self.grids[level], self.level_sizes[level]
        beyond = torch.ones(grid.height, grid.width, dtype=torch.bool)
        beyond[:rows, :columns] = False
        return beyond.flatten().repeat_interleave(size // max(1, beyond.numel()))


def find_grids(priors: Tensor, level_sizes: Sequence[int]) -> list[Grid] | None:
    """The grids that the centres of priors (A, 5) or (A, 4) are, to :data:`SAME_CENTER_PX`; None where a level is
    none. Reads values: on CUDA it waits for the device.
    """
    grids = [_find_grid(level) for level in centers(priors.detach()).double().cpu().split(list(level_sizes))]
    return None if any(grid is None for grid in grids) else [grid for grid in grids if grid is not None]


def _find_grid(points: Tensor) -> Grid | None:
    """The grid of one level's centres (N, 2)."""
    if not len(points):
        return Grid(0, 0, 1.0)
    located = _leading((points[:64] - points[0]).abs().amax(1))
    cells = points[::located]
    width = _leading((cells[:, 1] - cells[0, 1]).abs())
    if len(points) % (located * width):
        return None
    cells = cells.view(-1, width, 2)
    along = cells[0, 1, 0] - cells[0, 0, 0] if width > 1 else cells[-1, 0, 1] - cells[0, 0, 1]
    stride = float(along) / (1 if width > 1 else max(1, len(cells) - 1))
    grid = Grid(len(cells), width, round(stride, 6) or 1.0, *points[0].tolist())
    x = grid.x0 + grid.stride * torch.arange(width, dtype=torch.float64)
    y = grid.y0 + grid.stride * torch.arange(len(cells), dtype=torch.float64)[:, None]
    each = points.view(len(cells), width, located, 2)
    off = torch.maximum((each[..., 0] - x[:, None]).abs().amax(), (each[..., 1] - y[..., None]).abs().amax())
    return grid if grid.stride > 0 and float(off) < SAME_CENTER_PX else None


def _leading(distance: Tensor) -> int:
    """How many of the first distances (N,) are none."""
    return int((distance < SAME_CENTER_PX).long().cumprod(0).sum())


def select_candidates(
    middles: Tensor, layout: PriorLayout, points: Tensor, image: Tensor, count: int, ignored: Sequence[Tensor | None]
) -> Tensor:
    """The candidates of all objects of a batch.

    Args:
        middles: (A, 2) centres of the priors.
        layout: Of the priors.
        points: (G, 2) centres of the objects, image by image.
        image: (G,) the image of each.
        count: Priors wanted a level.
        ignored: (A,) bool of each image, priors that are no candidates; None for none.

    Returns:
        (G, K) int64, a level after the other, nearest first; -1 where there is none.
    """
    grids = layout.grids if count <= _MAX_TOPK_ON_GRIDS and all(mask is None for mask in ignored) else None
    if grids is not None:
        limits = None
        if layout.valid_hw is not None:
            limits = torch.tensor(layout.valid_hw).permute(2, 1, 0).to(points.device)[..., image]
        return nearest_priors_on_grids(points, grids, layout.level_sizes, count, limits)
    chosen, start = [], 0
    for number, objects in enumerate(torch.bincount(image, minlength=len(ignored)).tolist()):
        excluded = layout.excluded(number, ignored[number], points.device)
        part = points[start : start + objects]
        nearest = nearest_priors(middles, layout.level_sizes, part, count, excluded)
        chosen.append(nearest if excluded is None else torch.where(excluded[nearest], -1, nearest))
        start += objects
    return torch.cat(chosen)


def nearest_priors_on_grids(
    points: Tensor, grids: Sequence[Grid], level_sizes: Sequence[int], count: int, limits: Tensor | None = None
) -> Tensor:
    """:func:`nearest_priors` of levels that are grids, without touching a prior.

    Args:
        points: (G, 2).
        grids: One a level.
        level_sizes: Number of priors a level, a multiple of its grid's cells: those of a cell share its centre and
            follow each other.
        count: Priors wanted a level.
        limits: (2, L, G) int64, rows and columns that exist for each point; None for all.

    Returns:
        (G, K) int64 as :func:`nearest_priors`; -1 where a point has no more.
    """
    located = [size // max(1, grid.height * grid.width) for size, grid in zip(level_sizes, grids)]
    used = [level for level, size in enumerate(level_sizes) if size]
    if limits is not None:
        limits = limits[:, used]
    wanted = -(-count // min(located[level] for level in used))
    cells = nearest_cells(points, [grids[level] for level in used], wanted, limits)
    starts = torch.tensor([sum(level_sizes[:level]) for level in used], device=points.device)[:, None]
    if all(located[level] == 1 and level_sizes[level] >= count for level in used):  # every level gives as many
        return (cells + starts if limits is None else torch.where(cells >= 0, cells + starts, -1)).flatten(1)
    nearest = []
    for column, level in enumerate(used):
        priors = _priors_of_cells(cells[:, column], located[level])[:, : min(count, level_sizes[level])]
        nearest.append(torch.where(priors >= 0, priors + starts[column], -1))
    return torch.cat(nearest, 1)


def _priors_of_cells(cells: Tensor, located: int) -> Tensor:
    """(G, C) cells as (G, C * located) priors."""
    if located == 1:
        return cells
    each = torch.arange(located, device=cells.device)
    return torch.where(cells[..., None] >= 0, cells[..., None] * located + each, -1).flatten(1)


def nearest_priors(
    middles: Tensor, level_sizes: Sequence[int], points: Tensor, count: int, excluded: Tensor | None = None
) -> Tensor:
    """The ``count`` nearest priors of each point in every level, by exhaustive search in bounded memory.

    Args:
        middles: (A, 2) centres of the priors.
        level_sizes: Number of priors a level.
        points: (G, 2).
        count: Priors wanted a level; a smaller level gives all it has.
        excluded: (A,) bool, priors that are taken only when a level has nothing else.

    Returns:
        (G, K) int64 indices, a level after the other, nearest first, the lower index first among equals.
    """
    nearest, start = [], 0
    for size in level_sizes:
        level = slice(start, start + size)
        if size:
            skip = None if excluded is None else excluded[level]
            nearest.append(_nearest_in_level(middles[level], points, min(count, size), skip) + start)
        start += size
    return torch.cat(nearest, 1)


def _nearest_in_level(middles: Tensor, points: Tensor, count: int, excluded: Tensor | None) -> Tensor:
    rows = max(1, min(len(points), _DISTANCES_PER_CHUNK // len(middles)))
    # buffers of one chunk, used again and again: fresh ones for every chunk would fragment the heap
    across, down = middles.new_empty((2, rows, len(middles))).unbind(0)
    keys = torch.empty((rows, len(middles)), dtype=torch.int64, device=middles.device)
    nearest = keys.new_empty((len(points), count))
    index = torch.arange(len(middles), device=middles.device)
    for start in range(0, len(points), rows):
        part = points[start : start + rows]
        squared, other, key = across[: len(part)], down[: len(part)], keys[: len(part)]
        torch.sub(part[:, :1], middles[:, 0], out=squared).square_()
        torch.sub(part[:, 1:], middles[:, 1], out=other).square_()
        squared += other
        if excluded is not None:
            squared.masked_fill_(excluded, torch.inf)
        # a float that is not negative orders as its bits do: with the index below them every key is unique, and so is
        # the choice
        key.copy_(squared.float().view(torch.int32)).bitwise_left_shift_(32).bitwise_or_(index)
        nearest[start : start + rows] = key.topk(count, largest=False, sorted=True).values
    return nearest.bitwise_and_(0xFFFFFFFF)
