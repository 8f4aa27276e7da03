"""Oriented boxes: angle versions, corners, polygons, circumscribed boxes, flips and rotations. Plain torch.

A box is ``(cx, cy, w, h, angle)``: pixels and radians, the angle clockwise on the image (y down), so that the width
axis points along ``(cos angle, sin angle)`` and the height axis along ``(-sin angle, cos angle)``. Corners start at
``(-w/2, -h/2)`` in the box's own frame and run clockwise on the image.

The three angle versions name one box among the many that draw the same rectangle:

- ``oc``: angle in (0, pi/2], as OpenCV >= 4.5.1 returns it and as the published ``oc`` checkpoints learned it. It is
  *not* the ``oc`` of mmrotate 1.x, whose angle lies in [-pi/2, 0): the same rectangle with w and h swapped.
- ``le90``: angle in [-pi/2, pi/2), w >= h.
- ``le135``: angle in [-pi/4, 3pi/4), w >= h.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from rotated_atss.ops.dtypes import upcast

ANGLE_VERSIONS = ("oc", "le90", "le135")
HALF_PI = math.pi / 2

_LONG_EDGE_START = {"le90": -HALF_PI, "le135": -math.pi / 4}


def check_angle_version(angle_version: str) -> str:
    """Return ``angle_version`` if it is one of :data:`ANGLE_VERSIONS`, else raise ``ValueError``."""
    if angle_version not in ANGLE_VERSIONS:
        raise ValueError(f"unknown angle version {angle_version!r}: choose one of {', '.join(ANGLE_VERSIONS)}")
    return angle_version


@cache
def _angle_limits(start: float, end: float, dtype: torch.dtype, closed: str) -> tuple[float, float]:
    """Smallest and largest number of ``dtype`` in the half-open range, so that no rounding of pi leaves it."""
    kind = np.float64 if dtype == torch.float64 else np.float32
    low, high = kind(start), kind(end)
    if float(low) < start or (closed == "right" and float(low) <= start):
        low = np.nextafter(low, kind(np.inf))
    if float(high) > end or (closed == "left" and float(high) >= end):
        high = np.nextafter(high, kind(-np.inf))
    return float(low), float(high)


def _subtract_turns(angle: Tensor, turns: Tensor, period: float) -> Tensor:
    """``angle - turns * period`` with the period in two parts, exact for ``turns == 0`` and near it (Cody and
    Waite).
    """
    coarse = float(np.float32(period))
    return angle - turns * coarse - turns * (period - coarse)


def normalize_obb(boxes: Tensor, angle_version: str) -> Tensor:
    """The same rectangles in one angle version, the angle exactly inside its half-open range.

    Args:
        boxes: (..., 5), any angle in radians. Halves come back as float32.
        angle_version: One of :data:`ANGLE_VERSIONS`.

    Returns:
        (..., 5). A box that already obeys the angle version is returned bit for bit; a square keeps its axes in the
        long-edge angle versions.
    """
    check_angle_version(angle_version)
    cx, cy, w, h, angle = upcast(boxes).unbind(-1)
    if angle_version == "oc":
        turns = torch.ceil(angle / HALF_PI) - 1
        swap = torch.remainder(turns, 2) == 1
        angle = _subtract_turns(angle, turns, HALF_PI)
        low, high = _angle_limits(0.0, HALF_PI, angle.dtype, "right")
    else:
        start = _LONG_EDGE_START[angle_version]
        swap = w < h
        angle = torch.where(swap, angle + HALF_PI, angle)
        low, high = _angle_limits(start, start + math.pi, angle.dtype, "left")
        turns = torch.floor((angle - start) / math.pi)
        # an angle a rounding away from a limit may be counted on its wrong side: inside is inside
        turns = torch.where((angle >= low) & (angle <= high), torch.zeros_like(turns), turns)
        angle = _subtract_turns(angle, turns, math.pi)
    w, h = torch.where(swap, h, w), torch.where(swap, w, h)
    return torch.stack((cx, cy, w, h, angle.clamp(low, high)), -1)


def obb_to_corners(boxes: Tensor) -> Tensor:
    """(..., 5) boxes to (..., 4, 2) corners, clockwise on the image from ``(-w/2, -h/2)`` of the box's own frame."""
    center, w, h, angle = upcast(boxes).split((2, 1, 1, 1), -1)
    cos, sin = angle.cos(), angle.sin()
    along = torch.cat((cos, sin), -1) * (w / 2)
    across = torch.cat((-sin, cos), -1) * (h / 2)
    return torch.stack(
        (center - along - across, center + along - across, center + along + across, center - along + across), -2
    )


