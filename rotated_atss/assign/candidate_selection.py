"""Select the candidates of each ground-truth box: a fixed number of priors per level, those with the nearest centers.

The code implements lines 2 to 6 of Algorithm 1 of the ATSS paper (Zhang et al., arXiv 1912.02424).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rotated_atss.assign.grids import Grid, nearest_cells
from rotated_atss.assign.prior_layout import PriorLayout

_DISTANCES_PER_CHUNK = 1 << 18  # takes 4 MiB, because each distance needs two float32 values and an int64 key
# On a grid, the number of cells to examine grows faster than the number of candidates. For several hundred candidates,
# the exhaustive search is faster.
_MAX_CANDIDATES_ON_GRIDS = 200


def select_candidates(
    prior_centers: Tensor,
    layout: PriorLayout,
    gt_centers: Tensor,
    image_index: Tensor,
    num_candidates: int,
    ignore_masks: Sequence[Tensor | None],
) -> Tensor:
    """Select the candidates of all ground-truth boxes of a batch, from the grids if possible.

    Args:
        prior_centers: (A, 2) pixels.
        layout: Level sizes of the priors, and the grids of their centers if there are any.
        gt_centers: (G, 2) pixels, sorted by image.
        image_index: (G,) int64, per box, the index of its image.
        num_candidates: Candidates per level and box, ``topk`` times the priors per location.
        ignore_masks: Per image, an (A,) bool mask of the priors that cannot be candidates, or None.

    Returns:
        (G, K) int64 indices of priors, level after level and nearest first within a level. If a level has too few
        priors that can be candidates, -1 fills the remaining places.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import PriorLayout
        >>> from rotated_atss.assign.candidate_selection import select_candidates
        >>> layout = PriorLayout.create([2], grids=None, valid_hw=None, num_images=1)
        >>> prior_centers, gt_centers = torch.tensor([[0.0, 0], [8, 0]]), torch.tensor([[7.0, 0]])
        >>> select_candidates(prior_centers, layout, gt_centers, torch.tensor([0]), 1, [None])
        tensor([[1]])
    """
    # The search on grids cannot skip individual priors, such as those in ignored boxes.
    has_ignored_priors = any(mask is not None for mask in ignore_masks)
    if layout.grids is not None and num_candidates <= _MAX_CANDIDATES_ON_GRIDS and not has_ignored_priors:
        valid_hw = None
        if layout.valid_hw is not None:
            valid_hw = torch.tensor(layout.valid_hw).permute(2, 1, 0)  # (B, L, 2) to (2, L, B)
            valid_hw = valid_hw.to(gt_centers.device, non_blocking=True)[..., image_index]  # (2, L, G)
        return nearest_priors_on_grids(gt_centers, layout.grids, layout.level_sizes, num_candidates, valid_hw)
    candidates, start = [], 0
    for image, num_gts in enumerate(torch.bincount(image_index, minlength=len(ignore_masks)).tolist()):
        ignore_mask = layout.ignore_mask_with_padding(image, ignore_masks[image], gt_centers.device)
        image_gt_centers = gt_centers[start : start + num_gts]
        nearest = nearest_priors(prior_centers, layout.level_sizes, image_gt_centers, num_candidates, ignore_mask)
        if ignore_mask is not None:  # ignored priors rank last, so they are selected only if other priors are too few
            nearest = torch.where(ignore_mask[nearest], -1, nearest)
        candidates.append(nearest)
        start += num_gts
    return torch.cat(candidates)


def nearest_priors_on_grids(
    gt_centers: Tensor,
    grids: Sequence[Grid],
    level_sizes: Sequence[int],
    num_candidates: int,
    valid_hw: Tensor | None = None,
) -> Tensor:
    """Find the nearest priors of each ground-truth box in every level from the parameters of the grids.

    The result equals the result of :func:`nearest_priors`, but it is computed without reading the priors.

    Args:
        gt_centers: (G, 2) pixels.
        grids: One grid per level.
        level_sizes: Number of priors per level. It is a multiple of the number of grid cells of the level: all cells of
            a level have the same number of priors. The priors of a cell are consecutive, and their centers are the
            center of the cell.
        num_candidates: Candidates per level.
        valid_hw: (2, L, G) int64, the number of valid rows and the number of valid columns of the grid, per level and
            box. Other cells are padding, and their priors are never selected. None if all cells are valid.

    Returns:
        (G, K) int64 indices of priors, in the order of :func:`nearest_priors`. If a level has too few valid priors, -1
        fills the remaining places.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import Grid, nearest_priors_on_grids
        >>> nearest_priors_on_grids(torch.tensor([[9.0, 1.0]]), [Grid(height=2, width=3, stride=8.0)], [6], 2)
        tensor([[1, 2]])
    """
    priors_per_location = [size // max(1, grid.height * grid.width) for size, grid in zip(level_sizes, grids)]
    nonempty_levels = [level for level, size in enumerate(level_sizes) if size]
    if valid_hw is not None:
        valid_hw = valid_hw[:, nonempty_levels]
    # One number of cells for all levels: it must provide num_candidates priors even in the level with the fewest priors
    # per location.
    num_cells = math.ceil(num_candidates / min(priors_per_location[level] for level in nonempty_levels))
    cells = nearest_cells(gt_centers, [grids[level] for level in nonempty_levels], num_cells, valid_hw)
    # cells has shape (G, L, num_cells) for L nonempty levels. level_starts (L, 1) holds the first prior index of each
    # of these levels.
    level_starts = torch.tensor([sum(level_sizes[:level]) for level in nonempty_levels])[:, None]
    level_starts = level_starts.to(gt_centers.device, non_blocking=True)
    if all(priors_per_location[level] == 1 and level_sizes[level] >= num_candidates for level in nonempty_levels):
        # Fast path: every cell has one prior, so a cell index is also the index of a prior in its level. Every level
        # has at least num_candidates priors, so no level needs fewer columns.
        nearest = cells + level_starts
        return (nearest if valid_hw is None else torch.where(cells >= 0, nearest, -1)).flatten(1)
    nearest_of_levels = []
    for i, level in enumerate(nonempty_levels):
        index_in_level = _expand_cells_to_priors(cells[:, i], priors_per_location[level])
        index_in_level = index_in_level[:, : min(num_candidates, level_sizes[level])]
        nearest_of_levels.append(torch.where(index_in_level >= 0, index_in_level + level_starts[i], -1))
    return torch.cat(nearest_of_levels, 1)


def _expand_cells_to_priors(cells: Tensor, priors_per_location: int) -> Tensor:
    """Replace each cell index in (G, C) by the indices of the cell's priors, in (G, C * priors_per_location).

    Each -1, which stands for no cell, becomes ``priors_per_location`` times -1.
    """
    if priors_per_location == 1:
        return cells
    offset = torch.arange(priors_per_location, device=cells.device)
    return torch.where(cells[..., None] >= 0, cells[..., None] * priors_per_location + offset, -1).flatten(1)


def nearest_priors(
    prior_centers: Tensor,
    level_sizes: Sequence[int],
    gt_centers: Tensor,
    num_candidates: int,
    ignore_mask: Tensor | None = None,
) -> Tensor:
    """Find the nearest priors of each ground-truth box in every level by exhaustive search in bounded memory.

    Distances are compared in float32. Of several priors at the same distance, the one with the lowest index counts as
    the nearest.

    Args:
        prior_centers: (A, 2) pixels.
        level_sizes: Number of priors per level.
        gt_centers: (G, 2) pixels.
        num_candidates: Candidates per level. In a level with fewer priors, all priors are candidates.
        ignore_mask: (A,) bool mask of the priors that rank behind all other priors of their level.

    Returns:
        (G, K) int64 indices of priors, level after level and nearest first within a level.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import nearest_priors
        >>> prior_centers = torch.tensor([[0.0, 0], [8, 0], [16, 0], [0, 0], [16, 0]])
        >>> nearest_priors(prior_centers, [3, 2], torch.tensor([[10.0, 0]]), 2)
        tensor([[1, 2, 4, 3]])
    """
    nearest, start = [], 0
    for size in level_sizes:
        level = slice(start, start + size)
        if size:
            level_mask = None if ignore_mask is None else ignore_mask[level]
            level_nearest = _nearest_in_level(prior_centers[level], gt_centers, min(num_candidates, size), level_mask)
            nearest.append(level_nearest + start)
        start += size
    return torch.cat(nearest, 1)


def _nearest_in_level(
    prior_centers: Tensor, gt_centers: Tensor, num_candidates: int, ignore_mask: Tensor | None
) -> Tensor:
    """Find the nearest priors (G, num_candidates) in one level. Process the boxes in chunks to bound the memory."""
    chunk_size = max(1, min(len(gt_centers), _DISTANCES_PER_CHUNK // len(prior_centers)))
    # All chunks use the same buffers, because new buffers per chunk would fragment the heap.
    buffer_x, buffer_y = prior_centers.new_empty((2, chunk_size, len(prior_centers))).unbind(0)
    keys = torch.empty((chunk_size, len(prior_centers)), dtype=torch.int64, device=prior_centers.device)
    nearest = keys.new_empty((len(gt_centers), num_candidates))
    index = torch.arange(len(prior_centers), device=prior_centers.device)
    for start in range(0, len(gt_centers), chunk_size):
        chunk = gt_centers[start : start + chunk_size]
        squared_distance, squared_y, key = buffer_x[: len(chunk)], buffer_y[: len(chunk)], keys[: len(chunk)]
        torch.sub(chunk[:, :1], prior_centers[:, 0], out=squared_distance).square_()
        torch.sub(chunk[:, 1:], prior_centers[:, 1], out=squared_y).square_()
        squared_distance += squared_y
        if ignore_mask is not None:
            squared_distance.masked_fill_(ignore_mask, torch.inf)
        # The upper 32 bits of a key are the float32 distance, the lower 32 bits the index of the prior. The bits of
        # non-negative floats, read as an integer, have the order of the floats. All keys differ, so topk is
        # deterministic.
        key.copy_(squared_distance.float().view(torch.int32)).bitwise_left_shift_(32).bitwise_or_(index)
        nearest[start : start + chunk_size] = key.topk(num_candidates, largest=False, sorted=True).values
    return nearest.bitwise_and_(0xFFFFFFFF)  # keep the prior indices only
