"""Split one image and its labels into tiles, as one job of a worker process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
from rotated_atss.io.image_reader import ImageReader, find_georeference, open_image, requires_conversion
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
from rotated_atss.tiling.split_stats import SplitStats, Tile
from rotated_atss.tiling.windows import sliding_windows

_RESOLUTION_DECIMALS = 6  # the ground resolution, in meters per pixel, is rounded to this number of decimals


@dataclass(frozen=True)
class SplitJob:
    """An image, or a part of it, to split.

    Attributes:
        image: The image file.
        labels: Objects of the image; None for an unlabeled image, whose tiles get no label files.
        folder: Output folder. Its subfolder ``images/`` must exist and, for a labeled image, also ``labelTxt/``.
        settings: The settings of the split.
        threads: Number of threads that encode and write tiles.
        part: Index of the part of the image, and number of parts. A part is a range of consecutive rows of windows.
    """

    image: Path
    labels: Labels | None
    folder: Path
    settings: SplitSettings
    threads: int = 1
    part: tuple[int, int] = (0, 1)


def split_image(job: SplitJob) -> SplitStats:
    """Split one image, or a part of it, into tiles and write them.

    Args:
        job: The image, its labels and the settings.

    Returns:
        Statistics of the image. If the job is a part of an image, the statistics of tiles and of objects in tiles cover
        only this part (:func:`rotated_atss.tiling.split_stats.merge_stats` merges the parts).

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
    if job.settings.whole_images:  # such a job is never a part of an image
        return _keep_whole(job)
    polygons = np.empty((0, 8)) if job.labels is None else job.labels.polygons
    tiles: list[Tile] = []
    tiles_per_object = np.zeros(len(polygons), np.int64)
    with open_image(job.image, job.settings.pixels) as image:
        for rate in job.settings.resampling_rates():
            width, height, iter_bands = _image_at_rate(job, image, rate)
            windows = _windows_of_part(width, height, job.settings, job.part)
            placement = place_objects(polygons * rate, windows, job.settings.iof_threshold)
            tiles_per_object += np.bincount(placement.object_index, minlength=len(polygons))
            # Unlike a generator expression, starmap keeps no reference to a band while the next one is read.
            batches = starmap(partial(_list_pending_tiles, job, rate, windows, placement), iter_bands(windows))
            tiles += map_batches_in_threads(partial(_write_tile, job), batches, job.threads)
        resolution = _find_ground_resolution(job, (image.width, image.height), lambda: image.georeference)
    has_area = object_areas(polygons) > MIN_AREA
    return SplitStats(
        width=image.width,
        height=image.height,
        objects=len(polygons),
        without_area=() if job.labels is None else tuple(job.labels.line_numbers[~has_area].tolist()),
        in_no_tile=tuple(np.flatnonzero(has_area & (tiles_per_object == 0)).tolist()),
        tiles=tuple(tiles),
        tiles_per_object=tuple(tiles_per_object.tolist()),
        suffix=f".{job.settings.image_format}",
        ground_resolution=resolution,
    )


def _keep_whole(job: SplitJob) -> SplitStats:
    """Write the whole image as one tile, with all objects that have an area. Without a conversion, copy the file."""
    needs_conversion = requires_conversion(job.image, job.settings.pixels)
    width, height = image_size(job.image)
    has_area = np.zeros(0, bool) if job.labels is None else object_areas(job.labels.polygons) > MIN_AREA
    is_written = bool(has_area.any()) or job.settings.keep_empty
    suffix = ".png" if needs_conversion else job.image.suffix
    if is_written:
        _write_whole(job, suffix, has_area, needs_conversion)
    return SplitStats(
        width=width,
        height=height,
        objects=len(has_area),
        without_area=() if job.labels is None else tuple(job.labels.line_numbers[~has_area].tolist()),
        in_no_tile=(),
        tiles=(Tile(job.image.stem, int(has_area.sum()), 0),) if is_written else (),
        tiles_per_object=tuple(map(int, has_area)),
        suffix=suffix,
        ground_resolution=_find_ground_resolution(job, (width, height), partial(find_georeference, job.image)),
    )


def _write_whole(job: SplitJob, suffix: str, has_area: Booleans, needs_conversion: bool) -> None:
    """Write the image, converted to PNG or copied, and the labels of the objects that have an area."""
    name, pixels = job.image.stem, job.settings.pixels
    content = encode_image(read_image(job.image, pixels), "png") if needs_conversion else read_bytes(job.image)
    write_bytes(job.folder / "images" / f"{name}{suffix}", content)
    if job.labels is not None:
        names = [class_name for class_name, keep in zip(job.labels.names, has_area.tolist(), strict=True) if keep]
        text = format_labels(job.labels.polygons[has_area], names, job.labels.difficult[has_area])
        write_bytes(job.folder / "labelTxt" / f"{name}.txt", text)


def _find_ground_resolution(
    job: SplitJob, image_wh: tuple[int, int], read_georeference: Callable[[], Georeference | None]
) -> float | None:
    """Return meters per pixel from the georeference of the image or the ``gsd`` line of its labels; None if unknown.

    The georeference is passed as a function because reading it can raise errors, which are ignored here.
    """
    try:
        resolution = ground_resolution(read_georeference(), image_wh)
    except UserError:  # The CRS is malformed or pyproj is missing. Ignored because tiles need no ground resolution.
        resolution = None
    if resolution is None and job.labels is not None:
        resolution = parse_ground_resolution("\n".join(job.labels.header).encode())
    return None if resolution is None else round(resolution, _RESOLUTION_DECIMALS)


