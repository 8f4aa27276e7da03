"""Splitting of one image and its labels into tiles, the unit of work of a worker process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import starmap
from pathlib import Path

import cv2
import numpy as np

from rotated_atss.dota.ground_resolution import parse_ground_resolution
from rotated_atss.dota.labels import TRUNCATED, Labels, format_labels
from rotated_atss.errors import UserError
from rotated_atss.geo.ground import ground_resolution
from rotated_atss.io.files import read_bytes, write_bytes
from rotated_atss.io.georeference import Georeference
from rotated_atss.io.image_reader import ImageReader, find_georeference, is_converted, open_image
from rotated_atss.io.images import Image, encode_image, image_size, read_image
from rotated_atss.io.threads import map_batches_in_threads
from rotated_atss.tiling.crop import (
    MIN_AREA,
    Booleans,
    Integers,
    Placement,
    object_areas,
    place_objects,
    shift_into_window,
)
from rotated_atss.tiling.row_bands import RowBand, iter_row_bands
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.windows import sliding_windows

_RESOLUTION_DECIMALS = 6


@dataclass(frozen=True)
class SplitJob:
    """An image to split.

    Attributes:
        image: The image file.
        labels: Its objects, or None without labels.
        folder: Output folder; ``images/`` and, with labels, ``labelTxt/`` exist in it.
        settings: The settings of the split.
        threads: Threads that encode and write tiles.
        part: Index and number of the parts of the image, each of them consecutive rows of windows.
    """

    image: Path
    labels: Labels | None
    folder: Path
    settings: SplitSettings
    threads: int = 1
    part: tuple[int, int] = (0, 1)


@dataclass(frozen=True)
class Tile:
    """Name of a written tile, its number of objects and its number of truncated objects."""

    name: str
    objects: int
    truncated: int


@dataclass(frozen=True)
class SplitStats:
    """Statistics of one split image, or of a part of it.

    Attributes:
        width: Width of the image, pixels.
        height: Height of the image, pixels.
        objects: Objects in its label file, including zero-area objects.
        without_area: Line numbers, in the label file, of the zero-area objects.
        in_no_tile: Indices, among the labels, of the objects with area that belong to no tile.
        tiles: The written tiles.
        tiles_per_object: Number of tiles that list each object.
        suffix: Suffix of the written image files.
        ground_resolution: Meters per pixel of the image; None if unknown.
    """

    width: int
    height: int
    objects: int
    without_area: tuple[int, ...]
    in_no_tile: tuple[int, ...]
    tiles: tuple[Tile, ...]
    tiles_per_object: tuple[int, ...] = ()
    suffix: str = ".png"
    ground_resolution: float | None = None


def split_image(job: SplitJob) -> SplitStats:
    """Split one image, or a part of it, into tiles and write them.

    Args:
        job: The image, its labels and the settings.

    Returns:
        Statistics of the image and of the tiles of the part.

    Raises:
        UserError: The image cannot be read, or a tile cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "images").mkdir()
        ...     _ = cv2.imwrite(f"{folder}/P1.png", np.zeros((40, 60, 3), np.uint8))
        ...     settings = SplitSettings(sizes=[64], gaps=[0])
        ...     split_image(SplitJob(Path(folder, "P1.png"), None, Path(folder), settings)).tiles
        (Tile(name='P1__64__0___0', objects=0, truncated=0),)
    """
    if job.settings.whole_images:
        return _keep_whole(job)
    polygons = np.empty((0, 8)) if job.labels is None else job.labels.polygons
    tiles: list[Tile] = []
    tiles_per_object = np.zeros(len(polygons), np.int64)
    with open_image(job.image, job.settings.pixels) as image:
        for rate in job.settings.resampling_rates():
            width, height, bands = _bands_at_rate(job, image, rate)
            windows = _windows_of_part(width, height, job.settings, job.part)
            placement = place_objects(polygons * rate, windows, job.settings.iof_threshold)
            tiles_per_object += np.bincount(placement.objects, minlength=len(polygons))
            # starmap keeps no band alive while the next is read
            batches = starmap(partial(_crops, job, rate, windows, placement), bands(windows))
            tiles += map_batches_in_threads(partial(_write_tile, job), batches, job.threads)
        resolution = _find_ground_resolution(job, (image.width, image.height), lambda: image.georeference)
    has_area = object_areas(polygons) > MIN_AREA
    without_area = () if job.labels is None else tuple(job.labels.line_numbers[~has_area].tolist())
    in_no_tile = np.flatnonzero(has_area & (tiles_per_object == 0))  # zero-area objects do not count as lost
    return SplitStats(
        image.width, image.height, len(polygons), without_area, tuple(in_no_tile.tolist()), tuple(tiles),
        tuple(tiles_per_object.tolist()), f".{job.settings.image_format}", resolution,
    )  # fmt: skip


def merge_stats(parts: Sequence[SplitStats]) -> SplitStats:
    """Merge the statistics of the parts of an image into those of the image.

    Args:
        parts: Statistics of all parts, of equal images and labels.

    Example:
        >>> first = SplitStats(64, 128, 2, (), (1,), (Tile("P1__64__0___0", 1, 0),), (1, 0))
        >>> second = SplitStats(64, 128, 2, (), (0,), (Tile("P1__64__0___64", 1, 0),), (0, 1))
        >>> merge_stats([first, second]).in_no_tile
        ()
    """
    tiles = tuple(tile for part in parts for tile in part.tiles)
    tiles_per_object = tuple(map(sum, zip(*(part.tiles_per_object for part in parts))))
    in_no_tile = tuple(sorted(set.intersection(*(set(part.in_no_tile) for part in parts))))
    return replace(parts[0], tiles=tiles, tiles_per_object=tiles_per_object, in_no_tile=in_no_tile)


def _keep_whole(job: SplitJob) -> SplitStats:
    """Write the image and its objects without cutting; only images of other than 8 bits are decoded."""
    converted = is_converted(job.image, job.settings.pixels)
    width, height = image_size(job.image)
    num_objects = 0 if job.labels is None else len(job.labels)
    has_area = object_areas(job.labels.polygons) > MIN_AREA if job.labels is not None else np.zeros(0, bool)
    without_area = () if job.labels is None else tuple(job.labels.line_numbers[~has_area].tolist())
    suffix = ".png" if converted else job.image.suffix
    resolution = _find_ground_resolution(job, (width, height), partial(find_georeference, job.image))
    if not has_area.any() and not job.settings.keep_empty:
        return SplitStats(width, height, num_objects, without_area, (), (), (), suffix, resolution)
    name = job.image.stem
    content = encode_image(read_image(job.image, job.settings.pixels), "png") if converted else read_bytes(job.image)
    write_bytes(job.folder / "images" / f"{name}{suffix}", content)
    if job.labels is not None:
        text = format_labels(job.labels.polygons[has_area], _select(job.labels.names, has_area),
                             job.labels.difficult[has_area])  # fmt: skip
        write_bytes(job.folder / "labelTxt" / f"{name}.txt", text)
    kept = int(has_area.sum())
    return SplitStats(
        width, height, num_objects, without_area, (), (Tile(name, kept, 0),), tuple(map(int, has_area)), suffix,
        resolution,
    )  # fmt: skip


def _find_ground_resolution(
    job: SplitJob, size: tuple[int, int], find: Callable[[], Georeference | None]
) -> float | None:
    """Return meters per pixel, from the georeference of the image or the ``gsd`` line of its labels."""
    try:
        found = ground_resolution(find(), size)
    except UserError:  # a malformed CRS, or no pyproj: the tiles do not depend on it
        found = None
    if found is None and job.labels is not None:
        found = parse_ground_resolution("\n".join(job.labels.header).encode())
    return None if found is None else round(found, _RESOLUTION_DECIMALS)


def _select(names: Sequence[str], keep: Booleans) -> list[str]:
    return [name for name, is_kept in zip(names, keep.tolist(), strict=True) if is_kept]


_Bands = Callable[[Integers], Iterable[tuple[Integers, RowBand]]]


def _bands_at_rate(job: SplitJob, image: ImageReader, rate: float) -> tuple[int, int, _Bands]:
    """Return width and height of the image at a rate, and a function from windows to row bands.

    Only rate 1 is read by row bands: a resampled image depends on all rows.
    """
    if rate == 1:
        return image.width, image.height, partial(iter_row_bands, image)
    try:
        scaled = _resample(image.read(), rate)
    except (cv2.error, MemoryError):  # an empty or a too large result
        raise UserError(f"the image cannot be resampled, got rate {rate}", where=job.image) from None
    return scaled.shape[1], scaled.shape[0], lambda windows: [(np.arange(len(windows)), RowBand(0, (scaled,)))]


def _windows_of_part(width: int, height: int, settings: SplitSettings, part: tuple[int, int]) -> Integers:
    """Return the windows of one part of an image: those of consecutive rows of windows."""
    windows = sliding_windows(width, height, settings.grids(), settings.image_ratio)
    index, parts = part
    starts = np.array_split(np.unique(windows[:, 1]), parts)[index]
    return windows[np.isin(windows[:, 1], starts)]


def _resample(image: Image, rate: float) -> Image:
    """Resize an image (H, W, 3) by ``rate`` with cubic interpolation, as DOTA_devkit does."""
    return np.asarray(cv2.resize(image, None, fx=rate, fy=rate, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


@dataclass(frozen=True)
class _Crop:
    """A tile to write: its window, and the objects in it."""

    name: str
    rate: float
    window: list[int]
    objects: Integers
    truncated: Booleans
    band: RowBand


def _crops(
    job: SplitJob, rate: float, windows: Integers, placement: Placement, rows: Integers, band: RowBand
) -> list[_Crop]:
    """Return the tiles to write among the windows ``rows``, whose pixels are in ``band``."""
    crops = []
    for row in rows.tolist():
        window = windows[row].tolist()
        objects, truncated = placement.in_window(row)
        if len(objects) or job.settings.keep_empty:
            name = job.settings.tile_name(job.image.stem, rate, window)
            crops.append(_Crop(name, rate, window, objects, truncated, band))
    return crops


def _write_tile(job: SplitJob, crop: _Crop) -> Tile:
    x_start, y_start, x_stop, y_stop = crop.window
    pixels = crop_window(crop.band.crop(crop.window), [0, 0, x_stop - x_start, y_stop - y_start], job.settings.padding)
    tile = encode_image(pixels, job.settings.image_format)
    write_bytes(job.folder / "images" / f"{crop.name}.{job.settings.image_format}", tile)
    if job.labels is not None:
        write_bytes(job.folder / "labelTxt" / f"{crop.name}.txt", _label_text(job.labels, crop))
    return Tile(crop.name, len(crop.objects), int(crop.truncated.sum()))


def crop_window(image: Image, window: list[int], padding: tuple[int, ...] | None) -> Image:
    """Crop a window from an image, padded on the right and below.

    Args:
        image: (H, W, 3), uint8, BGR.
        window: x_start, y_start, x_stop, y_stop; the stop can exceed the image.
        padding: BGR color outside the image; None returns the smaller crop.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((40, 60, 3), np.uint8)
        >>> crop_window(image, [0, 0, 64, 64], (104, 116, 124)).shape, crop_window(image, [0, 0, 64, 64], None).shape
        ((64, 64, 3), (40, 60, 3))
    """
    x_start, y_start, x_stop, y_stop = window
    visible = image[y_start:y_stop, x_start:x_stop]
    height, width = y_stop - y_start, x_stop - x_start
    if padding is None or visible.shape[:2] == (height, width):
        return visible
    below, right = height - visible.shape[0], width - visible.shape[1]
    tile = cv2.copyMakeBorder(visible, 0, below, 0, right, cv2.BORDER_CONSTANT, value=padding)
    return np.asarray(tile, dtype=np.uint8)


def _label_text(labels: Labels, crop: _Crop) -> bytes:
    polygons = shift_into_window(labels.polygons[crop.objects] * crop.rate, crop.window[0], crop.window[1])
    names = [labels.names[index] for index in crop.objects]
    return format_labels(polygons, names, np.where(crop.truncated, TRUNCATED, labels.difficult[crop.objects]))
