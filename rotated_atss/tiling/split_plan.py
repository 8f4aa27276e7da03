"""Plan a split from the headers of the images: number of windows, parts of large images, memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io.image_header import ImageHeader, check_header, read_header
from rotated_atss.io.image_reader import choose_reader, open_image, whole_image_bytes
from rotated_atss.io.images import estimate_decode_bytes
from rotated_atss.tiling.crop import Integers
from rotated_atss.tiling.row_bands import CHUNK_ROWS
from rotated_atss.tiling.split_image import SplitJob
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.windows import sliding_windows

# Parts have about this number of windows. For example, an image of 30,000 x 30,000 pixels with windows of size 1024 and
# gap 200 has 1,369 windows and is divided into four parts.
WINDOWS_PER_PART = 384


def count_windows(image: Path, settings: SplitSettings) -> int:
    """Count the windows of an image from its header; 0 if the header cannot be read.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/P1.png", np.zeros((40, 60, 3), np.uint8))
        ...     count_windows(Path(folder, "P1.png"), SplitSettings(sizes=[32], gaps=[8]))
        6
    """
    return sum(map(len, _windows_from_header(image, settings)))


def divide_job(job: SplitJob) -> list[SplitJob]:
    """Divide the job of a large image into parts, so that several processes split it.

    The parts depend only on the image and the settings. The job remains a single part in any of these cases: the image
    has few windows; it is resampled; it becomes one tile; its lower rows cannot be decoded without the rows above them.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/P1.png", np.zeros((40, 60, 3), np.uint8))
        ...     len(divide_job(SplitJob(Path(folder, "P1.png"), None, Path(folder), SplitSettings())))
        1
    """
    num_parts = _count_parts(job.image, job.settings)
    return [replace(job, part=(index, num_parts)) for index in range(num_parts)]


def estimate_job_bytes(job: SplitJob) -> int:
    """Estimate the memory of a job in bytes.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/P1.bmp", np.zeros((40, 60, 3), np.uint8))
        ...     estimate_job_bytes(SplitJob(Path(folder, "P1.bmp"), None, Path(folder), SplitSettings()))
        14400
    """
    header = _read_header(job.image)
    decode_bytes = estimate_decode_bytes(job.image)
    if header is None or decode_bytes >= whole_image_bytes(header):  # the image is decoded as a whole
        return decode_bytes
    if _is_resampled(job.settings):  # resampling needs the whole image, although it could be decoded in parts
        return whole_image_bytes(header)
    # The memory holds the rows of the current windows, the rows of the next windows, and a chunk that was just decoded.
    num_rows = 2 * max(size for size, _ in job.settings.grids()) + CHUNK_ROWS
    return max(decode_bytes, 3 * header.width * num_rows)  # 3 bytes per pixel


def _count_parts(image: Path, settings: SplitSettings) -> int:
    """Return the number of parts into which an image is divided."""
    windows_per_rate = _windows_from_header(image, settings)
    num_windows = sum(map(len, windows_per_rate))
    has_few_windows = num_windows < 2 * WINDOWS_PER_PART  # not enough for two parts of this size
    if settings.whole_images or _is_resampled(settings) or has_few_windows:
        return 1
    header = check_header(image)  # raises an error for an image that cannot be split
    # A part must be readable without decoding the rows above it. Only the reader "raster" can do this, and only for
    # some files: those that are stored in tiles or in strips of rows.
    if header is None or choose_reader(image, header, settings.pixels)[0] != "raster":
        return 1
    with open_image(image, settings.pixels) as reader:
        if reader.access not in ("tiles", "rows"):
            return 1
    (windows,) = windows_per_rate  # the image is not resampled, so its only rate is 1
    num_rows_of_windows = len(np.unique(windows[:, 1]))
    return min(round(num_windows / WINDOWS_PER_PART), num_rows_of_windows)  # each part gets at least one row of windows


def _is_resampled(settings: SplitSettings) -> bool:
    return settings.resampling_rates() != [1.0]


def _read_header(image: Path) -> ImageHeader | None:
    """Read the header of an image; return None if it cannot be read. Splitting the image then raises the error."""
    try:
        header = read_header(image)
    except UserError:
        return None
    return header if header is not None and header.width and header.height else None


def _windows_from_header(image: Path, settings: SplitSettings) -> list[Integers]:
    """Return the windows (W, 4) of an image at each resampling rate, or an empty list without a readable header."""
    header = _read_header(image)
    if header is None:
        return []
    if settings.whole_images:
        return [np.array([[0, 0, header.width, header.height]])]
    sizes_wh = [
        (max(1, round(header.width * rate)), max(1, round(header.height * rate)))
        for rate in settings.resampling_rates()
    ]
    return [sliding_windows(*size_wh, settings.grids(), settings.image_ratio, where=image) for size_wh in sizes_wh]
