"""Row bands give the pixels of the image and read every row once."""

import numpy as np
import pytest

from rotated_atss.io.image_reader import ImageReader
from rotated_atss.tiling.row_bands import iter_row_bands
from rotated_atss.tiling.windows import sliding_windows


class WatchedReader(ImageReader):
    """An image in memory that records the rows it was asked for."""

    def __init__(self, image):
        self.image, self.rows = image, []
        self.height, self.width = image.shape[:2]

    def read(self, window=None):
        x_start, y_start, x_stop, y_stop = window or (0, 0, self.width, self.height)
        assert (x_start, x_stop) == (0, self.width)
        self.rows += range(y_start, y_stop)
        return self.image[y_start:y_stop].copy()


@pytest.mark.parametrize("chunk_rows", [1, 7, 16, 50, 97, 200])
@pytest.mark.parametrize("grids", [[(32, 8)], [(32, 0), (64, 20)], [(128, 10)]])
def test_windows_equal_the_image_and_rows_are_read_once(grids, chunk_rows):
    image = np.random.default_rng(0).integers(0, 256, (97, 120, 3), dtype=np.uint8)
    reader = WatchedReader(image)
    windows = sliding_windows(120, 97, grids, image_ratio=0.1)
    seen = []
    for indices, band in iter_row_bands(reader, windows, chunk_rows):
        for index in indices.tolist():
            x_start, y_start, x_stop, y_stop = windows[index]
            assert (band.crop(windows[index]) == image[y_start:y_stop, x_start:x_stop]).all()
            seen.append(index)
    assert sorted(seen) == list(range(len(windows)))
    assert reader.rows == list(range(97))


def test_bands_hold_few_rows():
    reader = WatchedReader(np.zeros((4000, 8, 3), np.uint8))
    windows = sliding_windows(8, 4000, [(100, 20)], image_ratio=0)
    rows = [sum(map(len, band.chunks)) for _, band in iter_row_bands(reader, windows, chunk_rows=64)]
    assert max(rows) <= 100 + 2 * 64


def test_part_of_an_image_reads_its_rows_alone():
    reader = WatchedReader(np.zeros((400, 8, 3), np.uint8))
    windows = sliding_windows(8, 400, [(50, 0)], image_ratio=0)
    list(iter_row_bands(reader, windows[windows[:, 1] >= 200], chunk_rows=64))
    assert reader.rows == list(range(192, 400))
