"""Minimum-area rectangles of quadrilaterals, with NumPy only.

:func:`rotated_atss.ops.boxes.poly_to_obb` does the same for torch tensors, in every angle version. Commands that have
no other use for torch start two seconds faster without it.
"""

from __future__ import annotations

import numpy as np

_PER_BLOCK = 8192  # with 6 directions and 4 corners per polygon the temporaries of a block stay in the cache
_FIRST, _SECOND = [0, 1, 2, 3, 0, 1], [1, 2, 3, 0, 2, 3]  # the six lines through two of the four corners


def min_area_boxes(polygons: np.ndarray) -> np.ndarray:
    """Fit the minimum-area rectangle to each quadrilateral, as ``poly_to_obb`` with the angle version ``le90``.

    Args:
        polygons: (N, 8) pixels, clockwise or counterclockwise, convex or not.

    Returns:
        (N, 5) float64 ``cx, cy, w, h, angle``, pixels and radians: w is the long side, whose direction is the angle in
        [-pi/2, pi/2). Coinciding points give a box of zero size.

    Example:
        >>> min_area_boxes(np.array([[0.0, 0, 2, 0, 2, 8, 0, 8]])).round(4).tolist()
        [[1.0, 4.0, 8.0, 2.0, -1.5708]]
    """
    corners = np.asarray(polygons, dtype=np.float64).reshape(-1, 4, 2)
    boxes = np.empty((len(corners), 5))
    for start in range(0, len(corners), _PER_BLOCK):
        block = slice(start, start + _PER_BLOCK)
        boxes[block] = _fit(corners[block])
    return boxes


def _fit(corners: np.ndarray) -> np.ndarray:
    """Fit the boxes (n, 5) of corners (n, 4, 2)."""
    center = corners.mean(axis=1, keepdims=True)
    points = corners - center
    edges = points[:, _SECOND] - points[:, _FIRST]  # (n, 6, 2)
    lengths = np.hypot(edges[..., 0], edges[..., 1])
    scale = np.maximum(lengths, 1e-300)  # not 0
    ux, uy = np.where(lengths > 0, edges[..., 0] / scale, 1.0), np.where(lengths > 0, edges[..., 1] / scale, 0.0)
    x, y = points[:, None, :, 0], points[:, None, :, 1]  # (n, 1, 4)
    along = x * ux[..., None] + y * uy[..., None]  # (n, 6, 4)
    across = y * ux[..., None] - x * uy[..., None]
    lows, highs = (along.min(-1), across.min(-1)), (along.max(-1), across.max(-1))
    areas = np.where(lengths > 0, (highs[0] - lows[0]) * (highs[1] - lows[1]), np.inf)
    is_minimum = areas <= areas.min(axis=1, keepdims=True) * (1 + 1e-9) + 1e-12  # as in poly_to_obb
    best = (np.arange(len(corners)), is_minimum.argmax(axis=1))  # the first of equal areas
    (ux, uy, w, h) = (values[best] for values in (ux, uy, highs[0] - lows[0], highs[1] - lows[1]))
    mid_along, mid_across = ((low + high)[best] / 2 for low, high in zip(lows, highs))
    cx = center[:, 0, 0] + mid_along * ux - mid_across * uy
    cy = center[:, 0, 1] + mid_along * uy + mid_across * ux
    angle = np.arctan2(uy, ux) + np.where(h > w, np.pi / 2, 0.0)
    angle -= np.pi * np.floor(angle / np.pi + 0.5)
    return np.stack([cx, cy, np.maximum(w, h), np.minimum(w, h), angle], axis=1)
