"""Outlines in an object's own frame: x forward (to its head), y to its right, pixels, centre near (0, 0)."""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def rect(length: float, width: float, x: float = 0.0, y: float = 0.0) -> Points:
    """A rectangle ``length`` along x and ``width`` along y about (x, y): (4, 2), front left first, clockwise."""
    half = np.array([[0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5]])
    return half * (length, width) + (x, y)


def quad_of(extent: tuple[float, float, float, float]) -> Points:
    """The rectangle of (x0, y0, x1, y1): (4, 2), front left first, clockwise."""
    x0, y0, x1, y1 = extent
    return np.array([[x1, y0], [x1, y1], [x0, y1], [x0, y0]])


def ellipse(length: float, width: float, x: float = 0.0, y: float = 0.0, *, sides: int = 40) -> Points:
    """An ellipse of the given diameters about (x, y), (sides, 2)."""
    turn = np.arange(sides) * (2 * np.pi / sides)
    return np.stack([x + length / 2 * np.cos(turn), y + width / 2 * np.sin(turn)], axis=1)


def arc(radius: float, start: float, stop: float, x: float = 0.0, y: float = 0.0, *, sides: int = 20) -> Points:
    """Points of a circle about (x, y) from angle ``start`` to ``stop``, clockwise on the image: (sides, 2)."""
    turn = np.linspace(start, stop, sides)
    return np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)


def rounded_rect(length: float, width: float, radius: float, x: float = 0.0, y: float = 0.0) -> Points:
    """A rectangle with corners rounded by ``radius``, (24, 2)."""
    radius = min(radius, length / 2, width / 2)
    dx, dy, quarter = length / 2 - radius, width / 2 - radius, np.pi / 2
    centres = [(dx, dy), (-dx, dy), (-dx, -dy), (dx, -dy)]
    corners = [arc(radius, i * quarter, (i + 1) * quarter, cx, cy, sides=6) for i, (cx, cy) in enumerate(centres)]
    return np.concatenate(corners) + (x, y)


def mirrored(right_side: Points) -> Points:
    """Closes an outline that is given from head to tail on the right side (y >= 0) by its mirror image."""
    left = right_side[::-1] * (1, -1)
    return np.concatenate([right_side, left])


def extent_of(points: Points) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) of points (N, 2)."""
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def turned(points: Points, angle_rad: float) -> Points:
    """Points (N, 2) turned about the origin, clockwise on the image (y down)."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return points @ np.array([[c, s], [-s, c]])


def area_of(points: Points) -> float:
    """Area of a simple polygon (N, 2), by the shoelace formula."""
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
