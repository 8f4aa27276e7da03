"""Merge tile detections of one class, given as quadrilaterals, into detections on full images."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from rotated_atss.dota.detections import EMPTY_DETECTIONS, Detections
from rotated_atss.dota.tiles import TileName, parse_tile_name
from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes
from rotated_atss.ops.polygon_nms import group_order, polygon_nms

IOU_THRESHOLD = 0.1


def merge_detections(
    tiles: Detections, iou_threshold: float = IOU_THRESHOLD, *, path: str | Path | None = None
) -> Detections:
    """Merge the tile detections of one class by polygon NMS per full image.

    Args:
        tiles: Detections whose image ids are tile names.
        iou_threshold: Detections whose IoU with a higher-scoring kept detection exceeds this value are suppressed.
        path: The file of the detections, for error messages.

    Returns:
        Detections on full images: images in the order of the input, scores descending within an image, equal scores in
        the order of the input.

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
    return detections.take(keep[group_order(detections.image_index[keep])])


def to_full_images(tiles: Detections, *, path: str | Path | None = None) -> Detections:
    """Map tile detections to their full images, ``(point + tile corner) / rate``, without suppression.

    Args:
        tiles: Detections whose image ids are tile names.
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
    names = [_parse(tile, path) for tile in tiles.images]
    image_index: dict[str, int] = {}
    image_of_tile = np.array([image_index.setdefault(name.image_id, len(image_index)) for name in names])
    corners = np.array([(name.x, name.y) for name in names], dtype=np.float64)
    rates = np.array([name.rate for name in names])[tiles.image_index, None]
    polygons = (tiles.polygons + np.tile(corners, 4)[tiles.image_index]) / rates
    images = image_of_tile[tiles.image_index]
    return Detections(tuple(image_index), images, tiles.scores, _without_rounding_noise(polygons), tiles.score_texts)


def _without_rounding_noise(polygons: np.ndarray) -> np.ndarray:
    """Round coordinates that are within 1e-9 of a millionth: 664.9 + 810 becomes 1474.9, not 1474.8999999999999."""
    rounded = np.rint(polygons * 1e6) / 1e6
    return np.where(np.abs(rounded - polygons) < 1e-9, rounded, polygons)


@lru_cache(maxsize=1 << 16)  # all classes have the same tiles
def _parse_cached(tile: str) -> TileName:
    return parse_tile_name(tile)


def _parse(tile: str, path: str | Path | None) -> TileName:
    try:
        return _parse_cached(tile)
    except UserError as error:
        where = path if path is None else f"{path}:{_line_of(path, tile)}"
        raise UserError(error.what, where=where, hint=error.hint) from None


def _line_of(path: str | Path, tile: str) -> int:
    """Return the number of the first line of a tile."""
    lines = read_bytes(path).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return 1 + next((number for number, line in enumerate(lines) if line.split()[:1] == [tile.encode()]), 0)
