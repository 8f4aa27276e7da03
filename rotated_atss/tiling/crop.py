"""Which objects go into which window, and how they are written there: arrays in, arrays out, no files.

An object belongs to every window that holds at least ``iof_threshold`` of its area (IoF, intersection over foreground).
It keeps its whole polygon, also where that reaches out of the window; one that reaches out is truncated and gets
difficult 2. So does mmrotate's ``img_split.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotated_atss.ops.polygon_iou import polygon_areas, polygon_intersections

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TRUNCATED = 2  # the difficult flag of an object that a window cuts
NO_AREA = 1e-6  # px^2: a quadrilateral of no more area is none
# A share that should equal the threshold may come out this much lower: the closed form rounds.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Placement:
    """Which objects lie in which windows, one row a pair, ordered by window, then by object."""

    windows: Integers  # (P,) row of the window
    objects: Integers  # (P,) row of the object
    truncated: NDArray[np.bool_]  # (P,)

    def in_window(self, window: int) -> tuple[Integers, NDArray[np.bool_]]:
        """The objects of one window and whether each is truncated."""
        first, stop = np.searchsorted(self.windows, (window, window + 1))
        return self.objects[first:stop], self.truncated[first:stop]


def place_objects(polygons: Floats, windows: Integers, iof_threshold: float = 0.7) -> Placement:
    """Find the windows of every object.

    Args:
        polygons: (N, 8) in pixels of the image, any orientation, not necessarily convex. Those without area go nowhere.
        windows: (W, 4) of x_start, y_start, x_stop, y_stop.
        iof_threshold: In (0, 1].
    """
    window, thing = _touching(polygons, windows)
    iof = aligned_iof(polygons[thing], windows[window])
    keep = iof >= iof_threshold - ROUNDING
    return Placement(window[keep], thing[keep], iof[keep] < 1)


def aligned_iof(polygons: Floats, windows: Integers) -> Floats:
    """The share of each polygon's area inside its own window: (P, 8), (P, 4) -> (P,) in [0, 1].

    Exactly 1 where every vertex lies inside or on the border, 0 for polygons without area.
    """
    corners = polygons.reshape(-1, 4, 2)
    area = object_areas(polygons)
    inside = ((corners >= windows[:, None, :2]) & (corners <= windows[:, None, 2:])).all(axis=(1, 2))
    iof = np.where(inside & (area > NO_AREA), 1.0, 0.0)
    cut = np.flatnonzero(~inside & (area > NO_AREA))
    window_polygons = windows[cut][:, [0, 1, 2, 1, 2, 3, 0, 3]].astype(np.float64)
    shared = sum(polygon_intersections(part, window_polygons) for part in _simple_parts(polygons[cut]))
    iof[cut] = np.minimum(shared / area[cut], 1.0)
    return iof


def object_areas(polygons: Floats) -> Floats:
    """Areas of quadrilaterals: (N, 8) -> (N,). Of one that crosses itself (an hourglass) both triangles count."""
    first, second = _simple_parts(polygons)
    return polygon_areas(first) + polygon_areas(second)


def shift_into_window(polygons: Floats, x_start: int, y_start: int) -> Floats:
    """(N, 8) in pixels of the image -> (N, 8) in pixels of the window, to a millionth (so that 23.3 stays 23.3)."""
    return np.round(polygons - np.array([x_start, y_start] * 4, dtype=np.float64), 6)


def _touching(polygons: Floats, windows: Integers) -> tuple[Integers, Integers]:
    """Pairs (window, object) whose horizontal boxes overlap. One window at a time: a W x N table could be large."""
    corners = polygons.reshape(-1, 4, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)  # (N, 2)
    found = [
        np.flatnonzero(((low < stop) & (high > start)).all(axis=1))
        for start, stop in zip(windows[:, :2], windows[:, 2:])
    ]
    rows = np.repeat(np.arange(len(windows)), [len(objects) for objects in found])
    return rows, np.concatenate([np.empty(0, np.int64), *found])


def _simple_parts(polygons: Floats) -> tuple[Floats, Floats]:
    """Two (N, 8) that do not cross themselves: the triangles of an hourglass, or the polygon and nothing.

    Corners listed in a wrong order make an hourglass; by signed area its halves would cancel and the object be lost.
    """
    first, second = polygons.reshape(-1, 4, 2).copy(), np.zeros((len(polygons), 4, 2))
    for turn in (0, 1):  # edge 0-1 may cross 2-3, or edge 1-2 may cross 3-0
        p, q, r, s = np.moveaxis(np.roll(polygons.reshape(-1, 4, 2), -turn, axis=1), 1, 0)  # (N, 2) each
        rows, meet = _crossings(p, q, r, s)
        first[rows] = np.stack([q[rows], r[rows], meet, meet], axis=1)
        second[rows] = np.stack([s[rows], p[rows], meet, meet], axis=1)
    return first.reshape(-1, 8), second.reshape(-1, 8)


def _crossings(p: Floats, q: Floats, r: Floats, s: Floats) -> tuple[Integers, Floats]:
    """Where segment p-q crosses segment r-s, (N, 2) each: the rows (C,) and the points (C, 2)."""
    u, v = q - p, s - r
    denominator = _cross(u, v)
    parallel = denominator == 0
    scale = np.where(parallel, 1.0, denominator)
    t, w = _cross(r - p, v) / scale, _cross(r - p, u) / scale
    rows = np.flatnonzero(~parallel & (t > 0) & (t < 1) & (w > 0) & (w < 1))
    return rows, p[rows] + t[rows, None] * u[rows]


def _cross(u: Floats, v: Floats) -> Floats:
    """Z component of the cross product: (..., 2), (..., 2) -> (...,)."""
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
