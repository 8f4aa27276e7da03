"""Conversion of 16-bit pixels to 8 bits by the number of bits that the sensor uses.

Many sensors deliver 10 to 14 bits per value in 16-bit files; the upper 8 of the 16 bits alone would be nearly black.
Values are therefore divided by the power of two that maps the used bits to 8 bits, for example by 8 for 11 used bits.
The divisor is the same for all images of a run, so that equal radiance has equal brightness.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError

MIN_BITS, MAX_BITS = 8, 16  # bits that the values of a 16-bit image can use
_VALUES = 1 << MAX_BITS
_FILL_VALUES = [0, _VALUES - 1]  # usual values of pixels without data
_FRACTION = 0.9999  # of the values must fit into the used bits, so that a few hot pixels do not darken the image
_CHUNK = 1 << 22  # values per call of np.bincount, which converts to int64


def check_bits(bits: int | None) -> None:
    """Raise an error unless a number of used bits is valid, or None.

    Raises:
        UserError: The number is not 8 to 16.

    Example:
        >>> check_bits(11)
    """
    if bits is not None and not MIN_BITS <= bits <= MAX_BITS:
        raise UserError(f"the used bits of 16-bit images must be {MIN_BITS} to {MAX_BITS}, got {bits}")


def count_values(image: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Count the values of a 16-bit image.

    Args:
        image: Array of any shape.

    Returns:
        (65536,) counts.

    Example:
        >>> count_values(np.array([[3, 3, 5]], np.uint16))[:6].tolist()
        [0, 0, 0, 2, 0, 1]
    """
    flat = image.reshape(-1)
    counts = np.zeros(_VALUES, np.int64)
    for start in range(0, flat.size, _CHUNK):
        counts += np.bincount(flat[start : start + _CHUNK], minlength=_VALUES)
    return counts


def used_bits(counts: NDArray[np.int64]) -> int:
    """Return the number of bits that hold 99.99% of the values, at least 8.

    The values 0 and 65535 usually mark pixels without data, so they are not counted unless there are no other values.

    Args:
        counts: (65536,) counts of :func:`count_values`.

    Example:
        >>> used_bits(count_values(np.arange(2048, dtype=np.uint16)))
        11
    """
    without_fill = counts.copy()
    without_fill[_FILL_VALUES] = 0
    cumulated = np.cumsum(without_fill if without_fill.any() else counts)
    largest = int(np.searchsorted(cumulated, _FRACTION * cumulated[-1]))
    return max(MIN_BITS, largest.bit_length())


def to_8_bit(image: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    """Divide 16-bit values by 2^(bits - 8); larger results become 255.

    Args:
        image: Array of any shape; its content is overwritten.
        bits: Number of used bits, 8 to 16.

    Example:
        >>> to_8_bit(np.array([80, 2047, 60000], np.uint16), bits=11).tolist()
        [10, 255, 255]
    """
    np.right_shift(image, bits - MIN_BITS, out=image)
    np.minimum(image, 255, out=image)
    return image.astype(np.uint8)
