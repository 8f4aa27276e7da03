"""Centerness of points in oriented boxes (Tian et al., FCOS, arXiv 1904.01355, equation 3). Plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from rotated_atss.ops.boxes import obb_to_hbb

FRAMES = ("hbb", "obb")


def centerness(points: Tensor, boxes: Tensor, frame: str = "hbb") -> Tensor:
    """How central a point is: ``sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b))`` of its distances to the sides.

    Args:
        points: (..., 2), pixels.
        boxes: (..., 5).
        frame: ``hbb`` measures to the sides of the circumscribed horizontal box, ``obb`` to those of the box itself.

    Returns:
        (...) in [0, 1]; 0 on the border, outside and in a box without area.

    Raises:
        ValueError: Another frame.
    """
    if frame not in FRAMES:
        raise ValueError(f"unknown frame {frame!r} of centerness: choose one of {', '.join(FRAMES)}")
    if frame == "hbb":
        low, high = obb_to_hbb(boxes).split(2, -1)
        near, far = points - low, high - points
    else:
        cos, sin = boxes[..., 4].cos(), boxes[..., 4].sin()
        dx, dy = (points - boxes[..., :2]).unbind(-1)
        offset = torch.stack((dx * cos + dy * sin, dy * cos - dx * sin), -1)
        near, far = boxes[..., 2:4] / 2 + offset, boxes[..., 2:4] / 2 - offset
    least, most = torch.minimum(near, far), torch.maximum(near, far)
    # a product of two negative ratios would be positive: each axis is clamped on its own
    ratio = least.clamp(min=0) / most.clamp(min=torch.finfo(most.dtype).tiny)
    return ratio.prod(-1).sqrt()