def obb_to_poly(boxes: Tensor) -> Tensor:
    """(..., 5) boxes to (..., 8) polygons ``x1 y1 ... x4 y4``."""
    return obb_to_corners(boxes).flatten(-2)


def obb_to_hbb(boxes: Tensor) -> Tensor:
    """(..., 5) boxes to the (..., 4) circumscribed horizontal boxes ``x1 y1 x2 y2``."""
    center, w, h, angle = upcast(boxes).split((2, 1, 1, 1), -1)
    cos, sin = angle.cos().abs(), angle.sin().abs()
    half = torch.cat((w * cos + h * sin, w * sin + h * cos), -1) / 2
    return torch.cat((center - half, center + half), -1)


def hbb_to_obb(hbbs: Tensor) -> Tensor:
    """(..., 4) horizontal boxes ``x1 y1 x2 y2`` to (..., 5) boxes with angle 0 (not normalised to an angle version)."""
    hbbs = upcast(hbbs)
    low, high = hbbs[..., :2], hbbs[..., 2:]
    return torch.cat(((low + high) / 2, high - low, torch.zeros_like(low[..., :1])), -1)


def circumscribe(boxes: Tensor) -> Tensor:
    """(..., 5) boxes to their circumscribed horizontal boxes, again as (..., 5) with angle 0."""
    return hbb_to_obb(obb_to_hbb(boxes))


def poly_to_hbb(polys: Tensor) -> Tensor:
    """(..., 8) polygons to (..., 4) circumscribed horizontal boxes ``x1 y1 x2 y2``."""
    points = polys.unflatten(-1, (-1, 2))
    return torch.cat((points.amin(-2), points.amax(-2)), -1)


def poly_to_obb(polys: Tensor, angle_version: str = "le90") -> Tensor:
    """Minimum-area rectangles of quadrilaterals.

    The smallest rectangle has a side along an edge of the convex hull (Freeman and Shapira 1975); the hull's edges
    are among the six lines through two of the four points, and every direction encloses, so trying all six needs no
    hull. Computed in float64.

    Args:
        polys: (..., 8) pixels, any orientation, convex or not.
        angle_version: Angle version of the result.

    Returns:
        (..., 5) in the dtype given (halves as float32). Among directions of equal area (within 1e-9) the first edge
        wins, so a rectangle keeps the direction of its label. Points that all coincide give a box of zero size.
    """
    dtype = upcast(polys).dtype
    points = polys.double().unflatten(-1, (4, 2))
    center = points.mean(-2, keepdim=True)
    points = points - center
    first, second = (0, 1, 2, 3, 0, 1), (1, 2, 3, 0, 2, 3)
    edges = points[..., second, :] - points[..., first, :]  # (..., 6, 2)
    lengths = edges.norm(dim=-1, keepdim=True)
    axis = torch.where(lengths > 0, edges / lengths.clamp(min=1e-300), edges.new_tensor((1.0, 0.0)))
    normal = torch.stack((-axis[..., 1], axis[..., 0]), -1)
    along = (points.unsqueeze(-3) * axis.unsqueeze(-2)).sum(-1)  # (..., 6, 4)
    across = (points.unsqueeze(-3) * normal.unsqueeze(-2)).sum(-1)
    along_low, along_high, across_low, across_high = along.amin(-1), along.amax(-1), across.amin(-1), across.amax(-1)
    areas = (along_high - along_low) * (across_high - across_low)
    # two equal points give a line of no direction, which may still enclose a flat polygon: it must not win
    areas = torch.where(lengths.squeeze(-1) > 0, areas, torch.full_like(areas, math.inf))
    close = areas <= areas.amin(-1, keepdim=True) * (1 + 1e-9) + 1e-12
    best = close.to(torch.uint8).argmax(-1, keepdim=True)

    def pick(values: Tensor) -> Tensor:
        return values.gather(-1, best).squeeze(-1)

    ux, uy = pick(axis[..., 0]), pick(axis[..., 1])
    mid_along, mid_across = pick(along_low + along_high) / 2, pick(across_low + across_high) / 2
    cx = center[..., 0, 0] + mid_along * ux - mid_across * uy
    cy = center[..., 0, 1] + mid_along * uy + mid_across * ux
    boxes = torch.stack((cx, cy, pick(along_high - along_low), pick(across_high - across_low), torch.atan2(uy, ux)), -1)
    return normalize_obb(boxes.to(dtype), angle_version)


