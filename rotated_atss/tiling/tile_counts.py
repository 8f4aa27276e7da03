"""Tiles and objects of a split, counted without writing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.threads import map_in_threads
from rotated_atss.tiling.crop import MIN_AREA, object_areas, place_objects
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.windows import sliding_windows


@dataclass(frozen=True)
class TileCounts:
    """Counts of a planned split.

    Attributes:
        objects_per_tile: (T,) objects that each tile gets, of all images in order.
        cut: (N,) whether no tile contains the object as a whole.
        in_no_tile: (N,) whether no tile contains enough of the object's area to get the object.
    """

    objects_per_tile: NDArray[np.int64]
    cut: NDArray[np.bool_]
    in_no_tile: NDArray[np.bool_]


def count_tiles(
    image_wh: NDArray[np.int64],
    image_index: NDArray[np.int64],
    polygons: NDArray[np.float64],
    settings: SplitSettings,
    workers: int = 1,
) -> TileCounts:
    """Count the tiles of a split and the objects that it cuts, from the sizes of the images and the labels.

    Objects are assigned to tiles by the rules of a split (:func:`rotated_atss.tiling.crop.place_objects`). For ``cut``,
    the part of an object outside its image does not count.

    Args:
        image_wh: (M, 2) width and height of the images, pixels. Images of size 0 are left out, and their objects are
            neither cut nor missing.
        image_index: (N,) image of each object, ascending.
        polygons: (N, 8) pixels of the image.
        settings: Windows of the split; without resampling.
        workers: Number of threads.

    Example:
        >>> polygons = np.array([[80.0, 10, 120, 10, 120, 30, 80, 30]])
        >>> counts = count_tiles(np.array([[180, 100]]), np.array([0]), polygons, SplitSettings(sizes=[100], gaps=[20]))
        >>> counts.objects_per_tile.tolist(), counts.cut.tolist(), counts.in_no_tile.tolist()
        ([0, 1], [False], [False])
    """
    first = np.searchsorted(image_index, np.arange(len(image_wh) + 1))
    cut, in_no_tile = np.zeros(len(polygons), bool), np.zeros(len(polygons), bool)

    def count_image(row: int) -> NDArray[np.int64]:
        width, height = image_wh[row].tolist()
        if not (width and height):
            return np.zeros(0, np.int64)
        rows = slice(first[row], first[row + 1])
        counts, cut[rows], in_no_tile[rows] = _count_image(polygons[rows], (width, height), settings)
        return counts

    parts = map_in_threads(count_image, range(len(image_wh)), workers)
    return TileCounts(np.concatenate([np.zeros(0, np.int64), *parts]), cut, in_no_tile)


def _count_image(
    polygons: NDArray[np.float64], size: Sequence[int], settings: SplitSettings
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    windows = sliding_windows(size[0], size[1], settings.grids(), settings.image_ratio)
    placement = place_objects(polygons, windows, settings.iof_threshold)
    placed = np.zeros(len(polygons), bool)
    placed[placement.objects] = True
    has_area = object_areas(polygons) > MIN_AREA
    cut = has_area & ~_inside_a_window(polygons, windows, size)
    return np.bincount(placement.windows, minlength=len(windows)), cut, has_area & ~placed


def _inside_a_window(
    polygons: NDArray[np.float64], windows: NDArray[np.int64], size: Sequence[int]
) -> NDArray[np.bool_]:
    """Return whether a window contains the part of each object inside the image, (N,)."""
    corners = np.clip(polygons.reshape(-1, 4, 2), 0, np.array(size, np.float64))
    low, high = corners.min(axis=1), corners.max(axis=1)
    inside = np.zeros(len(polygons), bool)
    for start, stop in zip(windows[:, :2], windows[:, 2:]):
        inside |= ((low >= start) & (high <= stop)).all(axis=1)
    return inside
