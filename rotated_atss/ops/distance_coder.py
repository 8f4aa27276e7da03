"""Distances ``left, top, right, bottom`` from a prior's center to the sides of a box.

The encoding is that of FCOS (Tian et al., arXiv 1904.01355, equation 1). Boxes are horizontal, (..., 4)
``x1, y1, x2, y2``, or oriented, (..., 5) ``cx, cy, w, h, angle``. For oriented boxes, the distances are measured in the
box's own frame, and the angle relative to the prior is the fifth number.

The unit is the prior's side divided by ``anchor_scale``. In the configs, this is the stride of the prior's level,
because the priors are squares whose side is ``anchor_scale`` strides.
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
    """Encode boxes as distances from the priors' centers to the boxes' sides.

    Args:
        priors: (..., 5), or (..., 4) ``x1, y1, x2, y2``, with positive sizes.
        boxes: (..., 5) or (..., 4), the same format as ``priors``.
        angle_version: Angle version in which oriented boxes are regressed. None for horizontal boxes.
        edge_swap: Swap width and height of the box if the direction of its height is closer to the prior's width than
            the direction of its width is. Then the encoded angle is in [-pi/4, pi/4].
        anchor_scale: Side of a prior divided by the unit of the distances.

    Returns:
        (..., 4) ``left, top, right, bottom``, or (..., 5) with the angle in radians, relative to the prior's angle. A
        distance is negative if the prior's center lies beyond that side.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.distance_coder import encode_distances
        >>> prior, box = torch.tensor([-16.0, -16, 16, 16]), torch.tensor([-4.0, -8, 12, 2])
        >>> encode_distances(prior, box)
        tensor([1.0000, 2.0000, 3.0000, 0.5000])
    """
    if angle_version is None:
        center, unit = _hbb_center_and_unit(priors, anchor_scale)
        return torch.cat((center - boxes[..., :2], boxes[..., 2:] - center), -1) / torch.cat((unit, unit), -1)
    boxes = normalize_obb(boxes, angle_version)
    priors = priors.to(boxes.dtype)
    w, h, d_angle = boxes[..., 2], boxes[..., 3], wrap_angle(boxes[..., 4] - priors[..., 4], angle_version)
    if edge_swap:
        # the same box with width and height swapped has an angle that differs by pi/2
        swapped_angle = wrap_angle(d_angle + HALF_PI, angle_version)
        swap = d_angle.abs() >= swapped_angle.abs()
        w, h, d_angle = torch.where(swap, h, w), torch.where(swap, w, h), torch.where(swap, swapped_angle, d_angle)
    box_angle = priors[..., 4] + d_angle  # may differ from boxes[..., 4] by the edge swap and by a multiple of pi
    offset = _rotate((priors - boxes)[..., :2], -box_angle)  # position of the prior's center in the box's frame
    half_sides, unit = torch.stack((w, h), -1) / 2, priors[..., 2:4] / anchor_scale
    distances = torch.cat((half_sides + offset, half_sides - offset), -1) / torch.cat((unit, unit), -1)
    return torch.cat((distances, d_angle[..., None]), -1)


def decode_distances(
    priors: Tensor, distances: Tensor, angle_version: str | None = None, *, anchor_scale: float = 8.0
) -> Tensor:
    """Decode boxes from priors and distances: the inverse of :func:`encode_distances`.

    Distances that were encoded with ``edge_swap`` need no option, because normalization undoes the swap.

    Args:
        priors: (..., 5) or (..., 4).
        distances: (..., 5) or (..., 4), as returned by :func:`encode_distances`. Half precision is decoded in float32.
            If the sum of two opposite distances is negative, the box's size in this direction is 0.
        angle_version: Angle version of the result. None for horizontal boxes.
        anchor_scale: The value with which the distances were encoded; see :func:`encode_distances`.

    Returns:
        Boxes in the format of ``priors``, in float32 or float64.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.distance_coder import decode_distances
        >>> decode_distances(torch.tensor([-16.0, -16, 16, 16]), torch.tensor([1, 2, 3, 0.5]))
        tensor([-4., -8., 12.,  2.])
    """
    distances = upcast(distances)
    priors = priors.to(distances.dtype)
    left_top, right_bottom = distances[..., :2], distances[..., 2:4]
    if angle_version is None:
        center, unit = _hbb_center_and_unit(priors, anchor_scale)
    else:
        center, unit = priors[..., :2], priors[..., 2:4] / anchor_scale
    size = ((left_top + right_bottom) * unit).clamp(min=0)
    shift = (right_bottom - left_top) * unit / 2  # from the prior's center to the box's center, in the box's frame
    if angle_version is None:
        return torch.cat((center + shift - size / 2, center + shift + size / 2), -1)
    angle = priors[..., 4] + distances[..., 4]
    return normalize_obb(torch.cat((center + _rotate(shift, angle), size, angle[..., None]), -1), angle_version)


def _hbb_center_and_unit(priors: Tensor, anchor_scale: float) -> tuple[Tensor, Tensor]:
    low, high = priors[..., :2], priors[..., 2:]
    return (low + high) / 2, (high - low) / anchor_scale


def _rotate(vectors: Tensor, angle: Tensor) -> Tensor:
    """Rotate vectors (..., 2) clockwise on the image."""
    (x, y), cos, sin = vectors.unbind(-1), angle.cos(), angle.sin()
    return torch.stack((x * cos - y * sin, x * sin + y * cos), -1)
