"""Merge detections of one class on tiles, given as quadrilaterals, into detections on full images."""

from __future__ import annotations

from codecs import BOM_UTF8
from functools import lru_cache
from pathlib import Path

import numpy as np

from rotated_atss.dota.detections import EMPTY_DETECTIONS, Detections
from rotated_atss.dota.tiles import TileName, parse_tile_name
from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes
from rotated_atss.ops.polygon_nms import group_order, polygon_nms

IOU_THRESHOLD = 0.1  # default of mmrotate's DOTAMetric


def merge_detections(
    tiles: Detections, iou_threshold: float = IOU_THRESHOLD, *, path: str | Path | None = None
) -> Detections:
    """Shift detections of one class from tiles to full images, and suppress duplicates by polygon NMS per full image.

    Args:
        tiles: Detections on tiles, whose image ids are the tile names.
        iou_threshold: Detections whose IoU with a higher-scoring kept detection exceeds this value are suppressed.
        path: The file of the detections, for error messages.

    Returns:
        Detections on full images. Images are in the order of the input, and the detections on each image are in
        descending order of score. Equal scores keep the order of the input.

    Raises:
        UserError: An image id is not a tile name.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.dota.detections import Detections
        >>> polygons = np.array([[900.0, 10, 920, 10, 920, 20, 900, 20], [76, 10, 96, 10, 96, 20, 76, 20]])
        >>> tiles = Detections.from_ids(["P1__1024__0___0", "P1__1024__824___0"], np.array([0.9, 0.8]), polygons)
        >>> merge_detections(tiles).scores.tolist()
        [0.9]
    """
    detections = to_full_images(tiles, path=path)
    keep = polygon_nms(detections.polygons, detections.scores, iou_threshold, groups=detections.image_index)
    # `keep` is in descending order of score; group_order is stable, so this order remains within each image
    by_image = group_order(detections.image_index[keep])
    return detections.take(keep[by_image])


def to_full_images(tiles: Detections, *, path: str | Path | None = None) -> Detections:
    """Map detections from tiles to full images, without suppression.

    A point of a tile lies at ``(point + upper-left corner of the tile) / rate`` in the full image. The rate is the
    factor by which the full image was resized before it was cut into tiles. Corner and rate are taken from the tile
    name. For example, ``P1__0.5__100___0`` has rate 0.5. ``P1__1024__100___0`` contains a tile size in place of a rate;
    its rate is 1.

    Args:
        tiles: Detections on tiles, whose image ids are the tile names.
        path: The file of the detections, for error messages.

    Raises:
        UserError: An image id is not a tile name.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.dota.detections import Detections
        >>> tiles = Detections.from_ids(["P1__0.5__100___0"], np.array([0.9]), np.array([[0.0, 0, 9, 0, 9, 5, 0, 5]]))
        >>> to_full_images(tiles).polygons.tolist()
        [[200.0, 0.0, 218.0, 0.0, 218.0, 10.0, 200.0, 10.0]]
    """
    if not len(tiles):
        return EMPTY_DETECTIONS
    names = [_parse_tile_name(tile, path) for tile in tiles.images]
    # Full images are numbered in the order of their first tiles. An image id that is not a key yet gets the next
    # number.
    image_indices: dict[str, int] = {}
    image_of_tile = np.array([image_indices.setdefault(name.image_id, len(image_indices)) for name in names])  # (T,)
    corners = np.array([(name.x, name.y) for name in names], dtype=np.float64)  # (T, 2), upper left
    rates = np.array([name.rate for name in names])  # (T,)
    tile_of_detection = tiles.image_index  # (N,)
    shifted = tiles.polygons + np.tile(corners, 4)[tile_of_detection]
    polygons = _remove_rounding_noise(shifted / rates[tile_of_detection, None])
    return Detections(tuple(image_indices), image_of_tile[tile_of_detection], tiles.scores, polygons, tiles.score_texts)


def _remove_rounding_noise(polygons: np.ndarray) -> np.ndarray:
    """Round those coordinates to 6 decimals that differ by less than 1e-9 from the result.

    For example, 664.9 + 810 is 1474.8999999999999 in float64 and becomes 1474.9.
    """
    rounded = np.rint(polygons * 1e6) / 1e6
    return np.where(np.abs(rounded - polygons) < 1e-9, rounded, polygons)


# Results are cached, because the same tile names occur in the files of all classes.
_cached_parse_tile_name = lru_cache(maxsize=1 << 16)(parse_tile_name)


def _parse_tile_name(tile: str, path: str | Path | None) -> TileName:
    """Parse a tile name; an error names its line in the file of the detections."""
    try:
        return _cached_parse_tile_name(tile)
    except UserError as error:
        where = None if path is None else f"{path}:{_find_line(path, tile)}"
        raise UserError(error.what, where=where, hint=error.hint) from None


def _find_line(path: str | Path, tile: str) -> int:
    """Return the number, from 1, of the first line with detections on a tile."""
    lines = read_bytes(path).removeprefix(BOM_UTF8).split(b"\n")
    return next((number for number, line in enumerate(lines, 1) if line.split()[:1] == [tile.encode()]), 1)
