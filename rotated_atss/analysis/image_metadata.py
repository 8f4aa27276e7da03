"""Read the sizes and ground resolutions of images from their headers, in several processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.errors import UserError
from rotated_atss.geo.ground import ground_resolution
from rotated_atss.io.image_header import read_header
from rotated_atss.io.image_reader import find_georeference
from rotated_atss.io.processes import run_jobs

_IMAGES_PER_JOB = 200  # reading a header is fast, so smaller jobs would mostly be overhead
# An estimate of the peak memory of a job. run_jobs limits the number of concurrent jobs by it.
_BYTES_PER_JOB = 16 << 20


@dataclass(frozen=True)
class ImageMetadata:
    """Size and ground resolution of an image, read from its header.

    Attributes:
        size: Width and height in pixels; None if the header cannot be read.
        ground_resolution: Meters per pixel; None if unknown.
    """

    size: tuple[int, int] | None
    ground_resolution: float | None = None


def read_image_metadata(paths: Sequence[Path], workers: int = 1) -> list[ImageMetadata]:
    """Read the sizes and ground resolutions of images without decoding them.

    Args:
        paths: Image files.
        workers: Number of processes.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/P1.png", np.zeros((40, 60, 3), np.uint8))
        ...     read_image_metadata([Path(folder, "P1.png")])
        [ImageMetadata(size=(60, 40), ground_resolution=None)]
    """
    jobs = [tuple(paths[start : start + _IMAGES_PER_JOB]) for start in range(0, len(paths), _IMAGES_PER_JOB)]
    # run_jobs yields the index and the result of each job when the job ends. The jobs can end in any order.
    results_by_job = dict(run_jobs(_read_metadata_of_job, jobs, workers, [_BYTES_PER_JOB] * len(jobs)))
    return [metadata for job_index in range(len(jobs)) for metadata in results_by_job[job_index]]


def _read_metadata_of_job(paths: Sequence[Path]) -> list[ImageMetadata]:
    return list(map(_read_metadata, paths))


def _read_metadata(path: Path) -> ImageMetadata:
    try:
        header = read_header(path)
    except UserError:
        header = None
    if header is None or not (header.width and header.height):
        return ImageMetadata(None)
    size = (header.width, header.height)
    try:
        return ImageMetadata(size, ground_resolution(find_georeference(path), size))
    except UserError:
        # The coordinate reference system is malformed, or pyproj is missing. The resolution is optional, so go on.
        return ImageMetadata(size)
