"""Exact overlap of quadrilaterals in float64, vectorised over pairs and without a tolerance.

A polygon is the signed sum of the trapezoids under its edges, down to a common base line. The overlap of two polygons
is therefore the signed sum, over the 4 x 4 pairs of edges, of the overlaps of two trapezoids, and each of these is the
integral of the lower one of two straight lines over the x-interval that both edges span. No hull, no sorting of
vertices, no case that needs an epsilon.

Quadrilaterals may be convex or not and run either way round. One that crosses itself counts as DOTA_devkit's polyiou
counts it: with its winding number, turned so that its signed area is positive.
"""

import numpy as np

_PAIRS = 2048  # pairs a block: sixteen edge pairs each, so that a temporary stays in the cache


def polygon_areas(polygons: np.ndarray) -> np.ndarray:
    """(N,) areas of (N, 8) polygons, never negative."""
    return np.abs(_signed_areas(_vertices(polygons)))


def polygon_hbbs(polygons: np.ndarray) -> np.ndarray:
    """(N, 4) circumscribed boxes (x_min, y_min, x_max, y_max) of (N, 8) polygons."""
    corner1, corner2, corner3, corner4 = _vertices(polygons).transpose(
        1, 0, 2
    )  # pairwise: much faster than min(axis=1)
    low = np.minimum(np.minimum(corner1, corner2), np.minimum(corner3, corner4))
    high = np.maximum(np.maximum(corner1, corner2), np.maximum(corner3, corner4))
    return np.concatenate([low, high], axis=1)


def polygon_intersections(polygons1: np.ndarray, polygons2: np.ndarray) -> np.ndarray:
    """(N,) areas that polygon n of the one and polygon n of the other share; (N, 8) each."""
    first, second = _vertices(polygons1), _vertices(polygons2)
    if len(first) != len(second):
        raise ValueError(f"aligned polygons come in equal numbers, not {len(first)} and {len(second)}")
    shared = np.empty(len(first))
    for low in range(0, len(first), _PAIRS):
        rows = slice(low, low + _PAIRS)
        shared[rows] = _shared_areas(first[rows], second[rows])
    return shared


def polygon_ious(polygons1: np.ndarray, polygons2: np.ndarray) -> np.ndarray:
    """(N,) IoU in [0, 1] of aligned polygons, (N, 8) each; 0 where the union has no area."""
    shared = polygon_intersections(polygons1, polygons2)
    return _ratio(shared, polygon_areas(polygons1) + polygon_areas(polygons2) - shared)


def polygon_iofs(polygons1: np.ndarray, polygons2: np.ndarray) -> np.ndarray:
    """(N,) shared area over the area of the first, in [0, 1]; 0 where the first has no area."""
    return _ratio(polygon_intersections(polygons1, polygons2), polygon_areas(polygons1))


# -- inside ------------------------------------------------------------------------------------------------------------


def _vertices(polygons: np.ndarray) -> np.ndarray:
    return np.asarray(polygons, dtype=np.float64).reshape(-1, 4, 2)


def _signed_areas(vertices: np.ndarray) -> np.ndarray:
    """(N,) shoelace areas of (N, 4, 2): half the cross product of the diagonals, which needs no origin."""
    diagonal1 = vertices[:, 2] - vertices[:, 0]
    diagonal2 = vertices[:, 3] - vertices[:, 1]
    return 0.5 * (diagonal1[:, 0] * diagonal2[:, 1] - diagonal1[:, 1] * diagonal2[:, 0])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0).clip(0.0, 1.0)


def _edges(vertices: np.ndarray) -> tuple[np.ndarray, ...]:
    """The edges of (4, 2, n) vertices, each from left to right: x_left, x_right, y_left, slope, sign, (4, n) each."""
    x, y = vertices[:, 0], vertices[:, 1]
    x_next, y_next = np.roll(x, -1, axis=0), np.roll(y, -1, axis=0)
    forward = x <= x_next
    x_left, x_right = np.minimum(x, x_next), np.maximum(x, x_next)
    width = x_next - x
    slope = np.divide(y_next - y, width, out=np.zeros_like(width), where=width != 0)  # a vertical edge spans nothing
    orientation = np.sign((x[2] - x[0]) * (y[3] - y[1]) - (y[2] - y[0]) * (x[3] - x[1]))
    sign = np.where(forward, orientation, -orientation)
    return x_left, x_right, np.where(forward, y, y_next), slope, sign


def _shared_areas(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) shared areas of (n, 4, 2) each."""
    # Around the first polygon's centre coordinates are small, so far from the origin nothing is lost.
    first = np.array(first.transpose(1, 2, 0), order="C")  # (4, 2, n), a copy
    centre = first.mean(axis=0)
    first -= centre
    second = second.transpose(1, 2, 0) - centre
    base = np.minimum(first[:, 1].min(axis=0), second[:, 1].min(axis=0))
    first[:, 1] -= base
    second[:, 1] -= base
    edges1 = [values[:, None] for values in _edges(first)]  # (4, 1, n)
    edges2 = [values[None] for values in _edges(second)]  # (1, 4, n)
    shared = _in_order(_shared_trapezoids(edges1, edges2).reshape(16, -1))
    return np.where(shared > _rounding(first, second), shared, 0.0)


def _in_order(terms: np.ndarray) -> np.ndarray:
    """(n,) sums of (k, n) terms, a pair's the same whatever its block: numpy adds up a lone column in another order."""
    return terms.sum(axis=0) if terms.shape[1] > 1 else terms.cumsum(axis=0)[-1]


def _rounding(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) how far from zero the sum for two polygons apart may end; (4, 2, n) each, y from the base line up."""
    width = np.minimum(first[:, 0].max(axis=0), second[:, 0].max(axis=0))
    width -= np.maximum(first[:, 0].min(axis=0), second[:, 0].min(axis=0))
    height = np.maximum(first[:, 1].max(axis=0), second[:, 1].max(axis=0))
    return 8 * np.finfo(np.float64).eps * np.maximum(width, 0.0) * height


def _shared_trapezoids(edges1: list[np.ndarray], edges2: list[np.ndarray]) -> np.ndarray:
    """(4, 4, n) signed areas under both edges.

    The lower line is the first one less max(d, 0), d being how far the first lies above the second. Over the common
    interval the mean of max(d, 0) is P^2 / 2S, where P sums the positive parts of d at both ends and S the absolute
    values: right where d keeps its sign (P = S or 0) as where the lines cross.
    """
    x_left1, x_right1, y_left1, slope1, sign1 = edges1
    x_left2, x_right2, y_left2, slope2, sign2 = edges2
    left = np.maximum(x_left1, x_left2)
    width = np.minimum(x_right1, x_right2)
    width -= left
    np.maximum(width, 0.0, out=width)
    y1 = left - x_left1
    y1 *= slope1
    y1 += y_left1
    left -= x_left2
    left *= slope2
    left += y_left2
    start = np.subtract(y1, left, out=left)  # how much the first line lies above the second where the interval begins
    end = width * (slope1 - slope2)
    end += start
    positive = np.abs(start)
    positive += np.abs(end)  # S
    total = np.maximum(positive, np.finfo(np.float64).tiny)
    positive += start
    positive += end  # 2P
    positive *= positive
    positive /= total
    positive *= 0.125
    mean = width * slope1
    mean *= 0.5
    mean += y1
    mean -= positive
    mean *= width
    mean *= sign1 * sign2
    return mean
