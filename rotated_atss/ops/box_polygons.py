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

    The corners are clockwise on the image. At angle 0, the first corner is the upper-left corner.

    Example:
        >>> obb_polygons(np.array([[5.0, 5, 4, 2, 0]])).tolist()
        [[3.0, 4.0, 7.0, 4.0, 7.0, 6.0, 3.0, 6.0]]
    """
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    centers = boxes[:, :2]
    to_side_w = np.stack([cos, sin], axis=1) * boxes[:, 2:3] / 2  # (N, 2), half of w, in the direction of w
    to_side_h = np.stack([-sin, cos], axis=1) * boxes[:, 3:4] / 2  # (N, 2), half of h, in the direction of h
    corner_signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    corners = [centers + sign_w * to_side_w + sign_h * to_side_h for sign_w, sign_h in corner_signs]
    return np.concatenate(corners, axis=1)


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
