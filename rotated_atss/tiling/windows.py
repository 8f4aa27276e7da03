"""Compute sliding windows over an image, as integer coordinates in pixels.

The rules are those of mmrotate's ``img_split.py``, which the published DOTA results use. Windows start every
``size - gap`` pixels, and the last window of a row or column is moved back so that it ends at the border of the image.
A window extends beyond the image only if it is larger than the image. It is dropped if the image fills too little of
it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError

RATIO_TOLERANCE = 0.01
"""Tolerance of the image ratio, the fraction of a window that the image fills.

If no window reaches the required ratio, the windows whose ratio differs from the highest ratio by less than this
tolerance are used, as in mmrotate.
"""
MAX_WINDOWS = 1 << 22
"""Largest number of windows per grid. It limits the memory, because each window takes about 300 bytes."""


def window_starts(length: int, size: int, gap: int) -> list[int]:
    """Compute the starts of the windows along one axis.

    Args:
        length: Length of the image along the axis, pixels. If it is less than ``size``, one window exceeds the image.
        size: Side of the windows, pixels.
        gap: Overlap of neighboring windows, pixels.

    Returns:
        Starts in ascending order. The last window ends at the border of the image.

    Example:
        >>> window_starts(2000, size=1024, gap=200)
        [0, 824, 976]
    """
    if length <= size:
        return [0]
    starts = list(range(0, length - size, size - gap))
    return [*starts, length - size]


def count_starts(length: int, size: int, gap: int) -> int:
    """Count the starts of the windows along one axis (:func:`window_starts`) without listing them.

    Example:
        >>> count_starts(2000, size=1024, gap=200)
        3
    """
    return 1 if length <= size else math.ceil((length - size) / (size - gap)) + 1


def window_grid(width: int, height: int, size: int, gap: int) -> NDArray[np.int64]:
    """Compute the windows of one size over an image, column by column.

    Returns:
        (W, 4), each row x_start, y_start, x_stop, y_stop.

    Example:
        >>> window_grid(150, 100, size=100, gap=20).tolist()
        [[0, 0, 100, 100], [50, 0, 150, 100]]
    """
    starts = [(x, y) for x in window_starts(width, size, gap) for y in window_starts(height, size, gap)]
    corners = np.array(starts, dtype=np.int64)  # (W, 2)
    return np.concatenate([corners, corners + size], axis=1)


def image_ratios(windows: NDArray[np.int64], width: int, height: int) -> NDArray[np.float64]:
    """Compute the fraction of each window that the image fills.

    Args:
        windows: (W, 4), each row x_start, y_start, x_stop, y_stop.
        width: Width of the image, pixels.
        height: Height of the image, pixels.

    Returns:
        (W,) fractions in (0, 1].

    Example:
        >>> import numpy as np
        >>> image_ratios(np.array([[0, 0, 100, 100], [50, 0, 150, 100]]), width=100, height=100).tolist()
        [1.0, 0.5]
    """
    start = np.maximum(windows[:, :2], 0)
    stop = np.minimum(windows[:, 2:], (width, height))
    return (stop - start).prod(axis=1) / (windows[:, 2:] - windows[:, :2]).prod(axis=1)


def sliding_windows(
    width: int,
    height: int,
    sizes_and_gaps: Sequence[tuple[int, int]],
    image_ratio: float = 0.6,
    *,
    where: object = None,
) -> NDArray[np.int64]:
    """Compute the windows into which an image is split.

    Args:
        width: Width of the image, pixels, at least 1.
        height: Height of the image, pixels, at least 1.
        sizes_and_gaps: (size, gap) per grid, ``0 <= gap < size``. A window that is in several grids is returned once.
        image_ratio: Windows are kept if the image fills more than this fraction of their area. If no window satisfies
            this, the windows with the highest fraction (within :data:`RATIO_TOLERANCE`) are kept, so that every image
            has at least one window.
        where: The image, named in the error message.

    Returns:
        (W, 4), each row x_start, y_start, x_stop, y_stop. A window that is larger than the image starts at 0 and
        extends beyond the image on the right or at the bottom.

    Raises:
        UserError: A grid has more than :data:`MAX_WINDOWS` windows, for example because a damaged header declares a
            huge image.

    Example:
        >>> sliding_windows(180, 100, [(100, 20)]).tolist()
        [[0, 0, 100, 100], [80, 0, 180, 100]]
    """
    for size, gap in sizes_and_gaps:
        num_windows = count_starts(width, size, gap) * count_starts(height, size, gap)
        if num_windows > MAX_WINDOWS:
            what = (
                f"an image can have at most {MAX_WINDOWS:,} windows of one size, "
                f"got {num_windows:,} of {size} px over {width} x {height} px"
            )
            raise UserError(what, where=where, hint="choose a larger size or a smaller gap, or divide the image")
    grids = [window_grid(width, height, size, gap) for size, gap in sizes_and_gaps]
    windows = _unique_rows(np.concatenate(grids))  # grids of different gaps can have windows in common
    ratios = image_ratios(windows, width, height)
    keep = ratios > image_ratio
    if not keep.any():
        keep = ratios.max() - ratios < RATIO_TOLERANCE
    return windows[keep]


def sizes_at_rates(sizes_and_gaps: Sequence[tuple[int, int]], rates: Sequence[float]) -> list[tuple[int, int]]:
    """Divide window sizes and gaps by each rate, and round down.

    The windows can be cut from the original image. Resized to the original window size, they show the image at the
    scales ``rates``.

    Example:
        >>> sizes_at_rates([(1024, 200)], rates=[0.5, 1.0])
        [(2048, 400), (1024, 200)]
    """
    return [(int(size / rate), int(gap / rate)) for rate in rates for size, gap in sizes_and_gaps]


def _unique_rows(windows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Remove duplicates from windows (W, 4) without changing their order."""
    _, first_rows = np.unique(windows, axis=0, return_index=True)
    return windows[np.sort(first_rows)]
