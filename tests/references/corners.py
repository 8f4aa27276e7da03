"""Distance between quadrilaterals that does not depend on the first corner."""

from __future__ import annotations

import torch
from torch import Tensor

from rotated_atss.ops.boxes import obb_to_corners


def corner_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return (...) the largest distance from a corner of either to the nearest corner of the other, in pixels.

    Args:
        first: (..., 5) boxes, (..., 8) polygons or (..., 4, 2) corners.
        second: Also one of these.
    """
    one, other = _corners(first.double()), _corners(second.double())
    distances = (one.unsqueeze(-2) - other.unsqueeze(-3)).norm(dim=-1)  # (..., 4, 4)
    return torch.maximum(distances.amin(-1).amax(-1), distances.amin(-2).amax(-1))


def _corners(shapes: Tensor) -> Tensor:
    if shapes.shape[-1] == 5:
        return obb_to_corners(shapes)
    return shapes.unflatten(-1, (4, 2)) if shapes.shape[-1] == 8 else shapes
