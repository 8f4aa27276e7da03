"""One conversion for all images of a run, determined from their headers and printed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError, count_of
from rotated_atss.io.bit_depth import MAX_BITS, MIN_BITS, count_values, used_bits
from rotated_atss.io.image_header import ImageHeader, read_header
from rotated_atss.io.images import estimate_decode_bytes, sample_values
from rotated_atss.io.pixel_options import PixelOptions
from rotated_atss.io.processes import run_jobs
from rotated_atss.io.scaling import is_resolved, percentile_range, uses_bits

_QUANTILES = np.linspace(0, 1, 1001)  # of the values of an image, which stand for them
_DIGITS = 6  # significant digits of a range, so that it is printed in full


@dataclass(frozen=True)
class Conversion:
    """Conversion of images to 8-bit color.

    Attributes:
        options: Options with numbers for the scaling of all images.
        notes: What is converted, one line per kind, for the user. Empty for 8-bit gray and color images.
    """

    options: PixelOptions = field(default_factory=PixelOptions)
    notes: tuple[str, ...] = ()


def plan_conversion(paths: Sequence[Path], options: PixelOptions | None = None, workers: int = 1) -> Conversion:
    """Look at the headers of images and find a common scaling of those that have other values than 8 bits.

    Only these are decoded, and only if ``options`` does not state their scaling in numbers. Unreadable images are
    skipped: reading them raises.

    Args:
        paths: Image files.
        options: Options to complete; None uses the defaults of :class:`PixelOptions`.
        workers: Processes that decode.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.full((8, 8), 2000, np.uint16))
        ...     plan_conversion([Path(folder, "a.png")]).notes
        ('1 of 1 image has 16-bit pixels with 11 used bits: values are divided by 8 (--bits 11)',)
    """
    options = PixelOptions() if options is None else options
    known = {path: _header(path) for path in paths}
    headers = {path: header for path, header in known.items() if header is not None}
    by_bits = [path for path, header in headers.items() if uses_bits(np.dtype(header.dtype), options)]
    ranged = [path for path, header in headers.items() if header.dtype != "uint8" and path not in by_bits]
    if not by_bits:
        options = replace(options, bits=None)
    open_paths = [path for path, header in headers.items() if not is_resolved(np.dtype(header.dtype), options)]
    summaries = _summarize(open_paths, options, workers)
    counts = [summaries[path] for path in by_bits if path in summaries]
    quantiles = [summaries[path] for path in ranged if path in summaries]
    if by_bits and options.bits is None:
        options = replace(options, bits=used_bits(sum(counts[1:], start=counts[0])) if counts else MAX_BITS)
    if quantiles:
        low, high = percentile_range(np.concatenate(quantiles))
        options = replace(options, scaling=(_rounded(low), _rounded(high)))
    return Conversion(options, tuple(_notes(headers, by_bits, ranged, options, len(paths))))


def _header(path: Path) -> ImageHeader | None:
    """Read the header of an image that can be read."""
    try:
        header = read_header(path)
    except UserError:
        return None
    return None if header is None or header.unsupported or header.truncated else header


def _summarize(paths: Sequence[Path], options: PixelOptions, workers: int) -> dict[Path, NDArray[Any]]:
    """Return counts (65536,) or quantiles (1001,) of the values of images; none of images that cannot be read."""
    job_bytes = [estimate_decode_bytes(path) for path in paths]
    results = dict(run_jobs(_summary, [(path, options) for path in paths], workers, job_bytes))
    return {paths[index]: result for index, result in results.items() if result is not None}


def _summary(job: tuple[Path, PixelOptions]) -> NDArray[Any] | None:
    path, options = job
    try:
        values = sample_values(path, options)
    except UserError:
        return None
    if uses_bits(values.dtype, options):
        return count_values(values)
    finite = values[np.isfinite(values)]
    return np.quantile(finite, _QUANTILES) if finite.size else None


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _notes(
    headers: dict[Path, ImageHeader], by_bits: Sequence[Path], ranged: Sequence[Path], options: PixelOptions, total: int
) -> list[str]:
    notes = []
    if by_bits and options.bits is not None:
        divisor = 1 << (options.bits - MIN_BITS)
        notes.append(
            f"{_count(by_bits, total)} 16-bit pixels with {options.bits} used bits: values are divided by {divisor} "
            f"(--bits {options.bits})"
        )
    if ranged:
        kinds = " and ".join(sorted({headers[path].dtype for path in ranged}))
        notes.append(f"{_count(ranged, total)} {kinds} values: {_scaling_text(options)}")
    alpha = [path for path, header in headers.items() if header.alpha]
    extra = [path for path, header in headers.items() if header.has_extra_band]
    if options.bands is not None and headers:
        notes.append(f"bands {','.join(map(str, options.bands))} are {'gray' if len(options.bands) == 1 else 'RGB'}")
        return notes
    if alpha:
        notes.append(f"{_count(alpha, total)} alpha: pixels with alpha 0 have the padding color (unless --bands)")
    if extra:
        notes.append(
            f"{_count(extra, total)} more than three bands: red, green and blue are those that the file names, else "
            "the first three (--bands)"
        )
    return notes


def _scaling_text(options: PixelOptions) -> str:
    if isinstance(options.scaling, str):  # none, or no image can be read
        return f"rounded and clipped to 0 to 255 (--scaling {options.scaling})"
    low, high = (f"{value:.{_DIGITS}g}" for value in options.scaling)
    return f"{low} to {high} become 0 to 255 (--scaling={low},{high})"


def _count(some: Sequence[object], total: int) -> str:
    return f"{len(some)} of {count_of(total, 'image')} {'has' if len(some) == 1 else 'have'}"
