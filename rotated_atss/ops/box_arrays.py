"""Conversion and scaling of oriented and horizontal boxes, with NumPy only.

An oriented box is ``cx, cy, w, h, angle``; :mod:`rotated_atss.ops.boxes` explains the conventions. That module and
:mod:`rotated_atss.ops.box_transforms` are the counterparts for torch tensors.
"""

from __future__ import annotations

import numpy as np

from rotated_atss.ops.box_polygons import obb_polygons
from rotated_atss.ops.min_area_rect import min_area_boxes


def obbs_to_hbbs(boxes: np.ndarray) -> np.ndarray:
    """Return the circumscribed horizontal boxes (N, 4) ``x1, y1, x2, y2`` of oriented boxes (N, 5).

    Example:
        >>> obbs_to_hbbs(np.array([[10.0, 20, 6, 4, np.pi / 2]])).round(6).tolist()
        [[8.0, 17.0, 12.0, 23.0]]
    """
    cx, cy, w, h, angle = boxes.T
    abs_cos, abs_sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    half_width, half_height = (w * abs_cos + h * abs_sin) / 2, (w * abs_sin + h * abs_cos) / 2
    return np.stack((cx - half_width, cy - half_height, cx + half_width, cy + half_height), axis=1)


def hbbs_to_obbs(hbbs: np.ndarray) -> np.ndarray:
    """Return horizontal boxes (N, 4) ``x1, y1, x2, y2`` as oriented boxes (N, 5) with angle 0 and ``w`` along x.

    Example:
        >>> hbbs_to_obbs(np.array([[7.0, 18, 13, 22]])).tolist()
        [[10.0, 20.0, 6.0, 4.0, 0.0]]
    """
    x1, y1, x2, y2 = hbbs.T
    return np.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, np.zeros_like(x1)), axis=1)


def as_obbs(boxes: np.ndarray) -> np.ndarray:
    """Return oriented boxes (N, 5) unchanged, and horizontal boxes (N, 4) as oriented boxes.

    Example:
        >>> as_obbs(np.array([[7.0, 18, 13, 22]])).shape, as_obbs(np.empty((0, 5))).shape
        ((1, 5), (0, 5))
    """
    return hbbs_to_obbs(boxes) if boxes.shape[1] == 4 else boxes


def scale_obbs(boxes: np.ndarray, scale_xy: tuple[float, float]) -> np.ndarray:
    """Resize oriented boxes (N, 5) together with their image.

    Unequal factors turn a rectangle into a parallelogram; its minimum-area rectangle is returned.

    Args:
        boxes: Oriented boxes (N, 5).
        scale_xy: New size over old size, horizontally and vertically.

    Returns:
        (N, 5). Equal factors keep the angle; with unequal factors ``w >= h`` and the angle is in [-pi/2, pi/2).

    Example:
        >>> scale_obbs(np.array([[10.0, 20, 6, 4, 0.5]]), (0.5, 0.5)).tolist()
        [[5.0, 10.0, 3.0, 2.0, 0.5]]
    """
    scale_x, scale_y = scale_xy
    if scale_x == scale_y:
        return boxes * np.array([scale_x] * 4 + [1.0])
    return min_area_boxes(obb_polygons(boxes) * np.array([scale_x, scale_y] * 4))
