"""IoU of pairs of oriented boxes in closed form, with NumPy only.

:mod:`rotated_atss.ops.iou` computes the same for torch tensors and derives the formula.
"""

from __future__ import annotations

import numpy as np

_PAIRS_PER_BLOCK = 4096  # small enough that the temporary arrays of a block fit into the CPU cache
# Smaller values are not inverted, because the product of a length and the inverse may overflow.
_NEGLIGIBLE = np.finfo(np.float64).tiny ** 0.5


def box_ious(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """Compute the IoU of each oriented box in ``boxes1`` with the box in the same row of ``boxes2``.

    Args:
        boxes1: (N, 5) ``cx, cy, w, h, angle`` in pixels and radians, finite.
        boxes2: (N, 5).

    Returns:
        (N,) float64 in [0, 1]. Boxes without area overlap nothing.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.box_ious import box_ious
        >>> box_ious(np.array([[50.0, 40, 20, 10, 0]]), np.array([[60.0, 40, 20, 10, 0]])).round(4)
        array([0.3333])
    """
    ious = np.empty(len(boxes1))
    for start in range(0, len(ious), _PAIRS_PER_BLOCK):
        block = slice(start, start + _PAIRS_PER_BLOCK)
        ious[block] = _ious(boxes1[block].astype(np.float64).T, boxes2[block].astype(np.float64).T)
    return ious


def _ious(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """Compute the IoUs (n,) of boxes given as columns (5, n)."""
    (_, _, w1, h1, _), (_, _, w2, h2, _) = boxes1, boxes2
    area1, area2 = w1 * h1, w2 * h2
    intersection = np.minimum(_intersections(boxes1, boxes2), np.minimum(area1, area2))
    # Disjoint boxes must have an IoU of exactly 0, so areas that are not larger than the rounding error count as 0.
    # Because the integrals clamp y to h1 / 2, this error is proportional to h1 times the longest of the other sides.
    # The largest measured error is 1.1 eps times this product.
    longest = np.maximum(w1, np.maximum(w2, h2))
    valid = intersection > longest * h1 * (2 * np.finfo(np.float64).eps)
    valid &= np.minimum(np.minimum(w1, h1), np.minimum(w2, h2)) > 0
    union = np.where(valid, area1 + area2 - intersection, 1.0)
    return np.where(valid, intersection / union, 0.0).clip(0.0, 1.0)


def _intersections(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """Compute the intersection areas (n,) of boxes given as columns (5, n), as a line integral around ``boxes2``."""
    (x1, y1, w1, h1, angle1), (x2, y2, w2, h2, angle2) = boxes1, boxes2
    dx, dy, cos1, sin1 = x2 - x1, y2 - y1, np.cos(angle1), np.sin(angle1)
    cx, cy = dx * cos1 + dy * sin1, dy * cos1 - dx * sin1  # center of the second box in the frame of the first
    cos, sin = np.cos(angle2 - angle1), np.sin(angle2 - angle1)
    ux, uy, vx, vy = w2 / 2 * cos, w2 / 2 * sin, h2 / 2 * -sin, h2 / 2 * cos  # half axes of the second box
    # The edges with the midpoints c - v and c + v are parallel to u, those with c + u and c - u are parallel to v.
    mx = np.stack((cx - vx, cx + vx, cx + ux, cx - ux)).reshape(2, 2, -1)
    my = np.stack((cy - vy, cy + vy, cy + uy, cy - uy)).reshape(2, 2, -1)
    integrals = _edge_integrals(mx, my, np.stack((ux, vx))[:, None], np.stack((uy, vy))[:, None], w1 / 2, h1 / 2)
    # A walk around the box passes the edge at c + v in the direction of u, and the edge at c - u in the direction of v.
    # It passes the opposite edges in the opposite directions, so their integrals are subtracted.
    return (integrals[0, 1] - integrals[0, 0]) + (integrals[1, 1] - integrals[1, 0])


def _edge_integrals(
    mx: np.ndarray, my: np.ndarray, ex: np.ndarray, ey: np.ndarray, half_w: np.ndarray, half_h: np.ndarray
) -> np.ndarray:
    """Integrate ``clamp(y, -half_h, half_h) dx`` along the part of each edge where ``|x| <= half_w``.

    An edge consists of the points ``m + t e``, -1 <= t <= 1. All arguments are in the frame of the first box.

    Args:
        mx: (2, 2, n) midpoints of the edges, x.
        my: (2, 2, n) midpoints of the edges, y.
        ex: (2, 1, n) half edges, x.
        ey: (2, 1, n) half edges, y.
        half_w: (n,) half width of the first box.
        half_h: (n,) half height of the first box.
    """
    # A vertical edge contributes 0 through the factor ex of the result, so any finite inverse is right for it.
    inverse_ex = 1 / np.where(np.abs(ex) < _NEGLIGIBLE, 1.0, ex)
    x_middle, x_reach = -mx * inverse_ex, half_w * np.abs(inverse_ex)  # |x| <= half_w for t in x_middle +- x_reach
    t0, t1 = (x_middle - x_reach).clip(-1.0, 1.0), (x_middle + x_reach).clip(-1.0, 1.0)
    # On a horizontal edge, y0 equals y1, so s0 and s1 do not change the result, and any finite inverse is right.
    inverse_ey = 1 / np.where(np.abs(ey) < _NEGLIGIBLE, 1.0, ey)
    y_middle, y_reach = -my * inverse_ey, half_h * np.abs(inverse_ey)  # |y| <= half_h for t in y_middle +- y_reach
    s0, s1 = (y_middle - y_reach).clip(t0, t1), (y_middle + y_reach).clip(t0, t1)
    # The clamped y is y0 from t0 to s0, linear from s0 to s1, and y1 from s1 to t1. Its integral equals the integral of
    # a step function that jumps from y0 to y1 halfway between s0 and s1.
    jump = (s0 + s1) / 2
    y0, y1 = (my + t0 * ey).clip(-half_h, half_h), (my + t1 * ey).clip(-half_h, half_h)
    return ex * (y0 * (jump - t0) + y1 * (t1 - jump))
