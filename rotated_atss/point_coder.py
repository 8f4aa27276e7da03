"""Boxes as distances from a point: ``left, top, right, bottom`` from a prior's centre to the sides of a box, as FCOS
regresses them (Tian et al., arXiv 1904.01355, equation 1), for horizontal boxes (..., 4) and, in the box's own frame
and with its angle, for oriented ones (..., 5). Plain torch.

The unit is the prior's side over ``strides_a_side``: the stride of its level, where priors are that many strides wide.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rotated_atss.boxes import HALF_PI, normalize_obb
from rotated_atss.coder import wrap_angle


def encode_sides(
    priors: Tensor, boxes: Tensor, coding: str | None = None, *, edge_swap: bool = False, strides_a_side: float = 8.0
) -> Tensor:
    """Distances from the priors' centres to the boxes' sides, negative where a centre lies outside.

    Args:
        priors: (..., 5), or (..., 4) ``x1, y1, x2, y2``, with positive sizes.
        boxes: As the priors.
        coding: Coding in which oriented boxes are regressed; None for horizontal boxes.
        edge_swap: Call whichever side of the box is nearer in angle to the prior's width its width.
        strides_a_side: See above.

    Returns:
        (..., 4) ``left, top, right, bottom``, or (..., 5) with the angle from the prior's, in radians.
    """
    if coding is None:
        center, unit = _center_and_unit(priors, strides_a_side)
        return torch.cat((center - boxes[..., :2], boxes[..., 2:] - center), -1) / torch.cat((unit, unit), -1)
    boxes = normalize_obb(boxes, coding)
    priors = priors.to(boxes.dtype)
    w, h, turn = boxes[..., 2], boxes[..., 3], wrap_angle(boxes[..., 4] - priors[..., 4], coding)
    if edge_swap:
        other = wrap_angle(turn + HALF_PI, coding)
        swap = turn.abs() >= other.abs()
        w, h, turn = torch.where(swap, h, w), torch.where(swap, w, h), torch.where(swap, other, turn)
    offset = _turned((priors - boxes)[..., :2], -(priors[..., 4] + turn))  # of the prior's centre in the box's frame
    half, unit = torch.stack((w, h), -1) / 2, priors[..., 2:4] / strides_a_side
    sides = torch.cat((half + offset, half - offset), -1) / torch.cat((unit, unit), -1)
    return torch.cat((sides, turn[..., None]), -1)


def decode_sides(
    priors: Tensor, distances: Tensor, coding: str | None = None, *, strides_a_side: float = 8.0
) -> Tensor:
    """Boxes from priors and distances, the inverse of :func:`encode_sides` (with or without edge swap).

    Args:
        priors: (..., 5) or (..., 4).
        distances: As many columns; halves are decoded in float32. Opposite sides that have passed each other give a
            box without size.
        coding: Coding of the result; None for horizontal boxes.
        strides_a_side: As in :func:`encode_sides`.
    """
    if distances.dtype not in (torch.float32, torch.float64):
        distances = distances.float()
    priors = priors.to(distances.dtype)
    left_top, right_bottom = distances[..., :2], distances[..., 2:4]
    if coding is None:
        center, unit = _center_and_unit(priors, strides_a_side)
    else:
        center, unit = priors[..., :2], priors[..., 2:4] / strides_a_side
    size = ((left_top + right_bottom) * unit).clamp(min=0)
    shift = (right_bottom - left_top) * unit / 2  # of the box's centre, in its frame
    if coding is None:
        return torch.cat((center + shift - size / 2, center + shift + size / 2), -1)
    angle = priors[..., 4] + distances[..., 4]
    return normalize_obb(torch.cat((center + _turned(shift, angle), size, angle[..., None]), -1), coding)


def _center_and_unit(priors: Tensor, strides_a_side: float) -> tuple[Tensor, Tensor]:
    low, high = priors[..., :2], priors[..., 2:]
    return (low + high) / 2, (high - low) / strides_a_side


def _turned(vectors: Tensor, angle: Tensor) -> Tensor:
    """(..., 2) turned clockwise on the image."""
    (x, y), cos, sin = vectors.unbind(-1), angle.cos(), angle.sin()
    return torch.stack((x * cos - y * sin, x * sin + y * cos), -1)
