"""Readers of images by windows."""

import numpy as np
import pytest

from rotated_atss.io import reader_interface
from rotated_atss.io.reader_interface import ArrayReader


def slow_reduced(image: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks one by one; the border is repeated to complete the last ones."""
    height, width = image.shape[:2]
    rows = [[min(y * factor + i, height - 1) for i in range(factor)] for y in range(-(-height // factor))]
    columns = [[min(x * factor + i, width - 1) for i in range(factor)] for x in range(-(-width // factor))]
    return np.array([[image[np.ix_(r, c)].mean((0, 1)) for c in columns] for r in rows])


@pytest.mark.parametrize("factor", [1, 2, 3, 7])
@pytest.mark.parametrize("band_bytes", [1, 1 << 25])
def test_reduced_image_is_the_average_of_blocks(factor, band_bytes, monkeypatch):
    monkeypatch.setattr(reader_interface, "_REDUCE_BYTES", band_bytes)
    image = np.random.default_rng(0).integers(0, 256, (23, 38, 3), dtype=np.uint8)
    reduced = ArrayReader(image).read_reduced(factor)
    assert reduced.dtype == np.uint8
    assert reduced.shape == slow_reduced(image, factor).shape
    assert np.abs(reduced - slow_reduced(image, factor)).max() <= 0.5


def test_reduced_image_is_read_in_bands(monkeypatch):
    monkeypatch.setattr(reader_interface, "_REDUCE_BYTES", 3 * 100 * 40)
    windows = []

    class Reader(ArrayReader):
        def read(self, window=None):
            windows.append(window)
            return super().read(window)

    Reader(np.zeros((95, 100, 3), np.uint8)).read_reduced(4)
    assert windows == [(0, 0, 100, 40), (0, 40, 100, 80), (0, 80, 100, 95)]
