"""EXIF and TIFF orientation: the flips and the exchange of axes that turn the pixels of a file upright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.georeference import Georeference

# Values of the EXIF and TIFF tag Orientation. To turn the pixels of a file upright, first the axes are exchanged if
# swaps_axes is true. Then columns are reversed for _MIRRORED, and rows are reversed for _UPSIDE_DOWN.
UPRIGHT = 1
_MIRRORED = (2, 3, 6, 7)
_UPSIDE_DOWN = (3, 4, 7, 8)


def swaps_axes(orientation: int) -> bool:
    """Return whether an orientation exchanges width and height.

    Example:
        >>> swaps_axes(3), swaps_axes(6)
        (False, True)
    """
    return 5 <= orientation <= 8


def to_file_window(window: Sequence[int], width: int, height: int, orientation: int) -> tuple[int, int, int, int]:
    """Convert a window of the upright image to the window that contains the same pixels in the file.

    Args:
        window: x_start, y_start, x_stop, y_stop in the upright image.
        width: Width of the upright image.
        height: Height of the upright image.
        orientation: EXIF orientation, 1 to 8.

    Returns:
        x_start, y_start, x_stop, y_stop in the file.

    Example:
        >>> to_file_window((0, 0, 5, 2), width=20, height=30, orientation=6)  # rotated by 90 degrees
        (0, 15, 2, 20)
    """
    x_start, y_start, x_stop, y_stop = window
    if orientation in _MIRRORED:
        x_start, x_stop = width - x_stop, width - x_start
    if orientation in _UPSIDE_DOWN:
        y_start, y_stop = height - y_stop, height - y_start
    return (y_start, x_start, y_stop, x_stop) if swaps_axes(orientation) else (x_start, y_start, x_stop, y_stop)


def turn_upright(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn the pixels of a file upright.

    Args:
        image: (H, W, C) pixels as stored in the file.
        orientation: EXIF orientation, 1 to 8.

    Returns:
        (H, W, C), or (W, H, C) if the orientation exchanges the axes.

    Example:
        >>> turn_upright(np.arange(6, dtype=np.uint8).reshape(1, 2, 3), 6).shape
        (2, 1, 3)
    """
    if orientation == UPRIGHT:
        return image
    image = image.transpose(1, 0, 2) if swaps_axes(orientation) else image
    image = image[:, ::-1] if orientation in _MIRRORED else image
    return np.ascontiguousarray(image[::-1] if orientation in _UPSIDE_DOWN else image)


def orient_georeference(georeference: Georeference, width: int, height: int, orientation: int) -> Georeference:
    """Convert the georeference of the pixels in a file to the georeference of the upright image.

    Args:
        georeference: Georeference of the pixels as stored in the file.
        width: Width of the upright image.
        height: Height of the upright image.
        orientation: EXIF orientation, 1 to 8.

    Example:
        >>> orient_georeference(Georeference((2, 0, 10, 0, -2, 20)), 5, 4, orientation=3).transform
        (-2, 0, 20, 0, 2, 12)
    """
    # The transform is x = a * column + b * row + c, y = d * column + e * row + f. To reverse columns or rows, replace
    # column by width - column, or row by height - row.
    a, b, c, d, e, f = georeference.transform
    if swaps_axes(orientation):
        a, b, d, e = b, a, e, d
    if orientation in _MIRRORED:
        a, c, d, f = -a, c + a * width, -d, f + d * width
    if orientation in _UPSIDE_DOWN:
        b, c, e, f = -b, c + b * height, -e, f + e * height
    return replace(georeference, transform=(a, b, c, d, e, f))