def flip_obb(boxes: Tensor, image_wh: tuple[float, float], direction: str, angle_version: str | None = None) -> Tensor:
    """Mirror boxes with their image.

    Args:
        boxes: (..., 5).
        image_wh: Width and height of the image in pixels.
        direction: ``horizontal`` (left-right), ``vertical`` (up-down) or ``diagonal`` (both, a half turn).
        angle_version: Angle version of the result; None leaves the angle where the mirror puts it.
    """
    if direction not in ("horizontal", "vertical", "diagonal"):
        raise ValueError(f"unknown flip direction {direction!r}: choose horizontal, vertical or diagonal")
    cx, cy, w, h, angle = upcast(boxes).unbind(-1)
    if direction in ("horizontal", "diagonal"):
        cx, angle = image_wh[0] - cx, -angle
    if direction in ("vertical", "diagonal"):
        cy, angle = image_wh[1] - cy, -angle
    flipped = torch.stack((cx, cy, w, h, angle), -1)
    return flipped if angle_version is None else normalize_obb(flipped, angle_version)


def rot90_obb(boxes: Tensor, image_wh: tuple[float, float], turns: int = 1, angle_version: str | None = None) -> Tensor:
    """Turn boxes with their image by ``turns`` quarter turns clockwise (``np.rot90`` with ``k=-turns``).

    Args:
        boxes: (..., 5).
        image_wh: Width and height of the image before the turn, in pixels.
        turns: Quarter turns clockwise; negative ones turn back.
        angle_version: Angle version of the result; None adds pi/2 a turn to the angle.
    """
    cx, cy, w, h, angle = upcast(boxes).unbind(-1)
    width, height = image_wh
    for _ in range(turns % 4):
        cx, cy, angle = height - cy, cx, angle + HALF_PI
        width, height = height, width
    turned = torch.stack((cx, cy, w, h, angle), -1)
    return turned if angle_version is None else normalize_obb(turned, angle_version)


def rotate_obb(
    boxes: Tensor, center_xy: tuple[float, float], angle_rad: float, angle_version: str | None = None
) -> Tensor:
    """Turn boxes around a point, clockwise on the image for positive ``angle_rad``. Shapes as in :func:`flip_obb`."""
    cx, cy, w, h, angle = upcast(boxes).unbind(-1)
    dx, dy = cx - center_xy[0], cy - center_xy[1]
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    turned = torch.stack(
        (center_xy[0] + cos * dx - sin * dy, center_xy[1] + sin * dx + cos * dy, w, h, angle + angle_rad), -1
    )
    return turned if angle_version is None else normalize_obb(turned, angle_version)


def scale_obb(boxes: Tensor, scale_xy: tuple[float, float], angle_version: str | None = None) -> Tensor:
    """Boxes of a resized image. Unequal factors turn a rectangle into a parallelogram, whose minimum-area rectangle
    is returned.

    Args:
        boxes: (..., 5).
        scale_xy: New size over old size, horizontally and vertically.
        angle_version: Angle version of the result; None keeps the angle (equal factors) or gives ``le90``.
    """
    sx, sy = scale_xy
    boxes = upcast(boxes)
    if sx == sy:
        scaled = torch.cat((boxes[..., :4] * sx, boxes[..., 4:]), -1)
        return scaled if angle_version is None else normalize_obb(scaled, angle_version)
    corners = obb_to_corners(boxes) * boxes.new_tensor((sx, sy))
    return poly_to_obb(corners.flatten(-2), angle_version or "le90")


def points_in_obb(
    points: Tensor, boxes: Tensor, margin: float = 0.0, cos_sin: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Whether points lie inside boxes by more than ``margin`` pixels: a projection onto the box axes.

    Args:
        points: (..., 2), broadcast against ``boxes``.
        boxes: (..., 5).
        margin: How far inside every side a point must lie, in pixels.
        cos_sin: (...) cosine and sine of the angles, if the caller already has them; computed otherwise.

    Returns:
        (...) bool.
    """
    cx, cy, w, h, angle = boxes.unbind(-1)
    dx, dy = points[..., 0] - cx, points[..., 1] - cy
    cos, sin = cos_sin or (angle.cos(), angle.sin())
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    return torch.minimum(w / 2 - along.abs(), h / 2 - across.abs()) > margin
