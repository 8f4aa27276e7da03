"""Choice of one conversion to 8-bit color for all images of a run."""

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
from rotated_atss.io.scaling import is_resolved, is_scaled_by_bits, percentile_range

# Probabilities of the quantiles that represent the values of an image. Their number does not depend on the size of the
# image, so that every image has the same weight.
_PROBABILITIES = np.linspace(0, 1, 1001)
_DIGITS = 6  # a range is rounded to these significant digits, so that the printed option has its exact values


@dataclass(frozen=True)
class Conversion:
    """Conversion of the images of a run to 8-bit color.

    Attributes:
        options: Options that state the scaling in numbers, the same for all images.
        notes: Lines for the user, one per kind of conversion, and a warning if some images become dark. Empty if all
            images are 8-bit gray or color images.
    """

    options: PixelOptions = field(default_factory=PixelOptions)
    notes: tuple[str, ...] = ()


def plan_conversion(paths: Sequence[Path], options: PixelOptions | None = None, workers: int = 1) -> Conversion:
    """Choose one scaling for all images of a run whose values are not 8-bit.

    Images are decoded only if they need a scaling that ``options`` does not state in numbers. Unreadable images are
    skipped here; the code that reads them later raises the error.

    Args:
        paths: Image files.
        options: Options to complete; None uses the defaults of :class:`PixelOptions`.
        workers: Number of processes that decode images.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.full((8, 8), 2000, np.uint16))
        ...     plan_conversion([Path(folder, "a.png")]).notes
        ('1 of 1 image has 16-bit pixels with 11 used bits: values are divided by 8 (--bits 11)',)
    """
    options = PixelOptions() if options is None else options
    headers = _read_headers(paths)
    dtypes = {path: np.dtype(header.dtype) for path, header in headers.items()}
    not_8_bit = [path for path, dtype in dtypes.items() if dtype != np.uint8]
    scaled_by_bits = [path for path in not_8_bit if is_scaled_by_bits(dtypes[path], options)]
    scaled_by_range = [path for path in not_8_bit if not is_scaled_by_bits(dtypes[path], options)]
    if not scaled_by_bits:  # bits would have no effect, so the returned options do not state a number
        options = replace(options, bits=None)
    unresolved = [path for path, dtype in dtypes.items() if not is_resolved(dtype, options)]
    summaries = _summarize(unresolved, options, workers)  # counts or quantiles of the values, by path
    counts = [summaries[path] for path in scaled_by_bits if path in summaries]
    quantiles = [summaries[path] for path in scaled_by_range if path in summaries]
    if scaled_by_bits and options.bits is None:
        # There are no counts if no 16-bit image can be read. Any number of bits will do then, because it is not used.
        bits = used_bits(sum(counts[1:], start=counts[0])) if counts else MAX_BITS
        options = replace(options, bits=bits)
    if quantiles:
        low, high = percentile_range(np.concatenate(quantiles))
        options = replace(options, scaling=(_round(low), _round(high)))
    notes = _describe_conversions(headers, scaled_by_bits, scaled_by_range, options, len(paths))
    if counts:
        notes += _warn_about_dark_images([used_bits(image_counts) for image_counts in counts])
    return Conversion(options, tuple(notes))


def _read_headers(paths: Sequence[Path]) -> dict[Path, ImageHeader]:
    """Return the headers of the images that can be read."""
    headers = {}
    for path in paths:
        try:
            header = read_header(path)
        except UserError:
            continue
        if header is not None and not header.unsupported and not header.truncated:
            headers[path] = header
    return headers


def _summarize(paths: Sequence[Path], options: PixelOptions, workers: int) -> dict[Path, NDArray[Any]]:
    """Return counts (65536,) or quantiles (1001,) of the values per image; unreadable images are left out."""
    job_bytes = [estimate_decode_bytes(path) for path in paths]
    results = dict(run_jobs(_summarize_image, [(path, options) for path in paths], workers, job_bytes))
    return {paths[index]: summary for index, summary in results.items() if summary is not None}


def _summarize_image(job: tuple[Path, PixelOptions]) -> NDArray[Any] | None:
    """Return the counts or quantiles of one image; None if it is unreadable or has no finite values."""
    path, options = job
    try:
        values = sample_values(path, options)
    except UserError:
        return None
    if is_scaled_by_bits(values.dtype, options):
        return count_values(values)
    finite = values[np.isfinite(values)]
    return np.quantile(finite, _PROBABILITIES) if finite.size else None


def _round(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _warn_about_dark_images(bits: Sequence[int]) -> list[str]:
    """Return a warning if the numbers of used bits per image differ so much that a common divisor darkens some images.

    Returns:
        A list with the warning as its only element, or an empty list.
    """
    low, high = min(bits), max(bits)
    if high - low < 2:  # images of the same sensor can differ by one bit, depending on the scene
        return []
    return [f"these images use from {low} to {high} bits, and those with few bits become dark: process them separately"]


def _describe_conversions(
    headers: dict[Path, ImageHeader],
    scaled_by_bits: Sequence[Path],
    scaled_by_range: Sequence[Path],
    options: PixelOptions,
    total: int,
) -> list[str]:
    """Describe each kind of conversion in one line; ``total`` is the number of all images."""
    notes = []
    if scaled_by_bits and options.bits is not None:
        divisor = 1 << (options.bits - MIN_BITS)
        notes.append(
            f"{_images_have(scaled_by_bits, total)} 16-bit pixels with {options.bits} used bits: values are divided by "
            f"{divisor} (--bits {options.bits})"
        )
    if scaled_by_range:
        dtypes = " and ".join(sorted({headers[path].dtype for path in scaled_by_range}))
        notes.append(f"{_images_have(scaled_by_range, total)} {dtypes} values: {_describe_scaling(options)}")
    if options.bands is not None and headers:
        notes.append(f"bands {','.join(map(str, options.bands))} are {'gray' if len(options.bands) == 1 else 'RGB'}")
        return notes  # --bands replaces the use of alpha and of the color labels, which the notes below describe
    with_alpha = [path for path, header in headers.items() if header.has_alpha]
    with_extra_band = [path for path, header in headers.items() if header.has_extra_band]
    if with_alpha:
        text = "alpha: pixels with alpha 0 have the padding color (--bands ignores alpha)"
        notes.append(f"{_images_have(with_alpha, total)} {text}")
    if with_extra_band:
        text = (
            "more than three bands: red, green and blue are those that the file labels as such, else the first three "
            "(change with --bands)"
        )
        notes.append(f"{_images_have(with_extra_band, total)} {text}")
    return notes


def _describe_scaling(options: PixelOptions) -> str:
    # The rule is "none" here. Any other rule has been replaced by two numbers, unless none of the images has finite
    # values that can be read.
    if isinstance(options.scaling, str):
        return f"rounded and clipped to 0 to 255 (--scaling {options.scaling})"
    low, high = (f"{value:.{_DIGITS}g}" for value in options.scaling)
    return f"{low} to {high} become 0 to 255 (--scaling={low},{high})"


def _images_have(paths: Sequence[Path], total: int) -> str:
    """Return the start of a sentence, such as ``3 of 5 images have``."""
    return f"{len(paths)} of {count_of(total, 'image')} {'has' if len(paths) == 1 else 'have'}"
