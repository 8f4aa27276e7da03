"""Size, aspect ratio and angle of the minimum-area rectangles of polygons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rotated_atss.ops.min_area_rect import min_area_boxes


@dataclass(frozen=True)
class Shapes:
    """Minimum-area rectangles of N polygons; their values are rounded to 6 decimals, so that groups have exact limits.

    Attributes:
        boxes: (N, 5) float64 ``cx, cy, long side, short side, angle``, pixels and radians in [-pi/2, pi/2): the
            direction of the long side, clockwise from the x axis on the image.
    """

    boxes: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """Square root of the area in pixels, (N,)."""
        return np.sqrt(self.boxes[:, 2] * self.boxes[:, 3]).round(6)

    @property
    def aspect_ratio(self) -> np.ndarray:
        """Long side over short side, (N,); at least 1, also for a point."""
        return np.maximum(self.boxes[:, 2] / np.maximum(self.boxes[:, 3], 1e-9), 1).round(6)

    @property
    def angle_deg(self) -> np.ndarray:
        """Direction of the long side in degrees, (N,), in [-90, 90)."""
        return np.remainder(np.rad2deg(self.boxes[:, 4]).round(6) + 90, 180) - 90


def fit_shapes(polygons: np.ndarray) -> Shapes:
    """Fit minimum-area rectangles to quadrilaterals (N, 8).

    Example:
        >>> shapes = fit_shapes(np.array([[0.0, 0, 2, 0, 2, 8, 0, 8]]))
        >>> shapes.size.tolist(), shapes.aspect_ratio.tolist(), shapes.angle_deg.tolist()
        ([4.0], [4.0], [-90.0])
    """
    return Shapes(min_area_boxes(polygons))
