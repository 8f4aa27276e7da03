"""Exact intersection and IoU of quadrilaterals in float64, vectorized over pairs. NumPy only.

A polygon is the signed sum of the trapezoids between its edges and a horizontal base line. The intersection of two
polygons is therefore the signed sum, over the 4 x 4 pairs of edges, of the intersections of two trapezoids. The
intersection of two trapezoids is the area under the lower of the two edges, over the x-interval that both edges span.
This needs no convex hull, no sorting of vertices and no epsilon.

Quadrilaterals can be convex or not, and their corners can be in clockwise or counterclockwise order. Each part of a
self-intersecting quadrilateral counts with its winding number, with the sign that makes the total area positive, as in
DOTA_devkit's polyiou.
"""

import numpy as np

_PAIRS_PER_BLOCK = 2048  # with 16 pairs of edges per pair of polygons, the temporaries of a block stay in the cache


def polygon_areas(polygons: np.ndarray) -> np.ndarray:
    """Compute the non-negative areas (N,) of polygons (N, 8) in square pixels.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_iou import polygon_areas
        >>> polygon_areas(np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]]))
        array([100.])
    """
    return np.abs(_signed_areas(_vertices(polygons)))


def self_crossing(polygons: np.ndarray) -> np.ndarray:
    """Return which quadrilaterals (N, 8) have edges that cross, as a mask (N,).

    Edges cross if the corners are listed in a wrong order. The outline then turns left at two corners and right at the
    other two. The signed areas of the two triangles cancel partly or completely, so the area and the IoU of the polygon
    do not describe the object.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_iou import self_crossing
        >>> self_crossing(np.array([[0.0, 0, 2, 0, 2, 2, 0, 2], [0, 0, 2, 0, 0, 2, 2, 2]])).tolist()
        [False, True]
    """
    corners = _vertices(polygons)
    edges = np.roll(corners, -1, axis=1) - corners
    next_edges = np.roll(edges, -1, axis=1)
    turns = edges[..., 0] * next_edges[..., 1] - edges[..., 1] * next_edges[..., 0]  # (N, 4)
    return ((turns > 0).sum(axis=1) == 2) & ((turns < 0).sum(axis=1) == 2)


def signed_polygon_areas(polygons: np.ndarray) -> np.ndarray:
    """Compute the shoelace areas (N,) of polygons (N, 8), positive for corners in clockwise order on the image.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_iou import signed_polygon_areas
        >>> signed_polygon_areas(np.array([[0.0, 0, 10, 0, 10, 10, 0, 10], [0, 0, 0, 10, 10, 10, 10, 0]])).tolist()
        [100.0, -100.0]
    """
    return _signed_areas(_vertices(polygons))


def polygon_hbbs(polygons: np.ndarray) -> np.ndarray:
    """Compute the circumscribed horizontal boxes (N, 4) ``x_min, y_min, x_max, y_max`` of polygons (N, 8).

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_iou import polygon_hbbs
        >>> polygon_hbbs(np.array([[5.0, 0, 10, 5, 5, 10, 0, 5]]))
        array([[ 0.,  0., 10., 10.]])
    """
    # pairwise minima are much faster than min(axis=1)
    corner1, corner2, corner3, corner4 = _vertices(polygons).transpose(1, 0, 2)
    low = np.minimum(np.minimum(corner1, corner2), np.minimum(corner3, corner4))
    high = np.maximum(np.maximum(corner1, corner2), np.maximum(corner3, corner4))
    return np.concatenate([low, high], axis=1)


def polygon_intersections(polygons1: np.ndarray, polygons2: np.ndarray) -> np.ndarray:
    """Compute the intersection areas of ``polygons1`` and ``polygons2``, row by row.

    Args:
        polygons1: (N, 8) ``x1 y1 ... x4 y4``.
        polygons2: (N, 8).

    Returns:
        (N,) in square pixels.

    Raises:
        ValueError: The numbers of polygons differ.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_iou import polygon_intersections
        >>> square, diamond = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]]), np.array([[5.0, 0, 10, 5, 5, 10, 0, 5]])
        >>> polygon_intersections(square, diamond)
        array([50.])
    """
    first, second = _vertices(polygons1), _vertices(polygons2)
    if len(first) != len(second):
        raise ValueError(f"polygons1 and polygons2 must have equal lengths, got {len(first)} and {len(second)}")
    intersection = np.empty(len(first))
    for start in range(0, len(first), _PAIRS_PER_BLOCK):
        rows = slice(start, start + _PAIRS_PER_BLOCK)
        intersection[rows] = _intersections(first[rows], second[rows])
    return intersection


def polygon_ious(polygons1: np.ndarray, polygons2: np.ndarray) -> np.ndarray:
    """Compute the IoU of ``polygons1`` and ``polygons2``, row by row.

    Args:
        polygons1: (N, 8) ``x1 y1 ... x4 y4``.
        polygons2: (N, 8).

    Returns:
        (N,) in [0, 1]; 0 where the union has no area.

    Raises:
        ValueError: The numbers of polygons differ.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_iou import polygon_ious
        >>> square, diamond = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]]), np.array([[5.0, 0, 10, 5, 5, 10, 0, 5]])
        >>> polygon_ious(square, diamond)
        array([0.5])
    """
    intersection = polygon_intersections(polygons1, polygons2)
    union = polygon_areas(polygons1) + polygon_areas(polygons2) - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0).clip(0.0, 1.0)


