"""Where the windows of an image lie: integers in, integers out, no pixels.

The rule is the one of mmrotate's ``img_split.py``, on which the published DOTA results rest: windows start every
``size - gap`` pixels, the last one of a row or column is pulled back to the border, and windows that show too little
image are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Where no window shows enough image, those that come this near to the fullest one stay.
NEAR_FULLEST = 0.01


def window_starts(length: int, size: int, gap: int) -> list[int]:
    """Starts of the windows along one axis of ``length`` pixels.

    A shorter axis gets the one window at 0, which then reaches past the border. ``gap`` is the overlap of neighbours.
    """
    if length <= size:
        return [0]
    starts = list(range(0, length - size, size - gap))
    return [*starts, length - size]


def window_grid(width: int, height: int, size: int, gap: int) -> NDArray[np.int64]:
    """All windows of one size over an image: (W, 4) of x_start, y_start, x_stop, y_stop, column by column."""
    starts = [(x, y) for x in window_starts(width, size, gap) for y in window_starts(height, size, gap)]
    corner = np.array(starts, dtype=np.int64)  # (W, 2)
    return np.concatenate([corner, corner + size], axis=1)


def image_ratios(windows: NDArray[np.int64], width: int, height: int) -> NDArray[np.float64]:
    """The share of each window that the image fills: (W, 4) -> (W,) in (0, 1]."""
    start = np.maximum(windows[:, :2], 0)
    stop = np.minimum(windows[:, 2:], (width, height))
    return (stop - start).prod(axis=1) / (windows[:, 2:] - windows[:, :2]).prod(axis=1)


def sliding_windows(
    width: int, height: int, sizes_and_gaps: Sequence[tuple[int, int]], image_ratio: float = 0.6
) -> NDArray[np.int64]:
    """The windows that an image is cut into.

    Args:
        width, height: Of the image, pixels, at least 1.
        sizes_and_gaps: One grid each; ``0 <= gap < size``. The same window from two grids counts once.
        image_ratio: Windows filled by more than this share stay, over all grids together. Where none is, the fullest
            stay, so every image gives a window.

    Returns:
        (W, 4) of x_start, y_start, x_stop, y_stop. Windows reach past the right and lower border of a smaller image.
    """
    grids = [window_grid(width, height, size, gap) for size, gap in dict.fromkeys(sizes_and_gaps)]
    windows = _without_repeats(np.concatenate(grids))
    ratios = image_ratios(windows, width, height)
    full_enough = ratios > image_ratio
    if not full_enough.any():
        full_enough = ratios.max() - ratios < NEAR_FULLEST
    return windows[full_enough]


def sizes_at_rates(sizes_and_gaps: Sequence[tuple[int, int]], rates: Sequence[float]) -> list[tuple[int, int]]:
    """Window sizes and gaps at each rate, without resampling: a rate of 0.5 takes windows twice as large."""
    return [(int(size / rate), int(gap / rate)) for rate in rates for size, gap in sizes_and_gaps]


def _without_repeats(windows: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first = np.unique(windows, axis=0, return_index=True)
    return windows[np.sort(first)]
