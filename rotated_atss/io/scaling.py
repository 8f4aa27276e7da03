"""Scale pixel values to 8 bits, and fill pixels without data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.bit_depth import count_values, to_8_bit, used_bits
from rotated_atss.io.pixel_options import AUTO, PADDING_BGR, PERCENTILE, PixelOptions
from rotated_atss.io.png import Image

PERCENTILES = (2.0, 98.0)  # These percentiles of the pixel values are mapped to 0 and 255.
# If there are many values, the percentiles are computed from every n-th value, with n chosen so that the sample has
# between _SAMPLE_VALUES and twice as many values.
_SAMPLE_VALUES = 1 << 20


def scale_to_8_bit(values: NDArray[Any], options: PixelOptions) -> NDArray[np.uint8]:
    """Scale pixel values to the range from 0 to 255.

    Args:
        values: Array of any shape; the content of uint16 arrays is overwritten. NaN becomes 0.
        options: The rule for scaling. If the rule needs the number of used bits or the range of the values, and the
            options do not contain it, it is determined from ``values``.

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
        # resolve_scaling has set the bits, so "or 8" has no effect. It is there for mypy.
        return to_8_bit(values, options.bits or 8)
    # After resolve_scaling, scaling is a range or the string "none". "none" keeps the values from 0 to 255.
    low, high = (0, 255) if isinstance(options.scaling, str) else options.scaling
    # float32 saves memory, and is used for types of up to 4 bytes.
    floats: Any = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
    scaled = np.nan_to_num((floats - low) * (255 / (high - low)), nan=0, posinf=255, neginf=0)
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def is_scaled_by_bits(dtype: np.dtype, options: PixelOptions) -> bool:
    """Return whether values of a data type are scaled by their number of used bits, not by a range of values.

    For uint16, ``options.bits`` takes precedence over ``options.scaling``.

    Example:
        >>> [is_scaled_by_bits(np.dtype(name), PixelOptions()) for name in ("uint16", "int16")]
        [True, False]
    """
    return dtype == np.uint16 and (options.scaling == AUTO or options.bits is not None)


def resolve_scaling(values: NDArray[Any], options: PixelOptions) -> PixelOptions:
    """Complete options with the number of used bits or the range of the values, whichever the rule for scaling needs.

    If the options already contain this number or range, they are returned unchanged.

    Args:
        values: All values of an image or a sample of them, without pixels that have no data.
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
    """Return whether options determine the scaling of a data type completely, without the values of an image.

    Example:
        >>> is_resolved(np.dtype("int16"), PixelOptions())  # the scaling "auto" depends on the values
        False
        >>> is_resolved(np.dtype("int16"), PixelOptions(scaling="none"))
        True
    """
    if is_scaled_by_bits(dtype, options):
        return options.bits is not None
    return dtype == np.uint8 or options.scaling not in (AUTO, PERCENTILE)


def percentile_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the 2nd and the 98th percentile of the finite values, or (0, 1) if no value is finite.

    If the two percentiles are equal, the second one is increased by 1, because a range must not be empty.

    Args:
        values: Array of any shape. For about two million values or more, a sample of one to two million is used.

    Example:
        >>> percentile_range(np.array([np.nan, 3.0, 3.0]))
        (3.0, 4.0)
    """
    sample = values.reshape(-1)[:: max(1, values.size // _SAMPLE_VALUES)]
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(sample, PERCENTILES))
    if high <= low:
        high = low + 1
    return low, high


def fill_invalid(image: Image, valid: NDArray[np.bool_] | None) -> Image:
    """Set pixels without data to the padding color, in place.

    Args:
        image: (H, W, 3) uint8, BGR.
        valid: (H, W), True for pixels that have data; None if all pixels have data.

    Returns:
        ``image`` itself.

    Example:
        >>> fill_invalid(np.zeros((1, 2, 3), np.uint8), np.array([[True, False]])).tolist()
        [[[0, 0, 0], [104, 116, 124]]]
    """
    if valid is not None and not valid.all():
        image[~valid] = PADDING_BGR
    return image