def _vertices(polygons: np.ndarray) -> np.ndarray:
    return np.asarray(polygons, dtype=np.float64).reshape(-1, 4, 2)


def _signed_areas(vertices: np.ndarray) -> np.ndarray:
    """Compute the shoelace areas (N,) of vertices (N, 4, 2) as half the cross product of the diagonals."""
    diagonal1 = vertices[:, 2] - vertices[:, 0]
    diagonal2 = vertices[:, 3] - vertices[:, 1]
    return 0.5 * (diagonal1[:, 0] * diagonal2[:, 1] - diagonal1[:, 1] * diagonal2[:, 0])


def _edges(vertices: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the edges of vertices (4, 2, n) as columns (4, n): x_left, x_right, y at x_left, slope and sign.

    Multiply the area of the trapezoid between each edge and the base line by the edge's sign: the sum over the edges is
    the polygon's area. In the direction of y, the polygon begins at edges of sign -1 and ends at edges of sign 1.
    """
    x, y = vertices[:, 0], vertices[:, 1]
    x_next, y_next = np.roll(x, -1, axis=0), np.roll(y, -1, axis=0)
    forward = x <= x_next
    x_left, x_right = np.minimum(x, x_next), np.maximum(x, x_next)
    width = x_next - x
    # a vertical edge spans no x-interval and contributes nothing, so its slope does not matter and is set to 0
    slope = np.divide(y_next - y, width, out=np.zeros_like(width), where=width != 0)
    # 1 for vertices in clockwise order on the image
    orientation = np.sign((x[2] - x[0]) * (y[3] - y[1]) - (y[2] - y[0]) * (x[3] - x[1]))
    sign = np.where(forward, -orientation, orientation)
    return x_left, x_right, np.where(forward, y, y_next), slope, sign


def _intersections(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute the intersection areas (n,) row by row, of polygons given as vertices (n, 4, 2)."""
    # coordinates relative to the first polygon's center are small, which keeps the precision far from the origin
    first = np.array(first.transpose(1, 2, 0), order="C")  # (4, 2, n), a copy
    center = first.mean(axis=0)
    first -= center
    second = second.transpose(1, 2, 0) - center
    base_line = np.minimum(first[:, 1].min(axis=0), second[:, 1].min(axis=0))
    first[:, 1] -= base_line  # from here on, y is the distance from the base line
    second[:, 1] -= base_line
    edges1 = [values[:, None] for values in _edges(first)]  # (4, 1, n)
    edges2 = [values[None] for values in _edges(second)]  # (1, 4, n)
    area = _sum_in_order(_trapezoid_intersections(edges1, edges2).reshape(16, -1))
    return np.where(area > _rounding_bound(first, second), area, 0.0)


def _sum_in_order(terms: np.ndarray) -> np.ndarray:
    """Sum terms (k, n) over k in an order of additions that does not depend on n.

    For n = 1, ``sum`` would add the terms in a different order, and the result could differ by rounding.
    """
    return terms.sum(axis=0) if terms.shape[1] > 1 else terms.cumsum(axis=0)[-1]


def _rounding_bound(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return an upper bound (n,) of the intersection area that rounding errors can produce for disjoint polygons.

    The polygons are (4, 2, n) vertices; y is measured from the base line.
    """
    width = np.minimum(first[:, 0].max(axis=0), second[:, 0].max(axis=0))
    width -= np.maximum(first[:, 0].min(axis=0), second[:, 0].min(axis=0))
    height = np.maximum(first[:, 1].max(axis=0), second[:, 1].max(axis=0))
    # 16 terms of at most width * height, each rounded by about eps / 2
    return 8 * np.finfo(np.float64).eps * np.maximum(width, 0.0) * height


def _trapezoid_intersections(edges1: list[np.ndarray], edges2: list[np.ndarray]) -> np.ndarray:
    """Compute the signed intersection areas (4, 4, n) of the trapezoids of each pair of edges.

    Each is the area under the lower of two lines, y1 and y2, over the x-interval that both edges span. With
    d = y1 - y2, the lower line is y1 - max(d, 0). The mean of max(d, 0) over the interval is P^2 / 2S, where P is the
    sum of max(d, 0) at both ends and S the sum of abs(d). This holds whether the lines cross or not. The steps write
    into existing arrays to save allocations.
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
    y2 = np.subtract(left, x_left2, out=left)
    y2 *= slope2
    y2 += y_left2
    start = np.subtract(y1, y2, out=y2)  # d at the start of the interval
    end = width * (slope1 - slope2)  # d at its end
    end += start
    sum_abs = np.abs(start)
    sum_abs += np.abs(end)  # S
    divisor = np.maximum(sum_abs, np.finfo(np.float64).tiny)
    twice_p = np.add(sum_abs, start, out=sum_abs)
    twice_p += end  # 2P, because 2 max(d, 0) = abs(d) + d
    mean_excess = np.square(twice_p, out=twice_p)
    mean_excess /= divisor
    mean_excess *= 0.125  # P^2 / 2S
    area = width * slope1
    area *= 0.5
    area += y1  # mean of y1
    area -= mean_excess  # mean of the lower line
    area *= width
    area *= sign1 * sign2
    return area
