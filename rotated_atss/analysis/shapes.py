"""Compute the size, aspect ratio and angle of objects. Reports group the objects by these properties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rotated_atss.ops.min_area_rect import min_area_boxes


@dataclass(frozen=True)
class Shapes:
    """Size, aspect ratio and angle of the minimum-area rectangles of N objects.

    Size, aspect ratio and angle are rounded to 6 decimals, so that rounding errors do not move an object to another
    group.

    Attributes:
        boxes: (N, 5) float64 ``cx, cy, long side, short side, angle`` in pixels and radians. The angle in [-pi/2, pi/2)
            is the direction of the long side, clockwise from the x axis on the image.
    """

    boxes: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """Square root of the area, (N,) pixels."""
        return np.sqrt(self.boxes[:, 2] * self.boxes[:, 3]).round(6)

    @property
    def aspect_ratio(self) -> np.ndarray:
        """Long side over short side, (N,); 1 for a point, and very large for a line."""
        return np.maximum(self.boxes[:, 2] / np.maximum(self.boxes[:, 3], 1e-9), 1).round(6)

    @property
    def angle_deg(self) -> np.ndarray:
        """Direction of the long side in degrees, (N,), in [-90, 90)."""
        # rounding can produce 90 degrees, and the remainder turns 90 into -90, which is the same direction
        return np.remainder(np.rad2deg(self.boxes[:, 4]).round(6) + 90, 180) - 90


def fit_shapes(polygons: np.ndarray) -> Shapes:
    """Fit minimum-area rectangles to quadrilaterals (N, 8).

    Example:
        >>> shapes = fit_shapes(np.array([[0.0, 0, 2, 0, 2, 8, 0, 8]]))
        >>> shapes.size.tolist(), shapes.aspect_ratio.tolist(), shapes.angle_deg.tolist()
        ([4.0], [4.0], [-90.0])
    """
    return Shapes(min_area_boxes(polygons))


def shapes_of_boxes(boxes: np.ndarray) -> Shapes:
    """Return the shapes of oriented or horizontal boxes.

    Args:
        boxes: (N, 5) ``cx, cy, w, h, angle`` of any angle version, or (N, 4) ``x1, y1, x2, y2``.

    Example:
        >>> shapes = shapes_of_boxes(np.array([[9.0, 9, 2, 8, 0]]))
        >>> shapes.size.tolist(), shapes.aspect_ratio.tolist(), shapes.angle_deg.tolist()
        ([4.0], [4.0], [-90.0])
    """
    if boxes.shape[1] == 4:
        upper_left, lower_right = boxes[:, :2], boxes[:, 2:]
        center, sides = (upper_left + lower_right) / 2, lower_right - upper_left
        angle = np.zeros((len(boxes), 1))
    else:
        center, sides, angle = boxes[:, :2], boxes[:, 2:4], boxes[:, 4:]
    sides = np.maximum(sides, 0)  # a malformed box with a negative side has no area
    long_side_angle = angle + np.where(sides[:, :1] < sides[:, 1:], np.pi / 2, 0.0)
    # directions that differ by pi are the same; shift them to [-pi/2, pi/2)
    long_side_angle = long_side_angle - np.pi * np.floor(long_side_angle / np.pi + 0.5)
    long_and_short_side = np.sort(sides, axis=1)[:, ::-1]
    return Shapes(np.concatenate([center, long_and_short_side, long_side_angle], axis=1))