# A function that takes windows (W, 4) and yields pairs: indices of some windows, and the image rows that contain them.
_IterBands = Callable[[Integers], Iterable[tuple[Integers, RowBand]]]


def _image_at_rate(job: SplitJob, image: ImageReader, rate: float) -> tuple[int, int, _IterBands]:
    """Return width and height of the image resampled by ``rate``, and a function that yields its row bands.

    If the rate is not 1, the whole image is read and resampled, and forms the only band.
    """
    if rate == 1:
        return image.width, image.height, partial(iter_row_bands, image)
    try:
        scaled = _resample(image.read(), rate)
    except (cv2.error, MemoryError):  # the resampled image is empty or too large
        raise UserError(f"the image cannot be resampled by rate {rate}", where=job.image) from None
    height, width = scaled.shape[:2]
    only_band = RowBand(0, (scaled,))
    return width, height, lambda windows: [(np.arange(len(windows)), only_band)]


def _windows_of_part(width: int, height: int, settings: SplitSettings, part: tuple[int, int]) -> Integers:
    """Return the windows of one part of an image. ``part`` is the index of the part and the number of parts."""
    windows = sliding_windows(width, height, settings.grids(), settings.image_ratio)
    index, num_parts = part
    y_starts = np.array_split(np.unique(windows[:, 1]), num_parts)[index]
    return windows[np.isin(windows[:, 1], y_starts)]


def _resample(image: Image, rate: float) -> Image:
    """Resize an image (H, W, 3) by ``rate`` with cubic interpolation, as DOTA_devkit does."""
    return np.asarray(cv2.resize(image, None, fx=rate, fy=rate, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


@dataclass(frozen=True)
class _PendingTile:
    """A tile to write: its window, the objects in it, and the rows of the image that contain the window."""

    name: str
    rate: float
    window: list[int]
    object_index: Integers
    truncated: Booleans
    band: RowBand


def _list_pending_tiles(
    job: SplitJob, rate: float, windows: Integers, placement: Placement, indices: Integers, band: RowBand
) -> list[_PendingTile]:
    """Return the tiles to write for the windows at ``indices``; ``band`` contains the pixels of these windows."""
    tiles = []
    for index in indices.tolist():
        window = windows[index].tolist()
        object_index, truncated = placement.in_window(index)
        if len(object_index) or job.settings.keep_empty:
            name = job.settings.tile_name(job.image.stem, rate, window)
            tiles.append(_PendingTile(name, rate, window, object_index, truncated, band))
    return tiles


def _write_tile(job: SplitJob, tile: _PendingTile) -> Tile:
    """Write the image of a tile and its labels."""
    x_start, y_start, x_stop, y_stop = tile.window
    # the band returns only the part of the window inside the image; crop_window pads it to the size of the window
    pixels = crop_window(tile.band.crop(tile.window), [0, 0, x_stop - x_start, y_stop - y_start], job.settings.padding)
    content = encode_image(pixels, job.settings.image_format)
    write_bytes(job.folder / "images" / f"{tile.name}.{job.settings.image_format}", content)
    if job.labels is not None:
        write_bytes(job.folder / "labelTxt" / f"{tile.name}.txt", _format_tile_labels(job.labels, tile))
    return Tile(tile.name, len(tile.object_index), int(tile.truncated.sum()))


def crop_window(image: Image, window: list[int], padding: tuple[int, ...] | None) -> Image:
    """Crop a window from an image, padded on the right and at the bottom where it exceeds the image.

    Args:
        image: (H, W, 3), uint8, BGR.
        window: x_start, y_start, x_stop, y_stop; x_stop and y_stop can exceed the image.
        padding: BGR color outside the image; None returns the smaller crop without padding.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((40, 60, 3), np.uint8)
        >>> crop_window(image, [0, 0, 64, 64], padding=(104, 116, 124)).shape
        (64, 64, 3)
        >>> crop_window(image, [0, 0, 64, 64], padding=None).shape
        (40, 60, 3)
    """
    x_start, y_start, x_stop, y_stop = window
    visible = image[y_start:y_stop, x_start:x_stop]
    height, width = y_stop - y_start, x_stop - x_start
    if padding is None or visible.shape[:2] == (height, width):
        return visible
    below, right = height - visible.shape[0], width - visible.shape[1]
    padded = cv2.copyMakeBorder(visible, 0, below, 0, right, cv2.BORDER_CONSTANT, value=padding)
    return np.asarray(padded, dtype=np.uint8)


def _format_tile_labels(labels: Labels, tile: _PendingTile) -> bytes:
    """Format the objects of a tile, with coordinates in pixels of the tile."""
    polygons = shift_into_window(labels.polygons[tile.object_index] * tile.rate, tile.window[0], tile.window[1])
    names = [labels.names[index] for index in tile.object_index]
    return format_labels(polygons, names, np.where(tile.truncated, TRUNCATED, labels.difficult[tile.object_index]))
