"""Generate the square priors of ATSS, one per location of each level of a feature pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rotated_atss.assign.grids import Grid
from rotated_atss.ops.boxes import obb_to_hbb

STRIDES_PX = (8, 16, 32, 64, 128)  # levels P3 to P7


def square_priors(
    image_hw: tuple[int, int],
    *,
    strides: Sequence[int] = STRIDES_PX,
    anchor_scale: float = 4.0,
    offset: float = 0.0,
    oriented: bool = True,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, list[int], list[Grid]]:
    """Generate the square priors of an image, and the level sizes and grids that the assignment functions take.

    The default arguments give the priors of the DOTA configs. The COCO configs use ``anchor_scale=8``.

    Args:
        image_hw: Height and width of the network input in pixels.
        strides: Stride of each level in pixels. Along each axis, the number of locations of a level is the input size
            divided by the stride, rounded up.
        anchor_scale: Side of a prior divided by the stride of its level.
        offset: Distance along each axis, in strides, from the upper-left corner of the image to the center of the first
            prior. With 0, as in MMDetection, this center is the corner. With 0.5, it is the center of the first cell.
        oriented: Return (A, 5) boxes with angle 0 instead of (A, 4) horizontal boxes.
        device: Device of the priors.

    Returns:
        A tuple of ``priors``, ``level_sizes`` and ``grids``. ``priors`` is float32 in pixels, (A, 5) ``cx, cy, w, h,
        angle`` or (A, 4) ``x1, y1, x2, y2``, sorted by level, row and column. ``level_sizes`` has the number of priors
        per level, and ``grids`` has the grid of each level.

    Raises:
        ValueError: A size, stride or scale is not positive.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import atss_assign, square_priors
        >>> priors, level_sizes, grids = square_priors((1024, 1024))
        >>> level_sizes
        [16384, 4096, 1024, 256, 64]
        >>> gt_index, iou = atss_assign(priors, level_sizes, torch.tensor([[500.0, 300, 60, 24, 0.5]]), grids=grids)
        >>> int((gt_index >= 0).sum())
        10
    """
    height, width = image_hw
    for name, value in (("image_hw", min(height, width)), ("strides", min(strides)), ("anchor_scale", anchor_scale)):
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")
    grids = [
        Grid(math.ceil(height / stride), math.ceil(width / stride), float(stride), stride * offset, stride * offset)
        for stride in strides
    ]
    level_sizes = [grid.height * grid.width for grid in grids]
    priors = torch.cat([_priors_of_level(grid, anchor_scale * grid.stride, device) for grid in grids])
    return priors if oriented else obb_to_hbb(priors), level_sizes, grids


def _priors_of_level(grid: Grid, side: float, device: torch.device | str) -> Tensor:
    """Return the (N, 5) square priors of a level, whose sides are ``side`` pixels long."""
    y = torch.arange(grid.height, device=device) * grid.stride + grid.y0
    x = torch.arange(grid.width, device=device) * grid.stride + grid.x0
    priors = torch.zeros(grid.height, grid.width, 5, device=device)
    priors[..., 0], priors[..., 1], priors[..., 2:4] = x, y[:, None], side
    return priors.flatten(0, 1)
