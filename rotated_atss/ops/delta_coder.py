"""Box deltas ``(dx, dy, dw, dh, dangle)`` between priors and oriented boxes.

This is the usual parametrization of rotated detectors on DOTA. For a box g and a prior p::

    dx = (gx - px) / pw      dy = (gy - py) / ph
    dw = log(gw / pw)        dh = log(gh / ph)
    dangle = wrap(g_angle - p_angle)

With ``proj_xy``, the offset of the centers is first rotated into the prior's axes (Ding et al., arXiv 1812.00155,
equation 1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rotated_atss.ops.boxes import HALF_PI, LONG_EDGE_START, check_angle_version, normalize_obb
from rotated_atss.ops.dtypes import upcast

# Default bound of abs(dw) and abs(dh) in decoding, as in MMDetection. It limits each side of the box to 1/62.5 to 62.5
# times the corresponding side of the prior.
MAX_LOG_RATIO = abs(math.log(16 / 1000))


def wrap_angle(delta: Tensor, angle_version: str) -> Tensor:
    """Wrap an angle difference into the half-open range of length pi that belongs to an angle version.

    For ``le90`` and ``le135``, this is the range of the angle version itself. For ``oc``, it is (-pi/2, pi/2], which
    contains every difference of two ``oc`` angles.

    Args:
        delta: Angle differences in radians, any shape.
        angle_version: One of ``oc``, ``le90``, ``le135``.

    Returns:
        Tensor of the same shape.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.delta_coder import wrap_angle
        >>> wrap_angle(torch.tensor([0.5, 2.0]), "le90")
        tensor([ 0.5000, -1.1416])
    """
    if check_angle_version(angle_version) == "oc":
        return delta - torch.ceil(delta / math.pi - 0.5) * math.pi
    start = LONG_EDGE_START[angle_version]
    return delta - torch.floor((delta - start) / math.pi) * math.pi


def encode_deltas(
    priors: Tensor,
    boxes: Tensor,
    angle_version: str,
    *,
    edge_swap: bool = False,
    proj_xy: bool = False,
    norm_factor: float | None = None,
) -> Tensor:
    """Encode boxes as deltas relative to priors.

    Args:
        priors: (..., 5) with positive sizes.
        boxes: (..., 5) with positive sizes, in any angle version.
        angle_version: Angle version in which the boxes are regressed.
        edge_swap: Swap width and height of the box if the direction of its height is closer to the prior's width than
            the direction of its width is. Then ``|dangle| <= pi/4`` before the division by ``norm_factor``.
        proj_xy: Express the offset of the center along the prior's axes instead of the image's.
        norm_factor: Divide the angle's delta by ``norm_factor * pi``. None keeps radians.

    Returns:
        (..., 5) in float32 or float64.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.delta_coder import encode_deltas
        >>> prior, box = torch.tensor([8.0, 16, 32, 32, 0]), torch.tensor([24.0, 8, 64, 16, 0.5])
        >>> encode_deltas(prior, box, "le90")
        tensor([ 0.5000, -0.2500,  0.6931, -0.6931,  0.5000])
    """
    boxes = normalize_obb(boxes, angle_version)
    px, py, pw, ph, p_angle = priors.to(boxes.dtype).unbind(-1)
    gx, gy, gw, gh, g_angle = boxes.unbind(-1)
    dx, dy = gx - px, gy - py
    if proj_xy:
        cos, sin = p_angle.cos(), p_angle.sin()
        dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
    d_angle = wrap_angle(g_angle - p_angle, angle_version)
    if edge_swap:
        # the same box with width and height swapped has an angle that differs by pi/2
        swapped_angle = wrap_angle(g_angle - p_angle + HALF_PI, angle_version)
        swap = d_angle.abs() >= swapped_angle.abs()
        gw, gh = torch.where(swap, gh, gw), torch.where(swap, gw, gh)
        d_angle = torch.where(swap, swapped_angle, d_angle)
    if norm_factor is not None:
        d_angle = d_angle / (norm_factor * math.pi)
    return torch.stack((dx / pw, dy / ph, (gw / pw).log(), (gh / ph).log(), d_angle), -1)


def decode_deltas(
    priors: Tensor,
    deltas: Tensor,
    angle_version: str,
    *,
    proj_xy: bool = False,
    norm_factor: float | None = None,
    max_log_ratio: float = MAX_LOG_RATIO,
    normalize: bool = True,
) -> Tensor:
    """Decode boxes from priors and deltas: the inverse of :func:`encode_deltas`.

    Deltas that were encoded with ``edge_swap`` need no option, because normalization undoes the swap.

    Args:
        priors: (..., 5).
        deltas: (..., 5). Half precision is decoded in float32.
        angle_version: Angle version of the result, if ``normalize`` is set.
        proj_xy: The value with which the deltas were encoded; see :func:`encode_deltas`.
        norm_factor: The value with which the deltas were encoded; see :func:`encode_deltas`.
        max_log_ratio: ``dw`` and ``dh`` are clamped to ``[-max_log_ratio, max_log_ratio]``.
        normalize: Normalize the boxes to the angle version. If False, their angle is the prior's angle plus
            the decoded angle delta.

    Returns:
        (..., 5) in float32 or float64.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.delta_coder import decode_deltas
        >>> prior, deltas = torch.tensor([8.0, 16, 32, 32, 0]), torch.tensor([0.5, -0.25, 0.0, -0.6931472, 0.5])
        >>> decode_deltas(prior, deltas, "le90")
        tensor([24.0000,  8.0000, 32.0000, 16.0000,  0.5000])
    """
    deltas = upcast(deltas)
    px, py, pw, ph, p_angle = priors.to(deltas.dtype).unbind(-1)
    dx, dy, dw, dh, d_angle = deltas.unbind(-1)
    dx, dy = dx * pw, dy * ph
    if proj_xy:
        cos, sin = p_angle.cos(), p_angle.sin()
        dx, dy = cos * dx - sin * dy, sin * dx + cos * dy
    if norm_factor is not None:
        d_angle = d_angle * (norm_factor * math.pi)
    w = pw * dw.clamp(-max_log_ratio, max_log_ratio).exp()
    h = ph * dh.clamp(-max_log_ratio, max_log_ratio).exp()
    boxes = torch.stack((px + dx, py + dy, w, h, p_angle + d_angle), -1)
    return normalize_obb(boxes, angle_version) if normalize else boxes
