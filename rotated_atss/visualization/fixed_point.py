"""Coordinates with fractions of a pixel for OpenCV's drawing functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHIFT = 4
"""Fractional bits, OpenCV's argument ``shift``."""


def to_fixed_point(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Convert points in pixels to OpenCV's coordinates.

    Args:
        points: (..., 2), where (0, 0) is the upper-left corner of the first pixel. OpenCV's integers are pixel centers.

    Example:
        >>> to_fixed_point(np.array([[0.5, 2.75]])).tolist()
        [[0, 36]]
    """
    return np.round((points - 0.5) * (1 << SHIFT)).astype(np.int32)
