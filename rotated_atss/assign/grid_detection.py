"""Find the regular grids that the centers of priors form.

A location is a cell of the grid. All priors of a location have the same center.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotated_atss.assign.box_formats import centers
from rotated_atss.assign.grids import Grid

# Priors whose centers differ by less than this are at the same location. Rounding errors are much smaller, and the
# stride between two locations is much larger.
SAME_CENTER_PX = 1e-3
_MAX_PRIORS_PER_LOCATION = 64  # bounds how many priors of a level are compared with the first one


def find_grids(priors: Tensor, level_sizes: Sequence[int]) -> list[Grid] | None:
    """Find the regular grid that the prior centers of each level form.

    On CUDA, the function copies all prior centers to the CPU, and so waits for the GPU.

    Args:
        priors: (A, 5) or (A, 4), sorted by level, then by row of the grid, then by column. Priors of the same location
            are consecutive.
        level_sizes: Number of priors per level.

    Returns:
        One grid per level, or None if any center in any level deviates from the grid by :data:`SAME_CENTER_PX` or more.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import find_grids
        >>> priors = torch.tensor([[x, y, 32, 32, 0] for y in (4.0, 12.0) for x in (4.0, 12.0, 20.0)])
        >>> find_grids(priors, [6])
        [Grid(height=2, width=3, stride=8.0, x0=4.0, y0=4.0)]
    """
    grids = []
    for prior_centers in centers(priors.detach()).cpu().double().split(list(level_sizes)):
        grid = _find_grid(prior_centers)
        if grid is None:
            return None
        grids.append(grid)
    return grids


def count_priors_per_location(priors: Tensor) -> int:
    """Count the leading priors that share the center of the first prior.

    Args:
        priors: (A, 5) or (A, 4), at most 64 priors per location.

    Returns:
        Number of priors per location, 1 if there are no priors.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import count_priors_per_location
        >>> count_priors_per_location(torch.tensor([[4.0, 4, 32, 32, 0], [4, 4, 40, 40, 0], [12, 4, 32, 32, 0]]))
        2
    """
    return max(1, _count_at_first_center(centers(priors[:_MAX_PRIORS_PER_LOCATION])))


def _count_at_first_center(prior_centers: Tensor) -> int:
    """Count how many of the (N, 2) centers, from the first one on, are at the location of the first one."""
    return _count_leading_near_zero((prior_centers - prior_centers[:1]).abs().amax(1))


def _count_leading_near_zero(distances: Tensor) -> int:
    """Count how many of the (N,) distances precede the first one of :data:`SAME_CENTER_PX` or more."""
    return int((distances < SAME_CENTER_PX).long().cumprod(0).sum())


def _find_grid(prior_centers: Tensor) -> Grid | None:
    """Find the grid that the (N, 2) prior centers of one level form, or return None."""
    if not len(prior_centers):
        return Grid(height=0, width=0, stride=1.0)  # the level is empty, so its stride is never used
    priors_per_location = _count_at_first_center(prior_centers[:_MAX_PRIORS_PER_LOCATION])
    cell_centers = prior_centers[::priors_per_location]
    # All centers of the first row have the same y, so the width is the number of centers before y changes.
    width = _count_leading_near_zero((cell_centers[:, 1] - cell_centers[0, 1]).abs())
    if len(prior_centers) % (priors_per_location * width):
        return None
    rows = cell_centers.view(-1, width, 2)  # (height, width, 2)
    x0, y0 = prior_centers[0].tolist()
    grid = Grid(len(rows), width, _measure_stride(rows), x0, y0)
    actual_centers = prior_centers.view(grid.height, grid.width, priors_per_location, 2)
    grid_x = grid.x0 + grid.stride * torch.arange(grid.width, dtype=torch.float64)
    grid_y = grid.y0 + grid.stride * torch.arange(grid.height, dtype=torch.float64)
    deviation_x = (actual_centers[..., 0] - grid_x[None, :, None]).abs().amax()
    deviation_y = (actual_centers[..., 1] - grid_y[:, None, None]).abs().amax()
    deviation = torch.maximum(deviation_x, deviation_y)
    return grid if grid.stride > 0 and float(deviation) < SAME_CENTER_PX else None


def _measure_stride(cell_centers: Tensor) -> float:
    """Measure the distance between neighboring cells of the (height, width, 2) cell centers.

    The distance is measured in the first row or, if the grid has a single column, in this column. A grid of one cell
    has stride 1.
    """
    height, width, _ = cell_centers.shape
    if width > 1:
        stride = float(cell_centers[0, 1, 0] - cell_centers[0, 0, 0])
    else:
        stride = float(cell_centers[-1, 0, 1] - cell_centers[0, 0, 1]) / max(1, height - 1)
    # Rounding removes the float32 errors of the centers. A single cell has no neighbor, so the stride computed above is
    # 0, but any positive stride fits this grid.
    return round(stride, 6) or 1.0
