"""Conversion of 16-bit pixels to 8 bits according to the number of bits that the sensor uses.

Many sensors deliver 10 to 14 bits per value in 16-bit files. Keeping only the upper 8 of the 16 bits would make the
image too dark. Values are therefore divided by the power of two that maps the used bits to 8 bits. For 11 used bits,
values are divided by 8. The divisor is the same for all images of a run, so that equal radiance has equal brightness.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError

# Limits of the number of used bits. The conversion maps values of MAX_BITS bits to values of MIN_BITS bits.
MIN_BITS, MAX_BITS = 8, 16
_NUM_VALUES = 1 << MAX_BITS  # number of possible values of a 16-bit pixel
_FILL_VALUES = [0, _NUM_VALUES - 1]  # usual values of pixels without data
# Share of the values that must fit into the used bits. The few larger values, such as those of hot pixels, become 255;
# if they had to fit, the image would be too dark.
_MIN_SHARE = 0.9999
_CHUNK_VALUES = 1 << 22  # values per call of np.bincount, which converts its input to int64 (32 MiB)


def check_bits(bits: int | None) -> None:
    """Check that a number of used bits is None or between 8 and 16.

    Raises:
        UserError: The number is out of range.

    Example:
        >>> check_bits(11)
    """
    if bits is not None and not MIN_BITS <= bits <= MAX_BITS:
        raise UserError(f"the used bits of 16-bit images must be {MIN_BITS} to {MAX_BITS}, got {bits}")


def count_values(image: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Count how often each 16-bit value occurs in an image.

    Args:
        image: Array of any shape.

    Returns:
        (65536,) counts: element ``v`` is the number of pixel values equal to ``v``.

    Example:
        >>> count_values(np.array([[3, 3, 5]], np.uint16))[:6].tolist()
        [0, 0, 0, 2, 0, 1]
    """
    flat = image.reshape(-1)
    counts = np.zeros(_NUM_VALUES, np.int64)
    for start in range(0, flat.size, _CHUNK_VALUES):
        counts += np.bincount(flat[start : start + _CHUNK_VALUES], minlength=_NUM_VALUES)
    return counts


def used_bits(counts: NDArray[np.int64]) -> int:
    """Return the number of bits into which 99.99% of the values fit, at least 8.

    The values 0 and 65535 usually mark pixels without data, so they are not counted unless there are no other values.

    Args:
        counts: (65536,) counts of :func:`count_values`.

    Example:
        >>> used_bits(count_values(np.arange(2048, dtype=np.uint16)))
        11
    """
    without_fill = counts.copy()
    without_fill[_FILL_VALUES] = 0
    cumulative = np.cumsum(without_fill if without_fill.any() else counts)
    # At least 99.99% of the values are <= max_value, which is the smallest value with this property.
    max_value = int(np.searchsorted(cumulative, _MIN_SHARE * cumulative[-1]))
    return max(MIN_BITS, max_value.bit_length())


def to_8_bit(image: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    """Divide 16-bit values by 2^(bits - 8); larger results become 255.

    Args:
        image: Array of any shape. It is overwritten, because a copy of a large image may not fit into the memory.
        bits: Number of used bits, 8 to 16.

    Example:
        >>> to_8_bit(np.array([80, 2047, 60000], np.uint16), bits=11).tolist()
        [10, 255, 255]
    """
    np.right_shift(image, bits - MIN_BITS, out=image)
    np.minimum(image, 255, out=image)
    return image.astype(np.uint8)
