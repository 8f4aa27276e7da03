"""Scaling of pixel values to 8 bits, and filling of pixels without data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.bit_depth import count_values, to_8_bit, used_bits
from rotated_atss.io.pixel_options import AUTO, PADDING_BGR, PERCENTILE, PixelOptions
from rotated_atss.io.png import Image

PERCENTILES = (2.0, 98.0)  # these percentiles of the pixel values become 0 and 255
# Percentiles of many values are computed from every n-th value. The sample has one to two times this number of values.
_SAMPLE_VALUES = 1 << 20


def scale_to_8_bit(values: NDArray[Any], options: PixelOptions) -> NDArray[np.uint8]:
    """Scale pixel values to 0 to 255.

    Args:
        values: Array of any shape; the content of uint16 arrays is overwritten. NaN becomes 0.
        options: Rule of the scaling. If it does not state the used bits or the range in numbers, they are determined
            from ``values``.

    Example:
        >>> scale_to_8_bit(np.array([-1, 0, 0.5, 2], np.float32), PixelOptions(scaling=(0, 1))).tolist()
        [0, 0, 128, 255]
        >>> scale_to_8_bit(np.array([80, 2047], np.uint16), PixelOptions(bits=11)).tolist()
        [10, 255]
    """
    if values.dtype == np.uint8:
        return values
    options = resolve_scaling(values, options)
    if is_scaled_by_bits(values.dtype, options):
        return to_8_bit(values, options.bits or 8)  # bits is not None after resolve_scaling; "or 8" is for mypy
    low, high = (0, 255) if isinstance(options.scaling, str) else options.scaling  # a string can only be "none" here
    floats: Any = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)  # float32 saves memory
    scaled = (floats - low) * (255 / (high - low))
    return np.rint(np.clip(np.nan_to_num(scaled, nan=0, posinf=255, neginf=0), 0, 255)).astype(np.uint8)


def is_scaled_by_bits(dtype: np.dtype, options: PixelOptions) -> bool:
    """Return whether values of a type are scaled by their number of used bits, not by a range of values.

    For uint16, bits that the options state take precedence over the rule ``scaling``.

    Example:
        >>> [is_scaled_by_bits(np.dtype(name), PixelOptions()) for name in ("uint16", "int16")]
        [True, False]
    """
    return dtype == np.uint16 and (options.scaling == AUTO or options.bits is not None)


def resolve_scaling(values: NDArray[Any], options: PixelOptions) -> PixelOptions:
    """Return options that state the used bits or the range of values in numbers, determined from values if necessary.

    Args:
        values: Values of an image, or a sample of them; pixels without data are left out.
        options: Options to complete.

    Example:
        >>> resolve_scaling(np.arange(101, dtype=np.float32), PixelOptions()).scaling
        (2.0, 98.0)
        >>> resolve_scaling(np.arange(2048, dtype=np.uint16), PixelOptions()).bits
        11
    """
    if is_resolved(values.dtype, options):
        return options
    if is_scaled_by_bits(values.dtype, options):
        return replace(options, bits=used_bits(count_values(values)))
    return replace(options, scaling=percentile_range(values))


def is_resolved(dtype: np.dtype, options: PixelOptions) -> bool:
    """Return whether options state the scaling of a type completely, so that it does not depend on the values.

    Example:
        >>> is_resolved(np.dtype("int16"), PixelOptions()), is_resolved(np.dtype("int16"), PixelOptions(scaling="none"))
        (False, True)
    """
    if is_scaled_by_bits(dtype, options):
        return options.bits is not None
    return dtype == np.uint8 or options.scaling not in (AUTO, PERCENTILE)


def percentile_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the 2nd and the 98th percentile of the finite values; (0, 1) if there are none.

    Args:
        values: Array of any shape. If it has two million values or more, only every n-th value is used, one to two
            million in total.

    Example:
        >>> percentile_range(np.array([np.nan, 3.0, 3.0]))
        (3.0, 4.0)
    """
    sample = values.reshape(-1)[:: max(1, values.size // _SAMPLE_VALUES)]
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(sample, PERCENTILES))
    return low, (high if high > low else low + 1)


def fill_invalid(image: Image, valid: NDArray[np.bool_] | None) -> Image:
    """Set pixels without data to the padding color, in place.

    Args:
        image: (H, W, 3) uint8, BGR.
        valid: (H, W), True where the pixel has data; None if all have.

    Returns:
        ``image`` itself.

    Example:
        >>> fill_invalid(np.zeros((1, 2, 3), np.uint8), np.array([[True, False]])).tolist()
        [[[0, 0, 0], [104, 116, 124]]]
    """
    if valid is not None and not valid.all():
        image[~valid] = PADDING_BGR
    return image
