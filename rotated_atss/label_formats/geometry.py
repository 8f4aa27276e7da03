"""Polygons of label formats: quadrilaterals from points, and conversion between quadrilaterals and oriented boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.label_formats.records import ReadOptions
from rotated_atss.ops.box_polygons import obb_polygons
from rotated_atss.ops.min_area_rect import min_area_boxes

RECTANGLE_TOLERANCE_PX = 0.01
"""Tolerance in pixels. A polygon counts as a rectangle if none of its corners is farther than this from the nearest
corner of the polygon's minimum-area rectangle."""

HORIZONTAL_BOX_NOTE = ("object", " with a horizontal box only: angle set to 0")
"""Key of the note that counts horizontal boxes, see :func:`rotated_atss.label_formats.records.format_notes`."""


class FittedBoxes(NamedTuple):
    """Minimum-area rectangles of quadrilaterals.

    Attributes:
        boxes: (N, 5) ``cx, cy, w, h, angle``, pixels and radians, clockwise on the image; angle in (-pi, pi]. Of the
            four corners of the box, the first one, ``(-w/2, -h/2)`` in the frame of the box, is nearest to the
            polygon's first corner.
        shifts: (N,) largest distance between a corner of the polygon and the nearest corner of its rectangle, pixels.
        is_counterclockwise: (N,) bool, whether the corners of the polygon are in counterclockwise order. The corners
            of the rectangle are always in clockwise order.
    """

    boxes: np.ndarray
    shifts: np.ndarray
    is_counterclockwise: np.ndarray


def quadrilateral(points: Sequence[Sequence[float]], options: ReadOptions, where: object) -> list[float]:
    """Convert the corners of a polygon to a quadrilateral, a flat list of eight coordinates.

    Args:
        points: Corners ``x, y`` in pixels. If there are more than four, a last corner that repeats the first one is
            dropped.
        options: With ``fit_polygons``, a polygon without exactly four corners becomes its minimum-area rectangle.
        where: File, or ``path:line``, for the error.

    Raises:
        UserError: The polygon does not have four corners, and ``fit_polygons`` is off or its rectangle has no area.

    Example:
        >>> quadrilateral([[1, 2], [11, 2], [11, 8], [1, 8], [1, 2]], ReadOptions(), "P1.json")
        [1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]
        >>> quadrilateral([[1, 2], [11, 2], [11, 8]], ReadOptions(), "P1.json")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: P1.json: a polygon must have 4 corners, got 3 (use --fit-polygons ...)
    """
    corners = [(float(x), float(y)) for x, y in points]
    if len(corners) > 4 and corners[0] == corners[-1]:
        corners.pop()
    if len(corners) != 4:
        if not options.fit_polygons:
            hint = "use --fit-polygons to replace it with its minimum-area rectangle"
            raise UserError(f"a polygon must have 4 corners, got {len(corners)}", where=where, hint=hint)
        corners = _fit_rectangle(corners, where)
        options.notes["polygon", " without four corners: replaced with the minimum-area rectangle"] += 1
    return [value for corner in corners for value in corner]


def horizontal_polygon(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    """Return the corners of a horizontal box, clockwise on the image from the upper-left corner.

    Example:
        >>> horizontal_polygon(1, 2, 11, 8)
        [1, 2, 11, 2, 11, 8, 1, 8]
    """
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def boxes_to_polygons(boxes: np.ndarray) -> np.ndarray:
    """Convert boxes (N, 5) ``cx, cy, w, h, angle`` to polygons (N, 8).

    The coordinates are rounded to 1e-6, because otherwise a corner at 23.3 could become 23.299999999999997.

    Args:
        boxes: Pixels and radians, clockwise on the image; any angle.

    Example:
        >>> boxes_to_polygons(np.array([[10.0, 20, 6, 4, 0]])).tolist()
        [[7.0, 18.0, 13.0, 18.0, 13.0, 22.0, 7.0, 22.0]]
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 5)
    return np.round(obb_polygons(boxes), 6) + 0.0  # + 0.0 turns -0.0 into 0.0


def polygons_to_boxes(polygons: np.ndarray) -> FittedBoxes:
    """Convert quadrilaterals (N, 8) to their minimum-area rectangles.

    The first corner of a rectangle is the one nearest to the first corner of its quadrilateral.

    Example:
        >>> result = polygons_to_boxes(np.array([[13.0, 18, 13, 22, 7, 22, 7, 18]]))
        >>> result.boxes.round(4).tolist(), result.shifts.round(4).tolist(), result.is_counterclockwise.tolist()
        ([[10.0, 20.0, 4.0, 6.0, 1.5708]], [0.0], [False])
    """
    polygons = np.asarray(polygons, dtype=np.float64).reshape(-1, 8)
    fitted = min_area_boxes(polygons)
    cx, cy, w, h, angle = fitted.T
    box_corners = obb_polygons(fitted).reshape(-1, 4, 2)
    polygon_corners = polygons.reshape(-1, 4, 2)
    # (N, 4 corners of the polygon, 4 corners of the box)
    distances = np.linalg.norm(polygon_corners[:, :, None] - box_corners[:, None], axis=-1)
    # Make the box corner nearest to the polygon's first corner the first corner of the box. The index of this corner is
    # the number of quarter turns by which the box is rotated. Its outline stays in place, as w and h are swapped if the
    # number is odd.
    quarter_turns = distances[:, 0].argmin(axis=1)
    swaps_sides = quarter_turns % 2 == 1
    angle = angle + quarter_turns * (math.pi / 2)
    angle = np.where(angle > math.pi, angle - 2 * math.pi, angle)
    boxes = np.stack((cx, cy, np.where(swaps_sides, h, w), np.where(swaps_sides, w, h), angle), axis=1)
    x, y = polygon_corners[..., 0], polygon_corners[..., 1]
    # shoelace formula: negative if the corners are counterclockwise on the image, where y points down
    double_areas = (x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1)
    shifts = distances.min(axis=2).max(axis=1, initial=0)
    return FittedBoxes(boxes, shifts, is_counterclockwise=double_areas < 0)


def _fit_rectangle(corners: Sequence[tuple[float, float]], where: object) -> list[tuple[float, float]]:
    """Return the four corners of the minimum-area rectangle of a polygon."""
    import shapely  # takes 0.1 s to import

    rectangle = None
    if len(corners) > 2:
        rectangle = shapely.minimum_rotated_rectangle(shapely.MultiPoint(corners))
    if rectangle is None or rectangle.geom_type != "Polygon":  # a line or a point
        raise UserError(f"a polygon with {len(corners)} corners has no area", where=where, hint="remove it")
    return [(round(x, 6), round(y, 6)) for x, y in rectangle.exterior.coords[:4]]  # the fifth repeats the first
