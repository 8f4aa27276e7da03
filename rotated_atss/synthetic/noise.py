"""Create smooth random fields for terrain and lighting."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def value_noise(rng: np.random.Generator, size_wh: tuple[int, int], cell_wh: tuple[float, float]) -> FloatArray:
    """Create a smooth random field by interpolating random values.

    The random values have mean 0 and variance 1. They lie on a grid whose cells have the size ``cell_wh`` in pixels.

    Returns:
        (H, W) with mean near 0. The variance is below 1, because interpolation averages several random values.

    Example:
        >>> value_noise(np.random.default_rng(0), (40, 30), (8.0, 8.0)).shape
        (30, 40)
    """
    width, height = size_wh
    cell_w, cell_h = (max(1.0, side) for side in cell_wh)
    # At the borders of the grid, the interpolation lacks neighbors. Therefore, the grid has two more cells on each
    # side, which are cropped below.
    columns, rows = int(np.ceil(width / cell_w)) + 4, int(np.ceil(height / cell_h)) + 4
    random_values = rng.standard_normal((rows, columns)).astype(np.float32)
    enlarged_wh = round(columns * cell_w), round(rows * cell_h)
    field = cv2.resize(random_values, enlarged_wh, interpolation=cv2.INTER_CUBIC)
    top, left = round(2 * cell_h) - 1, round(2 * cell_w) - 1
    return np.asarray(field[top : top + height, left : left + width], np.float32)


def fractal_noise(
    rng: np.random.Generator,
    size_wh: tuple[int, int],
    cell: float,
    *,
    octaves: int = 4,
    gain: float = 0.55,
    stretch: float = 1.0,
) -> FloatArray:
    """Sum octaves of value noise, each with half the feature size of the previous one.

    Args:
        rng: Random generator.
        size_wh: Width and height of the field.
        cell: Feature size of the first octave, pixels.
        octaves: Number of octaves.
        gain: Amplitude of an octave relative to the previous one.
        stretch: Width of the features relative to their height.

    Returns:
        (H, W) with mean 0 and unit variance.

    Example:
        >>> field = fractal_noise(np.random.default_rng(0), (64, 48), cell=16.0)
        >>> field.shape, round(float(field.std()), 1)
        ((48, 64), 1.0)
    """
    smallest_cell = cell / 2 ** (octaves - 1)
    # If even the smallest features are several pixels wide, the field is created at a lower resolution and enlarged at
    # the end, which is faster.
    shrink = 1
    if smallest_cell >= 6:
        shrink = 4 if smallest_cell >= 12 else 2
    width, height = (math.ceil(side / shrink) for side in size_wh)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        feature_size = cell / shrink / 2**octave
        total += gain**octave * value_noise(rng, (width, height), (feature_size * stretch, feature_size))
    enlarged = cv2.resize(_standardize(total), size_wh, interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, np.float32)


def _standardize(field: FloatArray) -> FloatArray:
    """Shift and scale a field to mean 0 and unit variance."""
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(field))
    scale = 1 / deviation if deviation > 0 else 1.0
    return np.asarray(cv2.addWeighted(field, scale, field, 0.0, -mean * scale), np.float32)
