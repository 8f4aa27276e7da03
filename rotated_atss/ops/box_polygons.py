"""Corners of horizontal and oriented boxes, with NumPy only.

:func:`rotated_atss.ops.boxes.obb_to_poly` does the same for torch tensors of oriented boxes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def hbb_polygons(boxes: np.ndarray) -> np.ndarray:
    """Return the corners (N, 8) of horizontal boxes (N, 4) ``x1, y1, x2, y2``, clockwise on the image.

    Example:
        >>> hbb_polygons(np.array([[1, 2, 11, 8]])).tolist()
        [[1, 2, 11, 2, 11, 8, 1, 8]]
    """
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]


def obb_polygons(boxes: np.ndarray) -> np.ndarray:
    """Return the corners (N, 8) of oriented boxes (N, 5) ``cx, cy, w, h, angle``, in pixels and radians.

    The corners are clockwise on the image; at angle 0, the first is the upper-left one.

    Example:
        >>> obb_polygons(np.array([[5.0, 5, 4, 2, 0]])).tolist()
        [[3.0, 4.0, 7.0, 4.0, 7.0, 6.0, 3.0, 6.0]]
    """
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    half_w = np.stack([cos, sin], axis=1) * boxes[:, 2:3] / 2  # (N, 2) vector along w
    half_h = np.stack([-sin, cos], axis=1) * boxes[:, 3:4] / 2  # (N, 2) vector along h
    # A corner is the center plus or minus half_w, plus or minus half_h.
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.concatenate([boxes[:, :2] + w_sign * half_w + h_sign * half_h for w_sign, h_sign in signs], axis=1)


def box_polygons(boxes: ArrayLike) -> np.ndarray:
    """Return the corners (N, 8) of horizontal boxes (N, 4) or oriented boxes (N, 5), in float64.

    Args:
        boxes: An array, a tensor in host memory or a list. An empty one can have any shape.

    Example:
        >>> box_polygons([[1, 2, 11, 8]]).tolist(), box_polygons([]).shape
        ([[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]], (0, 8))
    """
    values = np.asarray(boxes, np.float64)
    if not values.size:
        return np.empty((0, 8))
    return hbb_polygons(values) if values.shape[1] == 4 else obb_polygons(values)
