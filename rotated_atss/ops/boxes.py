"""Oriented boxes: angle versions and conversions between boxes, corners, polygons and horizontal boxes.

This module defines the conventions of the whole package.

- An oriented box (obb) is ``(cx, cy, w, h, angle)`` in pixels and radians. The angle is clockwise on the image (y
  points down): the width axis is ``(cos angle, sin angle)``, the height axis ``(-sin angle, cos angle)``.
- Corners start at ``(-w/2, -h/2)`` in the box's own frame and run clockwise on the image.
- A polygon (poly) is the flattened corners ``x1 y1 ... x4 y4``; a horizontal box (hbb) is ``x1 y1 x2 y2``.

Warning: ``cxcywhr`` of torchvision is different. Its angle is in degrees and counterclockwise.

Each of the three angle versions selects one of the many boxes that describe the same rectangle:

- ``oc``: angle in (0, pi/2], as OpenCV >= 4.5.1 returns it and as the published ``oc`` checkpoints use it. It is *not*
  the ``oc`` of mmrotate 1.x, whose angle lies in [-pi/2, 0): the same rectangle with w and h swapped.
- ``le90``: angle in [-pi/2, pi/2), w >= h.
- ``le135``: angle in [-pi/4, 3pi/4), w >= h.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from rotated_atss.ops.cpu_if_no_float64 import cpu_if_no_float64
from rotated_atss.ops.dtypes import upcast

ANGLE_VERSIONS = ("oc", "le90", "le135")
RECT_CHOICES = ("edge", "cv2")  # see poly_to_obb
HALF_PI = math.pi / 2
LONG_EDGE_START = {"le90": -HALF_PI, "le135": -math.pi / 4}  # smallest angle of each version with w >= h


def check_angle_version(angle_version: str) -> str:
    """Return ``angle_version`` if it is one of :data:`ANGLE_VERSIONS`.

    Raises:
        ValueError: The angle version is unknown.

    Example:
        >>> from rotated_atss.ops.boxes import check_angle_version
        >>> check_angle_version("le90")
        'le90'
    """
    if angle_version not in ANGLE_VERSIONS:
        raise ValueError(f"angle_version must be one of {', '.join(ANGLE_VERSIONS)}, got {angle_version!r}")
    return angle_version


@cache
def _angle_limits(start: float, end: float, dtype: torch.dtype, closed: str) -> tuple[float, float]:
    """Return the smallest and the largest number of ``dtype`` inside a half-open range of real numbers.

    ``closed`` names the end that belongs to the range, ``left`` or ``right``. If rounding to ``dtype`` moves an end,
    such as pi/2, out of the range, the next number inside the range is returned.
    """
    scalar = np.float64 if dtype == torch.float64 else np.float32
    low, high = scalar(start), scalar(end)
    if float(low) < start or (closed == "right" and float(low) <= start):
        low = np.nextafter(low, scalar(np.inf))
    if float(high) > end or (closed == "left" and float(high) >= end):
        high = np.nextafter(high, scalar(-np.inf))
    return float(low), float(high)


def _subtract_periods(angle: Tensor, count: Tensor, period: float) -> Tensor:
    """Return ``angle - count * period``.

    The error of pi in float32 would be multiplied by ``count``. The period is therefore subtracted in two parts, its
    float32 value and the rest (Cody and Waite). The result is exact for ``count == 0`` and accurate for small counts.
    """
    coarse = float(np.float32(period))
    return angle - count * coarse - count * (period - coarse)


def normalize_obb(boxes: Tensor, angle_version: str) -> Tensor:
    """Convert boxes to an angle version without changing the rectangles.

    Args:
        boxes: (..., 5), any angle in radians. Half precision is returned as float32.
        angle_version: One of :data:`ANGLE_VERSIONS`.

    Returns:
        (..., 5). Boxes that already obey the angle version are returned bit for bit. ``le90`` and ``le135`` do not
        swap the sides of a square.

    Raises:
        ValueError: The angle version is unknown.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.boxes import normalize_obb
        >>> normalize_obb(torch.tensor([50.0, 40.0, 10.0, 30.0, 0.2]), "le90")
        tensor([50.0000, 40.0000, 30.0000, 10.0000, -1.3708])
    """
    check_angle_version(angle_version)
    cx, cy, w, h, angle = upcast(boxes).unbind(-1)
    if angle_version == "oc":
        quarter_turns = torch.ceil(angle / HALF_PI) - 1  # number of turns between the angle and (0, pi/2]
        swaps_sides = torch.remainder(quarter_turns, 2) == 1
        angle = _subtract_periods(angle, quarter_turns, HALF_PI)
        low, high = _angle_limits(0.0, HALF_PI, angle.dtype, "right")
    else:
        start = LONG_EDGE_START[angle_version]
        swaps_sides = w < h
        angle = torch.where(swaps_sides, angle + HALF_PI, angle)
        low, high = _angle_limits(start, start + math.pi, angle.dtype, "left")
        half_turns = torch.floor((angle - start) / math.pi)
        # An angle inside the limits must not change, but next to a limit, rounding of the division can give a turn.
        half_turns = torch.where((angle >= low) & (angle <= high), torch.zeros_like(half_turns), half_turns)
        angle = _subtract_periods(angle, half_turns, math.pi)
    w, h = torch.where(swaps_sides, h, w), torch.where(swaps_sides, w, h)
    return torch.stack((cx, cy, w, h, angle.clamp(low, high)), -1)


def obb_to_corners(boxes: Tensor) -> Tensor:
    """Convert oriented boxes to their corners.

    Args:
        boxes: (..., 5).

    Returns:
        (..., 4, 2) ``x, y``, clockwise on the image from ``(-w/2, -h/2)`` in the box's own frame.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.boxes import obb_to_corners
        >>> obb_to_corners(torch.tensor([10.0, 20.0, 6.0, 4.0, 0.0])).tolist()
        [[7.0, 18.0], [13.0, 18.0], [13.0, 22.0], [7.0, 22.0]]
    """
    center, w, h, angle = upcast(boxes).split((2, 1, 1, 1), -1)
    cos, sin = angle.cos(), angle.sin()
    to_side_w = torch.cat((cos, sin), -1) * (w / 2)  # (..., 2), half of w, in the direction of w
    to_side_h = torch.cat((-sin, cos), -1) * (h / 2)  # (..., 2), half of h, in the direction of h
    corners = (
        center - to_side_w - to_side_h,
        center + to_side_w - to_side_h,
        center + to_side_w + to_side_h,
        center - to_side_w + to_side_h,
    )
    return torch.stack(corners, -2)


def obb_to_poly(boxes: Tensor) -> Tensor:
    """Convert oriented boxes (..., 5) to polygons (..., 8) ``x1 y1 ... x4 y4``.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.boxes import obb_to_poly
        >>> obb_to_poly(torch.tensor([10.0, 20.0, 6.0, 4.0, 0.0]))
        tensor([ 7., 18., 13., 18., 13., 22.,  7., 22.])
    """
    return obb_to_corners(boxes).flatten(-2)


def obb_to_hbb(boxes: Tensor) -> Tensor:
    """Convert oriented boxes (..., 5) to their circumscribed horizontal boxes (..., 4) ``x1 y1 x2 y2``.

    Example:
        >>> import math, torch
        >>> from rotated_atss.ops.boxes import obb_to_hbb
        >>> obb_to_hbb(torch.tensor([10.0, 20.0, 6.0, 4.0, math.pi / 2]))
        tensor([ 8., 17., 12., 23.])
    """
    center, w, h, angle = upcast(boxes).split((2, 1, 1, 1), -1)
    abs_cos, abs_sin = angle.cos().abs(), angle.sin().abs()
    half_size = torch.cat((w * abs_cos + h * abs_sin, w * abs_sin + h * abs_cos), -1) / 2
    return torch.cat((center - half_size, center + half_size), -1)


def hbb_to_obb(hbbs: Tensor) -> Tensor:
    """Convert horizontal boxes (..., 4) ``x1 y1 x2 y2`` to oriented boxes (..., 5) with angle 0.

    The result is not normalized to an angle version.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.boxes import hbb_to_obb
        >>> hbb_to_obb(torch.tensor([7.0, 18.0, 13.0, 22.0]))
        tensor([10., 20.,  6.,  4.,  0.])
    """
    hbbs = upcast(hbbs)
    low, high = hbbs[..., :2], hbbs[..., 2:]
    return torch.cat(((low + high) / 2, high - low, torch.zeros_like(low[..., :1])), -1)


def check_rect(rect: str) -> str:
    """Return ``rect`` if it is one of :data:`RECT_CHOICES`.

    Raises:
        ValueError: The choice is unknown.

    Example:
        >>> from rotated_atss.ops.boxes import check_rect
        >>> check_rect("cv2")
        'cv2'
    """
    if rect not in RECT_CHOICES:
        raise ValueError(f"rect must be one of {', '.join(RECT_CHOICES)}, got {rect!r}")
    return rect


@cpu_if_no_float64
def poly_to_obb(polys: Tensor, angle_version: str = "le90", *, rect: str = "edge") -> Tensor:
    """Fit minimum-area rectangles to quadrilaterals.

    The minimum-area rectangle has a side along an edge of the convex hull (Freeman and Shapira 1975). Each edge of the
    hull connects two of the four corners, and there are six such pairs: four sides and two diagonals. The result is
    therefore the smallest of the six bounding rectangles in these directions, and the hull need not be computed. The
    computation uses float64.

    Args:
        polys: (..., 8) pixels, clockwise or counterclockwise, convex or not.
        angle_version: Angle version of the result.
        rect: Which rectangle to return if several have the minimum area, as for about one DOTA label in twenty.
            ``edge``: the rectangle whose direction comes first, where the sides come before the diagonals. An annotated
            rectangle therefore keeps its direction. Areas that differ by less than rounding (1e-9 of the area, or 1e-12
            square pixels) count as equal.
            ``cv2``: the rectangle of ``cv2.minAreaRect`` for float32 corners, as in mmrotate. It depends on rounding
            and on the version of OpenCV, and takes one call per polygon on the CPU.

    Returns:
        (..., 5) in the dtype of ``polys`` (half precision as float32). Four equal points give a box of zero size.

    Raises:
        ValueError: ``angle_version`` or ``rect`` is unknown.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.boxes import poly_to_obb
        >>> poly_to_obb(torch.tensor([7.0, 18.0, 13.0, 18.0, 13.0, 22.0, 7.0, 22.0]))
        tensor([10., 20.,  6.,  4.,  0.])
    """
    dtype = upcast(polys).dtype
    if check_rect(rect) == "cv2":
        return normalize_obb(_min_area_rects_of_opencv(polys).to(dtype), angle_version)
    points = polys.double().unflatten(-1, (4, 2))
    center = points.mean(-2, keepdim=True)
    points = points - center
    # pairs of corners: first the four sides, then the two diagonals
    first, second = (0, 1, 2, 3, 0, 1), (1, 2, 3, 0, 2, 3)
    edges = points[..., second, :] - points[..., first, :]  # (..., 6, 2)
    lengths = edges.norm(dim=-1, keepdim=True)
    # (..., 6, 2) unit vectors along and across each edge; the clamp avoids a division by 0
    axis = torch.where(lengths > 0, edges / lengths.clamp(min=1e-300), edges.new_tensor((1.0, 0.0)))
    normal = torch.stack((-axis[..., 1], axis[..., 0]), -1)
    along = (points.unsqueeze(-3) * axis.unsqueeze(-2)).sum(-1)  # (..., 6, 4)
    across = (points.unsqueeze(-3) * normal.unsqueeze(-2)).sum(-1)
    along_low, along_high, across_low, across_high = along.amin(-1), along.amax(-1), across.amin(-1), across.amax(-1)
    areas = (along_high - along_low) * (across_high - across_low)
    # two equal corners define no direction, so their pair must not be selected
    areas = torch.where(lengths.squeeze(-1) > 0, areas, torch.full_like(areas, math.inf))
    # The relative tolerance has no effect if the minimum is 0, so there is also an absolute one, in square pixels.
    is_minimum = areas <= areas.amin(-1, keepdim=True) * (1 + 1e-9) + 1e-12
    best = is_minimum.to(torch.uint8).argmax(-1, keepdim=True)  # the first of equal areas

    def of_best(values: Tensor) -> Tensor:
        """Select the value (...) of the best of the six directions."""
        return values.gather(-1, best).squeeze(-1)

    ux, uy = of_best(axis[..., 0]), of_best(axis[..., 1])
    mid_along, mid_across = of_best(along_low + along_high) / 2, of_best(across_low + across_high) / 2
    cx = center[..., 0, 0] + mid_along * ux - mid_across * uy
    cy = center[..., 0, 1] + mid_along * uy + mid_across * ux
    w, h = of_best(along_high - along_low), of_best(across_high - across_low)
    boxes = torch.stack((cx, cy, w, h, torch.atan2(uy, ux)), -1)
    return normalize_obb(boxes.to(dtype), angle_version)


def _min_area_rects_of_opencv(polys: Tensor) -> Tensor:
    """Fit the (..., 5) rectangles of ``cv2.minAreaRect`` to (..., 8) polygons, in float64."""
    import cv2

    rows = []
    for points in polys.detach().reshape(-1, 4, 2).float().cpu().numpy():
        (cx, cy), (w, h), degrees = cv2.minAreaRect(points)
        rows.append((cx, cy, w, h, math.radians(degrees)))
    boxes = torch.tensor(rows, dtype=torch.float64, device=polys.device)
    return boxes.reshape(*polys.shape[:-1], 5)


def points_in_obb(
    points: Tensor, boxes: Tensor, margin: float = 0.0, cos_sin: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Test whether points lie inside oriented boxes by more than ``margin`` pixels.

    Args:
        points: (..., 2), broadcast against ``boxes``.
        boxes: (..., 5).
        margin: Minimum distance to every side in pixels (exclusive).
        cos_sin: (...) cosine and sine of the angles, if the caller has already computed them.

    Returns:
        (...) bool.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.boxes import points_in_obb
        >>> box = torch.tensor([10.0, 20.0, 6.0, 4.0, 0.0])
        >>> points_in_obb(torch.tensor([[12.0, 21.0], [12.0, 23.0]]), box)
        tensor([ True, False])
    """
    cx, cy, w, h, angle = boxes.unbind(-1)
    dx, dy = points[..., 0] - cx, points[..., 1] - cy
    cos, sin = cos_sin or (angle.cos(), angle.sin())
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    distance_to_side = torch.minimum(w / 2 - along.abs(), h / 2 - across.abs())  # negative outside
    return distance_to_side > margin
