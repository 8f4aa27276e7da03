"""One image and its objects, cut into tiles: what a worker process does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from rotated_atss.dota.labels import Labels, format_labels
from rotated_atss.errors import UserError
from rotated_atss.io.files import write_bytes
from rotated_atss.io.images import Image, encode_image, read_image
from rotated_atss.io.threads import map_in_threads
from rotated_atss.tiling.crop import (
    NO_AREA,
    TRUNCATED,
    Integers,
    Placement,
    object_areas,
    place_objects,
    shift_into_window,
)
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.windows import sliding_windows


@dataclass(frozen=True)
class SplitJob:
    """An image to cut, and where its tiles go."""

    image: Path
    labels: Labels | None
    folder: Path  # holds images/ and, with labels, labelTxt/
    settings: SplitSettings
    threads: int = 1  # that encode and write


@dataclass(frozen=True)
class Tile:
    """A tile as it was written."""

    name: str
    objects: int
    truncated: int


@dataclass(frozen=True)
class SplitStats:
    """What became of an image."""

    width: int
    height: int
    objects: int  # in its label file, with those without area
    without_area: tuple[int, ...]  # lines of the label file
    in_no_tile: int  # objects with an area of which no tile holds enough
    tiles: tuple[Tile, ...]


def split_image(job: SplitJob) -> SplitStats:
    """Cut one image into tiles and write them.

    Raises:
        UserError: The image cannot be read, or a tile cannot be written.
    """
    image = read_image(job.image)
    height, width = image.shape[:2]
    polygons = np.empty((0, 8)) if job.labels is None else job.labels.polygons
    tiles: list[Tile] = []
    placed = object_areas(polygons) <= NO_AREA  # an object without area is no loss
    without_area = () if job.labels is None else tuple(job.labels.line_numbers[placed].tolist())
    for rate, scaled in _resampled(image, job):
        windows = sliding_windows(scaled.shape[1], scaled.shape[0], job.settings.grids(), job.settings.image_ratio)
        placement = place_objects(polygons * rate, windows, job.settings.iof_threshold)
        placed[placement.objects] = True
        cuts = list(_cuts(job, rate, windows, placement))
        tiles += map_in_threads(partial(_write_tile, job, scaled), cuts, job.threads)
    return SplitStats(width, height, len(polygons), without_area, int((~placed).sum()), tuple(tiles))


def _resampled(image: Image, job: SplitJob) -> Iterator[tuple[float, Image]]:
    """The image at every rate where rates resample; else the image alone, at rate 1."""
    for rate in dict.fromkeys(job.settings.rates) if job.settings.resamples else [1.0]:
        try:
            yield rate, image if rate == 1 else resample(image, rate)
        except (cv2.error, MemoryError):  # no pixel is left, or too many
            raise UserError(f"the image cannot be resampled at the rate {rate}", where=job.image) from None


def resample(image: Image, rate: float) -> Image:
    """The image ``rate`` times as large, by cubic interpolation as DOTA_devkit has it."""
    return np.asarray(cv2.resize(image, None, fx=rate, fy=rate, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


@dataclass(frozen=True)
class _Cut:
    """A tile to be written."""

    name: str
    rate: float
    window: list[int]
    objects: Integers
    truncated: np.ndarray


def _cuts(job: SplitJob, rate: float, windows: Integers, placement: Placement) -> Iterator[_Cut]:
    for row, window in enumerate(windows.tolist()):
        objects, truncated = placement.in_window(row)
        if len(objects) or job.settings.keep_empty:
            yield _Cut(job.settings.tile_name(job.image.stem, rate, window), rate, window, objects, truncated)


def _write_tile(job: SplitJob, image: Image, cut: _Cut) -> Tile:
    tile = encode_image(cut_out(image, cut.window, job.settings.padding), job.settings.image_format)
    write_bytes(job.folder / "images" / f"{cut.name}.{job.settings.image_format}", tile)
    if job.labels is not None:
        write_bytes(job.folder / "labelTxt" / f"{cut.name}.txt", _objects_text(job.labels, cut))
    return Tile(cut.name, len(cut.objects), int(cut.truncated.sum()))


def cut_out(image: Image, window: list[int], padding: tuple[int, ...] | None) -> Image:
    """The pixels of a window; ``padding`` (BGR) fills what lies past the image, None leaves it out."""
    x_start, y_start, x_stop, y_stop = window
    visible = image[y_start:y_stop, x_start:x_stop]
    height, width = y_stop - y_start, x_stop - x_start
    if padding is None or visible.shape[:2] == (height, width):
        return visible
    below, right = height - visible.shape[0], width - visible.shape[1]
    tile = cv2.copyMakeBorder(visible, 0, below, 0, right, cv2.BORDER_CONSTANT, value=padding)
    return np.asarray(tile, dtype=np.uint8)


def _objects_text(labels: Labels, cut: _Cut) -> bytes:
    """The tile's label file."""
    polygons = shift_into_window(labels.polygons[cut.objects] * cut.rate, cut.window[0], cut.window[1])
    names = [labels.names[index] for index in cut.objects]
    return format_labels(polygons, names, np.where(cut.truncated, TRUNCATED, labels.difficult[cut.objects]))
