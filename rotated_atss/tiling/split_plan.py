"""Plan of a split from the headers of the images: windows, parts of large images, memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io.image_header import read_header
from rotated_atss.io.image_reader import PixelOptions, open_image
from rotated_atss.io.images import estimate_decode_bytes
from rotated_atss.tiling.crop import Integers
from rotated_atss.tiling.row_bands import CHUNK_ROWS
from rotated_atss.tiling.split_image import SplitJob
from rotated_atss.tiling.split_settings import SplitSettings
from rotated_atss.tiling.windows import sliding_windows

WINDOWS_PER_PART = 384  # an image of 30,000 x 30,000 pixels at 1024/200 has 1,369 windows: four parts
_SEQUENTIAL_FORMATS = ("PNG", "JPEG", "BMP")


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

    The parts depend on the image and the settings alone. An image whose rows must be decoded from the first one on or
    as a whole, and an image that is resampled, has one part.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/P1.png", np.zeros((40, 60, 3), np.uint8))
        ...     len(divide_job(SplitJob(Path(folder, "P1.png"), None, Path(folder), SplitSettings())))
        1
    """
    parts = _count_parts(job.image, job.settings)
    return [replace(job, part=(index, parts)) for index in range(parts)]


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
    whole = estimate_decode_bytes(job.image)
    if job.part[1] == 1:
        return whole
    header = read_header(job.image)
    assert header is not None  # it has been divided by its header
    rows = 2 * max(size for size, _ in job.settings.grids()) + CHUNK_ROWS  # a band, and the next one
    return min(whole, 3 * header.width * rows)


def _count_parts(image: Path, settings: SplitSettings) -> int:
    windows = _windows_from_header(image, settings)
    if settings.whole_images or len(windows) != 1 or len(windows[0]) < 2 * WINDOWS_PER_PART:
        return 1
    header = read_header(image)
    resampled = settings.resampling_rates() != [1.0]
    if resampled or header is None or header.file_format in _SEQUENTIAL_FORMATS:
        return 1
    with open_image(image, PixelOptions(bits=settings.bits)) as reader:
        if reader.access not in ("tiles", "rows"):
            return 1
    return min(round(len(windows[0]) / WINDOWS_PER_PART), len(np.unique(windows[0][:, 1])))


def _windows_from_header(image: Path, settings: SplitSettings) -> list[Integers]:
    """Return the windows of an image at every rate; none if the header cannot be read, which reading reports."""
    try:
        header = read_header(image)
    except UserError:
        return []
    if header is None or not (header.width and header.height):
        return []
    if settings.whole_images:
        return [np.array([[0, 0, header.width, header.height]])]
    sizes = [
        (max(1, round(header.width * rate)), max(1, round(header.height * rate)))
        for rate in settings.resampling_rates()
    ]
    return [sliding_windows(*size, settings.grids(), settings.image_ratio) for size in sizes]
