"""Minimum-area rectangles of quadrilaterals, with NumPy only.

:func:`rotated_atss.ops.boxes.poly_to_obb` does the same for torch tensors, in every angle version, and explains the
method: the minimum-area rectangle has a side along one of the six lines through two of the corners. This module exists
because commands that have no other use for torch start two seconds faster without it.
"""

from __future__ import annotations

import numpy as np

_POLYGONS_PER_BLOCK = 8192  # with 6 lines and 4 corners per polygon, the temporaries of a block stay in the cache
# line i of a polygon goes through corners _FIRST_CORNERS[i] and _SECOND_CORNERS[i]: four sides, then two diagonals
_FIRST_CORNERS, _SECOND_CORNERS = [0, 1, 2, 3, 0, 1], [1, 2, 3, 0, 2, 3]


def min_area_boxes(polygons: np.ndarray) -> np.ndarray:
    """Fit the minimum-area rectangle to each quadrilateral, like ``poly_to_obb`` with the angle version ``le90``.

    Args:
        polygons: (N, 8) pixels, clockwise or counterclockwise, convex or not.

    Returns:
        (N, 5) float64 ``cx, cy, w, h, angle`` in pixels and radians. w is the long side, and the angle in [-pi/2, pi/2)
        is its direction. Four equal points give a box of zero size.

    Example:
        >>> min_area_boxes(np.array([[0.0, 0, 2, 0, 2, 8, 0, 8]])).round(4).tolist()
        [[1.0, 4.0, 8.0, 2.0, -1.5708]]
    """
    corners = np.asarray(polygons, dtype=np.float64).reshape(-1, 4, 2)
    boxes = np.empty((len(corners), 5))
    for start in range(0, len(corners), _POLYGONS_PER_BLOCK):
        block = slice(start, start + _POLYGONS_PER_BLOCK)
        boxes[block] = _fit_boxes(corners[block])
    return boxes


def _fit_boxes(corners: np.ndarray) -> np.ndarray:
    """Fit boxes (n, 5) to corners (n, 4, 2)."""
    center = corners.mean(axis=1, keepdims=True)
    points = corners - center
    edges = points[:, _SECOND_CORNERS] - points[:, _FIRST_CORNERS]  # (n, 6, 2)
    lengths = np.hypot(edges[..., 0], edges[..., 1])
    divisor = np.maximum(lengths, 1e-300)  # np.where evaluates the division for lines of length 0 as well
    # (n, 6) unit vectors of the six lines
    ux, uy = np.where(lengths > 0, edges[..., 0] / divisor, 1.0), np.where(lengths > 0, edges[..., 1] / divisor, 0.0)
    x, y = points[:, None, :, 0], points[:, None, :, 1]  # (n, 1, 4)
    along = x * ux[..., None] + y * uy[..., None]  # (n, 6, 4)
    across = y * ux[..., None] - x * uy[..., None]
    along_low, along_high, across_low, across_high = along.min(-1), along.max(-1), across.min(-1), across.max(-1)
    widths, heights = along_high - along_low, across_high - across_low  # (n, 6)
    areas = np.where(lengths > 0, widths * heights, np.inf)  # two equal corners define no line
    # equal up to rounding, with the tolerances of poly_to_obb, so that both functions select the same line
    is_minimum = areas <= areas.min(axis=1, keepdims=True) * (1 + 1e-9) + 1e-12
    best = (np.arange(len(corners)), is_minimum.argmax(axis=1))  # (polygon, line); the first of equal areas
    best_ux, best_uy, w, h = ux[best], uy[best], widths[best], heights[best]  # (n,)
    mid_along, mid_across = (along_low + along_high)[best] / 2, (across_low + across_high)[best] / 2
    cx = center[:, 0, 0] + mid_along * best_ux - mid_across * best_uy
    cy = center[:, 0, 1] + mid_along * best_uy + mid_across * best_ux
    angle = np.arctan2(best_uy, best_ux) + np.where(h > w, np.pi / 2, 0.0)  # direction of the long side
    angle -= np.pi * np.floor(angle / np.pi + 0.5)  # to [-pi/2, pi/2)
    return np.stack([cx, cy, np.maximum(w, h), np.minimum(w, h), angle], axis=1)
