"""Draw the outlines of boxes, solid or dashed, and mark their front edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.png import Image
from rotated_atss.visualization.fixed_point import SHIFT, to_fixed_point

Color = tuple[int, int, int]  # BGR in this module

# The white front has a black rim, so that it is visible on light and dark images.
_FRONT_COLOR = (255, 255, 255)
_RIM_COLOR = (0, 0, 0)
_DASH_PX = 5.0  # length of dashes and gaps of lines up to 2 px wide; it grows in proportion to the width of wider lines


def draw_outline(
    canvas: Image,
    polygon: NDArray[np.float64],
    color: Color,
    thickness: int = 1,
    *,
    dashed: bool = False,
    mark_front: bool = False,
) -> None:
    """Draw the outline of a quadrilateral, in place.

    Args:
        canvas: (H, W, 3) uint8, BGR.
        polygon: (4, 2) corners in pixels; (0, 0) is the upper-left corner of the first pixel.
        color: BGR.
        thickness: Line width, pixels.
        dashed: Dash the edges. Every edge begins and ends with a dash, so that the corners are visible.
        mark_front: Draw the front, the edge from the first to the second corner, white with a black rim.

    Example:
        >>> canvas = np.zeros((20, 20, 3), np.uint8)
        >>> square = np.array([[4.5, 4.5], [14.5, 4.5], [14.5, 14.5], [4.5, 14.5]])
        >>> draw_outline(canvas, square, color=(0, 0, 255))
        >>> bool(canvas[4, 9, 2] > 200)  # the upper edge; anti-aliased and therefore not fully red
        True
        >>> canvas[9, 9].tolist()  # the inside
        [0, 0, 0]
    """
    if dashed:
        for start, end in zip(polygon, np.roll(polygon, -1, 0)):
            _draw_dashed_line(canvas, start, end, color, thickness)
    else:
        cv2.polylines(canvas, [to_fixed_point(polygon)], True, color, thickness, cv2.LINE_AA, SHIFT)
    if mark_front:
        first, second = to_fixed_point(polygon[:2]).tolist()
        cv2.line(canvas, first, second, _RIM_COLOR, thickness + 2, cv2.LINE_AA, SHIFT)
        cv2.line(canvas, first, second, _FRONT_COLOR, thickness, cv2.LINE_AA, SHIFT)


def _draw_dashed_line(
    canvas: Image, start: NDArray[np.float64], end: NDArray[np.float64], color: Color, thickness: int
) -> None:
    """Draw a dashed line: divide it into an odd number of equal parts, and draw the first, the third and so on.

    The odd number makes the line begin and end with a dash. A line that is much longer than the image is solid, because
    drawing its dashes would take long.
    """
    length = float(np.hypot(*(end - start)))
    dash_length = _DASH_PX * max(1.0, thickness / 2)
    num_parts = max(3, 2 * round(length / (2 * dash_length)) + 1)  # always odd
    if num_parts > 2 * sum(canvas.shape[:2]):  # too many dashes: one part is a solid line
        num_parts = 1
    points = to_fixed_point(start + np.linspace(0, 1, num_parts + 1)[:, None] * (end - start)).tolist()
    for first, second in zip(points[::2], points[1::2]):
        cv2.line(canvas, first, second, color, thickness, cv2.LINE_AA, SHIFT)
