"""Count the tiles and objects of a planned split, without writing tiles."""

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
        objects_per_tile: (T,) number of objects of each tile, in the order of the images. Tiles without objects are
            included, even if the split does not write them.
        cut: (N,) True for an object if no single tile contains the whole part of the object that is inside its image.
        in_no_tile: (N,) True for an object that belongs to no tile, because no tile contains enough of its area.
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
    """Count the objects per tile of a split, and find the objects that are cut or in no tile, without reading images.

    Objects are assigned to tiles by the rules of a split (:func:`rotated_atss.tiling.crop.place_objects`). An object
    that extends beyond its image is not cut if its part inside the image fits in one tile.

    Args:
        image_wh: (M, 2) width and height of the images, pixels. Images of size 0 have no tiles, and ``cut`` and
            ``in_no_tile`` are False for their objects.
        image_index: (N,) index of the image of each object, ascending.
        polygons: (N, 8) corners of each object in pixels of its image.
        settings: Windows of the split, without resampling.
        workers: Number of threads.

    Example:
        >>> image_wh, image_index = np.array([[180, 100]]), np.array([0])
        >>> polygons = np.array([[80.0, 10, 120, 10, 120, 30, 80, 30]])
        >>> settings = SplitSettings(sizes=[100], gaps=[20])  # two tiles, from x = 0 and from x = 80
        >>> counts = count_tiles(image_wh, image_index, polygons, settings)
        >>> counts.objects_per_tile.tolist()
        [0, 1]
        >>> counts.cut.tolist(), counts.in_no_tile.tolist()
        ([False], [False])
    """
    first_object = np.searchsorted(image_index, np.arange(len(image_wh) + 1))
    cut, in_no_tile = np.zeros(len(polygons), bool), np.zeros(len(polygons), bool)

    def count_and_store(index: int) -> NDArray[np.int64]:
        width, height = image_wh[index].tolist()
        if not (width and height):
            return np.zeros(0, np.int64)
        rows = slice(first_object[index], first_object[index + 1])
        objects_per_tile, cut[rows], in_no_tile[rows] = _count_image(polygons[rows], (width, height), settings)
        return objects_per_tile

    counts_per_image = map_in_threads(count_and_store, range(len(image_wh)), workers)
    no_counts = np.zeros(0, np.int64)  # np.concatenate needs at least one array, also if there are no images
    return TileCounts(np.concatenate([no_counts, *counts_per_image]), cut, in_no_tile)


def _count_image(
    polygons: NDArray[np.float64], image_wh: Sequence[int], settings: SplitSettings
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the fields of :class:`TileCounts` for the tiles and objects of one image."""
    windows = sliding_windows(image_wh[0], image_wh[1], settings.grids(), settings.image_ratio)
    placement = place_objects(polygons, windows, settings.iof_threshold)
    in_tile = np.zeros(len(polygons), bool)
    in_tile[placement.object_index] = True
    has_area = object_areas(polygons) > MIN_AREA
    cut = has_area & ~_fits_in_a_window(polygons, windows, image_wh)
    return np.bincount(placement.window_index, minlength=len(windows)), cut, has_area & ~in_tile


def _fits_in_a_window(
    polygons: NDArray[np.float64], windows: NDArray[np.int64], image_wh: Sequence[int]
) -> NDArray[np.bool_]:
    """Return (N,) whether a single window contains the part of the object that lies inside the image."""
    corners = np.clip(polygons.reshape(-1, 4, 2), 0, np.array(image_wh, np.float64))  # (N, 4, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    fits = np.zeros(len(polygons), bool)
    for start, stop in zip(windows[:, :2], windows[:, 2:]):
        fits |= ((low >= start) & (high <= stop)).all(axis=1)
    return fits
