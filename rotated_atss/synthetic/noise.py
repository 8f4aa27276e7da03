"""Smooth random fields: the stuff of terrain."""

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def value_noise(rng: np.random.Generator, size_wh: tuple[int, int], cell_wh: tuple[float, float]) -> FloatArray:
    """A field (H, W) of mean near 0 and variance below 1 in which a feature is about ``cell_wh`` pixels large."""
    (width, height), (cell_w, cell_h) = size_wh, (max(1.0, c) for c in cell_wh)
    columns, rows = int(np.ceil(width / cell_w)) + 4, int(np.ceil(height / cell_h)) + 4
    knots = rng.standard_normal((rows, columns)).astype(np.float32)
    # One stretch for the whole grid; the crop of two cells hides the border, where interpolation has no neighbours.
    field = cv2.resize(knots, (round(columns * cell_w), round(rows * cell_h)), interpolation=cv2.INTER_CUBIC)
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
    """Octaves of ``value_noise``, each half as large and ``gain`` times as strong as the one before: (H, W).

    Mean 0, unit variance. ``stretch`` makes features that many times as long across as they are high.
    """
    smallest = cell / 2 ** (octaves - 1)
    shrink = 4 if smallest >= 12 else 2 if smallest >= 6 else 1  # what is smooth need not be made at full size
    width, height = (-(-side // shrink) for side in size_wh)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        size = cell / shrink / 2**octave
        total += gain**octave * value_noise(rng, (width, height), (size * stretch, size))
    return np.asarray(cv2.resize(_unit(total), size_wh, interpolation=cv2.INTER_LINEAR), np.float32)


def _unit(field: FloatArray) -> FloatArray:
    mean, spread = (float(value[0, 0]) for value in cv2.meanStdDev(field))
    scale = 1 / spread if spread > 0 else 1.0
    return np.asarray(cv2.addWeighted(field, scale, field, 0.0, -mean * scale), np.float32)
