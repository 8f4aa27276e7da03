"""Centerness of points in oriented boxes (Tian et al., FCOS, arXiv 1904.01355, equation 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from rotated_atss.ops.boxes import obb_to_hbb

FRAMES = ("hbb", "obb")


def centerness(points: Tensor, boxes: Tensor, frame: str = "hbb") -> Tensor:
    """Compute the centerness ``sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b))`` of points in oriented boxes.

    ``l``, ``t``, ``r`` and ``b`` are the distances of a point from the left, top, right and bottom side of the box that
    ``frame`` selects. A distance is negative if the point lies beyond that side.

    Args:
        points: (..., 2) in pixels.
        boxes: (..., 5).
        frame: Box whose sides the distances refer to: ``hbb``, the circumscribed horizontal box, or ``obb``, the
            oriented box itself.

    Returns:
        (...) in [0, 1]; 0 on the border, outside the box and for zero-area boxes.

    Raises:
        ValueError: ``frame`` is unknown.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.centerness import centerness
        >>> box = torch.tensor([10.0, 20.0, 8.0, 4.0, 0.0])
        >>> centerness(torch.tensor([[10.0, 20.0], [12.0, 20.0], [14.0, 20.0]]), box)
        tensor([1.0000, 0.5774, 0.0000])
    """
    if frame not in FRAMES:
        raise ValueError(f"frame must be one of {', '.join(FRAMES)}, got {frame!r}")
    if frame == "hbb":
        low, high = obb_to_hbb(boxes).split(2, -1)
        left_top, right_bottom = points - low, high - points
    else:
        cos, sin = boxes[..., 4].cos(), boxes[..., 4].sin()
        dx, dy = (points - boxes[..., :2]).unbind(-1)
        point_in_frame = torch.stack((dx * cos + dy * sin, dy * cos - dx * sin), -1)
        half_sides = boxes[..., 2:4] / 2
        left_top, right_bottom = half_sides + point_in_frame, half_sides - point_in_frame
    smaller, larger = torch.minimum(left_top, right_bottom), torch.maximum(left_top, right_bottom)  # (..., 2)
    # The ratio of each axis is clamped to 0, because the product of two negative ratios would be positive.
    ratio = smaller.clamp(min=0) / larger.clamp(min=torch.finfo(larger.dtype).tiny)
    return ratio.prod(-1).sqrt()
