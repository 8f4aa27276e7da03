"""One conversion for all images of a run, determined from their headers and printed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.errors import UserError, count_of
from rotated_atss.io.bit_depth import MAX_BITS, MIN_BITS, check_bits, used_bits
from rotated_atss.io.image_header import ImageHeader, read_header
from rotated_atss.io.images import count_pixel_values, estimate_decode_bytes
from rotated_atss.io.processes import run_jobs


@dataclass(frozen=True)
class Conversion:
    """Conversion of images to 8-bit color.

    Attributes:
        bits: Used bits of the 16-bit images, for :func:`rotated_atss.io.images.read_image`; None if there are none.
        notes: What is converted, one line per kind, for the user. Empty for 8-bit gray and color images.
    """

    bits: int | None = None
    notes: tuple[str, ...] = ()


def plan_conversion(paths: Sequence[Path], bits: int | None = None, workers: int = 1) -> Conversion:
    """Look at the headers of images and find a common scaling of the 16-bit images among them.

    Only 16-bit images are decoded, and only if ``bits`` is None. Unreadable images are skipped: reading them raises.

    Args:
        paths: Image files.
        bits: Used bits of the 16-bit images, 8 to 16; None counts them.
        workers: Processes that count.

    Raises:
        UserError: ``bits`` is out of range.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.full((8, 8), 2000, np.uint16))
        ...     plan_conversion([Path(folder, "a.png")]).notes
        ('1 of 1 image has 16-bit pixels with 11 used bits: values are divided by 8 (--bits 11)',)
    """
    check_bits(bits)
    headers = {path: _header(path) for path in paths}
    deep = [path for path, header in headers.items() if header is not None and header.depth == MAX_BITS]
    extra = [header for header in headers.values() if header is not None and header.has_extra_band]
    notes = []
    if deep:
        bits = _count_used_bits(deep, workers) if bits is None else bits
        notes.append(
            f"{_count(deep, paths)} 16-bit pixels with {bits} used bits: values are divided by "
            f"{1 << (bits - MIN_BITS)} (--bits {bits})"
        )
    if extra:
        notes.append(f"{_count(extra, paths)} four bands: the first three are red, green and blue, band 4 is not used")
    return Conversion(bits if deep else None, tuple(notes))


def _header(path: Path) -> ImageHeader | None:
    """Read the header of an image that can be read."""
    try:
        header = read_header(path)
    except UserError:
        return None
    return None if header is None or header.unsupported or header.needs_rasterio or header.truncated else header


def _count_used_bits(paths: Sequence[Path], workers: int) -> int:
    job_bytes = [estimate_decode_bytes(path) for path in paths]
    counts = [part for _, part in run_jobs(count_pixel_values, paths, workers, job_bytes) if part is not None]
    return used_bits(sum(counts[1:], start=counts[0])) if counts else MAX_BITS


def _count(some: Sequence[object], every: Sequence[object]) -> str:
    return f"{len(some)} of {count_of(len(every), 'image')} {'has' if len(some) == 1 else 'have'}"
