"""Summarize the boxes of a training set, and derive the overlap of windows in prediction from their sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rotated_atss.checkpoints.model_info import WHOLE_IMAGE, TrainingData, Window

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
GAP_QUANTILE = 0.99  # widen_gap() makes windows overlap by this quantile of the longer sides


def summarize_training_data(
    sides: NDArray[np.float64], labels: NDArray[np.int64], classes: Sequence[str], *, tiles: int, images: int | None
) -> TrainingData:
    """Summarize the boxes of a training set.

    Args:
        sides: (N, 2) width and height of the boxes, pixels of the tiles.
        labels: (N,) class indices.
        classes: Class names in the order of the indices.
        tiles: Number of tiles, or of images if they were not split.
        images: Number of images that the tiles were cut from; None if unknown.

    Returns:
        The numbers of tiles and images, the number of objects per class, and quantiles of the longer and of the shorter
        sides, rounded to 0.1 pixels.

    Example:
        >>> sides, labels = np.array([[4.0, 9.0], [20.0, 6.0]]), np.array([1, 1])
        >>> data = summarize_training_data(sides, labels, ["plane", "ship"], tiles=2, images=1)
        >>> data.objects, data.longer_side["0.5"]
        ({'plane': 0, 'ship': 2}, 14.5)
    """
    counts = np.bincount(labels, minlength=len(classes))
    return TrainingData(
        tiles=tiles,
        images=images,
        objects={name: int(count) for name, count in zip(classes, counts)},
        longer_side=_quantiles(sides.max(1)) if len(sides) else {},
        shorter_side=_quantiles(sides.min(1)) if len(sides) else {},
    )


def _quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    return {f"{q:g}": round(float(value), 1) for q, value in zip(QUANTILES, np.quantile(values, QUANTILES))}


def widen_gap(window: Window, data: TrainingData | None) -> Window:
    """Widen the overlap of windows so that nearly every object lies completely in at least one window.

    An object that is cut by the border of a window lies completely in the neighboring window if it is not longer than
    the overlap. The new overlap is the 0.99 quantile of the longer side of the boxes, rounded up, but at most half a
    window, because pixels would otherwise be processed more than four times. If the training images were split with a
    larger overlap, this overlap is kept.

    Args:
        window: Window size and overlap of the split, in pixels.
        data: The training data. If it is None or has no objects, the window is returned unchanged.

    Returns:
        The same window size with the new overlap.

    Example:
        >>> data = TrainingData(tiles=1, images=1, objects={"ship": 1}, longer_side={"0.99": 80.2})
        >>> widen_gap(Window(256, 64), data), widen_gap(Window(128, 32), data)
        (Window(size=256, gap=81), Window(size=128, gap=64))
    """
    object_length = None if data is None else data.longer_side.get(f"{GAP_QUANTILE:g}")
    if window.size == WHOLE_IMAGE or object_length is None:
        return window
    return Window(window.size, max(window.gap, min(math.ceil(object_length), window.size // 2)))
