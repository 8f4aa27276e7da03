"""Boxes as distances from a point: ``left, top, right, bottom`` from a prior's centre to the sides of a box, as FCOS
regresses them (Tian et al., arXiv 1904.01355, equation 1), for horizontal boxes (..., 4) and, in the box's own frame
and with its angle, for oriented ones (..., 5). Plain torch.

The unit is the prior's side over ``anchor_scale``: the stride of its level, where priors are that many strides wide.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rotated_atss.ops.boxes import HALF_PI, normalize_obb
from rotated_atss.ops.delta_coder import wrap_angle
from rotated_atss.ops.dtypes import upcast


def encode_distances(
    priors: Tensor,
    boxes: Tensor,
    angle_version: str | None = None,
    *,
    edge_swap: bool = False,
    anchor_scale: float = 8.0,
) -> Tensor:
    """Distances from the priors' centres to the boxes' sides, negative where a centre lies outside.

    Args:
        priors: (..., 5), or (..., 4) ``x1, y1, x2, y2``, with positive sizes.
        boxes: As the priors.
        angle_version: Angle version in which oriented boxes are regressed; None for horizontal boxes.
        edge_swap: Call whichever side of the box is nearer in angle to the prior's width its width.
        anchor_scale: See above.

    Returns:
        (..., 4) ``left, top, right, bottom``, or (..., 5) with the angle from the prior's, in radians.
    """
    if angle_version is None:
        center, unit = _center_and_unit(priors, anchor_scale)
        return torch.cat((center - boxes[..., :2], boxes[..., 2:] - center), -1) / torch.cat((unit, unit), -1)
    boxes = normalize_obb(boxes, angle_version)
    priors = priors.to(boxes.dtype)
    w, h, turn = boxes[..., 2], boxes[..., 3], wrap_angle(boxes[..., 4] - priors[..., 4], angle_version)
    if edge_swap:
        other = wrap_angle(turn + HALF_PI, angle_version)
        swap = turn.abs() >= other.abs()
        w, h, turn = torch.where(swap, h, w), torch.where(swap, w, h), torch.where(swap, other, turn)
    offset = _turned((priors - boxes)[..., :2], -(priors[..., 4] + turn))  # of the prior's centre in the box's frame
    half, unit = torch.stack((w, h), -1) / 2, priors[..., 2:4] / anchor_scale
    sides = torch.cat((half + offset, half - offset), -1) / torch.cat((unit, unit), -1)
    return torch.cat((sides, turn[..., None]), -1)


def decode_distances(
    priors: Tensor, distances: Tensor, angle_version: str | None = None, *, anchor_scale: float = 8.0
) -> Tensor:
    """Boxes from priors and distances, the inverse of :func:`encode_distances` (with or without edge swap).

    Args:
        priors: (..., 5) or (..., 4).
        distances: As many columns; halves are decoded in float32. Opposite sides that have passed each other give a
            box without size.
        angle_version: Angle version of the result; None for horizontal boxes.
        anchor_scale: As in :func:`encode_distances`.
    """
    distances = upcast(distances)
    priors = priors.to(distances.dtype)
    left_top, right_bottom = distances[..., :2], distances[..., 2:4]
    if angle_version is None:
        center, unit = _center_and_unit(priors, anchor_scale)
    else:
        center, unit = priors[..., :2], priors[..., 2:4] / anchor_scale
    size = ((left_top + right_bottom) * unit).clamp(min=0)
    shift = (right_bottom - left_top) * unit / 2  # of the box's centre, in its frame
    if angle_version is None:
        return torch.cat((center + shift - size / 2, center + shift + size / 2), -1)
    angle = priors[..., 4] + distances[..., 4]
    return normalize_obb(torch.cat((center + _turned(shift, angle), size, angle[..., None]), -1), angle_version)


def _center_and_unit(priors: Tensor, anchor_scale: float) -> tuple[Tensor, Tensor]:
    low, high = priors[..., :2], priors[..., 2:]
    return (low + high) / 2, (high - low) / anchor_scale


def _turned(vectors: Tensor, angle: Tensor) -> Tensor:
    """(..., 2) turned clockwise on the image."""
    (x, y), cos, sin = vectors.unbind(-1), angle.cos(), angle.sin()
    return torch.stack((x * cos - y * sin, x * sin + y * cos), -1)
