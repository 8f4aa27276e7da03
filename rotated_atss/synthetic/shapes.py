"""Create outlines in the coordinates of an object.

The x axis points to the front of the object, the y axis to its right. The center of the object is near (0, 0).
"""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def rect(length: float, width: float, x: float = 0.0, y: float = 0.0) -> Points:
    """Return a rectangle (4, 2) with the center (x, y), ``length`` along the x axis and ``width`` along the y axis.

    The corners are in clockwise order. The first one is the front left corner.

    Example:
        >>> rect(4, 2).tolist()
        [[2.0, -1.0], [2.0, 1.0], [-2.0, 1.0], [-2.0, -1.0]]
    """
    half = np.array([[0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5]])
    return half * (length, width) + (x, y)


def quad_of(extent: tuple[float, float, float, float]) -> Points:
    """Convert the bounds (x0, y0, x1, y1) to a rectangle (4, 2), in the order of :func:`rect`.

    Example:
        >>> quad_of((0, 0, 4, 2)).tolist()
        [[4, 0], [4, 2], [0, 2], [0, 0]]
    """
    x0, y0, x1, y1 = extent
    return np.array([[x1, y0], [x1, y1], [x0, y1], [x0, y0]])


def ellipse(length: float, width: float, x: float = 0.0, y: float = 0.0, *, sides: int = 40) -> Points:
    """Return an ellipse (sides, 2) around (x, y) with the diameters ``length`` along x and ``width`` along y.

    Example:
        >>> ellipse(4, 2, sides=4).round(6).tolist()[:2]
        [[2.0, 0.0], [0.0, 1.0]]
    """
    angles = np.arange(sides) * (2 * np.pi / sides)
    return np.stack([x + length / 2 * np.cos(angles), y + width / 2 * np.sin(angles)], axis=1)


def arc(radius: float, start: float, stop: float, x: float = 0.0, y: float = 0.0, *, sides: int = 20) -> Points:
    """Return ``sides`` points on a circle around (x, y), from angle ``start`` to ``stop`` (radians, clockwise).

    Example:
        >>> arc(2.0, 0.0, np.pi / 2, sides=2).round(6).tolist()
        [[2.0, 0.0], [0.0, 2.0]]
    """
    angles = np.linspace(start, stop, sides)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def rounded_rect(length: float, width: float, radius: float, x: float = 0.0, y: float = 0.0) -> Points:
    """Return a rectangle (24, 2) whose corners are rounded by ``radius``.

    Example:
        >>> rounded_rect(10, 6, 2).shape
        (24, 2)
    """
    radius = min(radius, length / 2, width / 2)
    dx, dy = length / 2 - radius, width / 2 - radius
    arc_centers = [(dx, dy), (-dx, dy), (-dx, -dy), (dx, -dy)]
    corners = []
    for index, (center_x, center_y) in enumerate(arc_centers):
        start, stop = index * (np.pi / 2), (index + 1) * (np.pi / 2)
        corners.append(arc(radius, start, stop, center_x, center_y, sides=6))
    return np.concatenate(corners) + np.array([x, y])


def mirrored(right_side: Points) -> Points:
    """Return a symmetric outline, given the points of its right half (y >= 0) from front to rear.

    Example:
        >>> mirrored(np.array([[2.0, 0.0], [0.0, 1.0]])).tolist()
        [[2.0, 0.0], [0.0, 1.0], [0.0, -1.0], [2.0, -0.0]]
    """
    left = right_side[::-1] * (1, -1)
    return np.concatenate([right_side, left])


def extent_of(points: Points) -> tuple[float, float, float, float]:
    """Return the axis-aligned bounds (x0, y0, x1, y1) of points (N, 2).

    Example:
        >>> extent_of(rect(4, 2, x=1))
        (-1.0, -1.0, 3.0, 1.0)
    """
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def rotate_points(points: Points, angle_rad: float) -> Points:
    """Rotate points (N, 2) around the origin, clockwise on the image (y down).

    Example:
        >>> rotate_points(np.array([[1.0, 0.0]]), np.pi / 2).round(6).tolist()
        [[0.0, 1.0]]
    """
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return points @ np.array([[c, s], [-s, c]])
