"""Convert subpixel coordinates to the fixed-point format of OpenCV's drawing functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHIFT = 4
"""Number of fractional bits: the argument ``shift`` of OpenCV's functions."""


def to_fixed_point(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Convert points to OpenCV's fixed-point coordinates, in which (0, 0) is the center of the first pixel.

    Args:
        points: (..., 2) in pixels, where (0, 0) is the upper-left corner of the first pixel.

    Example:
        >>> to_fixed_point(np.array([[0.5, 2.75]])).tolist()
        [[0, 36]]
    """
    return np.round((points - 0.5) * (1 << SHIFT)).astype(np.int32)
