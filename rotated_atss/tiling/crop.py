"""Assign labeled objects to windows, and convert their polygons to window coordinates.

An object belongs to every window that contains at least ``iof_threshold`` of its area (IoF, intersection over
foreground). It keeps its whole polygon, including the part outside the window. An object that is not completely inside
the window is truncated; its label gets difficult 2. These are the rules of mmrotate's ``img_split.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotated_atss.ops.box_polygons import hbb_polygons
from rotated_atss.ops.polygon_iou import polygon_areas, polygon_intersections, self_crossing

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

MIN_AREA = 1e-6  # px^2; polygons of at most this area are treated as zero-area polygons
_IOF_TOLERANCE = 1e-9  # rounding errors of the IoF below the threshold are accepted up to this value


@dataclass(frozen=True)
class Placement:
    """Pairs of a window and an object that belongs to it, sorted by window, then by object.

    Attributes:
        window_index: (P,) index of the window.
        object_index: (P,) index of the object.
        truncated: (P,) whether the object is only partly inside the window.
    """

    window_index: Integers
    object_index: Integers
    truncated: Booleans

    def in_window(self, window: int) -> tuple[Integers, Booleans]:
        """Return the indices of the objects of one window, and whether each is truncated."""
        first, stop = np.searchsorted(self.window_index, (window, window + 1))
        return self.object_index[first:stop], self.truncated[first:stop]


def place_objects(polygons: Floats, windows: Integers, iof_threshold: float = 0.7) -> Placement:
    """Assign objects to the windows that contain enough of their area.

    Args:
        polygons: (N, 8), pixels, clockwise or counterclockwise, not necessarily convex. Zero-area polygons are not
            assigned.
        windows: (W, 4) of x_start, y_start, x_stop, y_stop.
        iof_threshold: Minimum fraction of an object's area inside the window, in (0, 1].

    Returns:
        All pairs of a window and an object that belongs to it.

    Example:
        >>> import numpy as np
        >>> polygons = np.array([[80.0, 10, 104, 10, 104, 30, 80, 30]])
        >>> placement = place_objects(polygons, np.array([[0, 0, 100, 100], [80, 0, 180, 100]]))
        >>> placement.window_index.tolist(), placement.truncated.tolist()
        ([0, 1], [True, False])
    """
    window_index, object_index = _overlapping_pairs(polygons, windows)
    iof = aligned_iof(polygons[object_index], windows[window_index])
    keep = iof >= iof_threshold - _IOF_TOLERANCE
    return Placement(window_index[keep], object_index[keep], iof[keep] < 1)


def aligned_iof(polygons: Floats, windows: Integers) -> Floats:
    """Compute the fraction of each polygon's area inside the window of the same index: (P, 8), (P, 4) -> (P,).

    The result is exactly 1 if every vertex lies inside the window or on its border, and 0 for zero-area polygons.

    Example:
        >>> import numpy as np
        >>> aligned_iof(np.array([[-5.0, 0, 15, 0, 15, 10, -5, 10]]), np.array([[0, 0, 100, 100]])).tolist()
        [0.75]
    """
    corners = polygons.reshape(-1, 4, 2)
    area = object_areas(polygons)
    has_area = area > MIN_AREA
    is_inside = ((corners >= windows[:, None, :2]) & (corners <= windows[:, None, 2:])).all(axis=(1, 2))
    iof = np.where(is_inside & has_area, 1.0, 0.0)
    rows = np.flatnonzero(~is_inside & has_area)  # only these need an intersection
    iof[rows] = np.minimum(_areas_inside(polygons[rows], windows[rows]) / area[rows], 1.0)
    return iof


def object_areas(polygons: Floats) -> Floats:
    """Compute the areas of quadrilaterals: (N, 8) -> (N,). If two sides cross, both triangles count.

    Example:
        >>> import numpy as np
        >>> rectangle, crossed = [0.0, 0, 4, 0, 4, 5, 0, 5], [0.0, 0, 2, 0, 0, 2, 2, 2]
        >>> object_areas(np.array([rectangle, crossed])).tolist()
        [20.0, 2.0]
    """
    areas = polygon_areas(polygons)
    crossed = self_crossing(polygons)
    if crossed.any():
        areas[crossed] = _even_odd_areas(polygons[crossed])
    return areas


def shift_into_window(polygons: Floats, x_start: int, y_start: int) -> Floats:
    """Shift polygons (N, 8) from image to window coordinates, in pixels.

    Coordinates are rounded to 6 decimals, so that label files contain 23.3 and not 23.299999999999955.

    Example:
        >>> import numpy as np
        >>> shift_into_window(np.array([[847.3, 20.0, 900, 20, 900, 40, 847.3, 40]]), 824, 10)[0, :2].tolist()
        [23.3, 10.0]
    """
    return np.round(polygons - np.array([x_start, y_start] * 4, dtype=np.float64), 6)


def _overlapping_pairs(polygons: Floats, windows: Integers) -> tuple[Integers, Integers]:
    """Return the window indices and object indices of all pairs whose axis-aligned boxes overlap, (P,) each."""
    corners = polygons.reshape(-1, 4, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)  # (N, 2)
    objects_per_window = [  # in a loop, because a (windows x objects) matrix can be large
        np.flatnonzero(((low < stop) & (high > start)).all(axis=1))
        for start, stop in zip(windows[:, :2], windows[:, 2:])
    ]
    window_index = np.repeat(np.arange(len(windows)), [len(objects) for objects in objects_per_window])
    no_objects = np.empty(0, np.int64)  # if there are no windows, this is the one array that np.concatenate needs
    return window_index, np.concatenate([no_objects, *objects_per_window])


def _areas_inside(polygons: Floats, windows: Integers) -> Floats:
    """Compute the area of each polygon inside the window of the same index: (P, 8), (P, 4) -> (P,)."""
    window_polygons = hbb_polygons(windows).astype(np.float64)
    areas = polygon_intersections(polygons, window_polygons)
    crossed = self_crossing(polygons)
    if crossed.any():
        areas[crossed] = _even_odd_areas(polygons[crossed], windows[crossed])
    return areas


def _even_odd_areas(polygons: Floats, windows: Integers | None = None) -> Floats:
    """Compute the areas of self-crossing polygons (N, 8) by the even-odd rule, clipped to windows (N, 4) if given."""
    import shapely  # imported only here, because the import takes 0.1 s and few label files have self-crossing polygons

    shapes = shapely.make_valid(shapely.polygons(polygons.reshape(-1, 4, 2)))
    if windows is not None:
        shapes = shapely.intersection(shapes, shapely.box(*windows.T.astype(np.float64)))
    return np.asarray(shapely.area(shapes), dtype=np.float64)
