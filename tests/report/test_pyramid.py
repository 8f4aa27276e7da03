"""Tile pyramids compared with means of 2 x 2 pixels, and the memory that they take."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.io.image_reader import ArrayReader, open_image
from rotated_atss.io.png import Image
from rotated_atss.io.reader_interface import ImageReader
from rotated_atss.report.pyramid import TILE_PX, Pyramid, count_levels, iter_tiles, write_pyramid

Tiles = dict[tuple[int, int, int], Image]


def random_image(width: int, height: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read_tiles(reader: ImageReader) -> Tiles:
    tiles = [((level, column, row), tile.copy()) for level, column, row, tile in iter_tiles(reader)]
    assert len(dict(tiles)) == len(tiles), "a tile occurs twice"
    return dict(tiles)


def assemble(tiles: Tiles, level: int) -> Image:
    """Put the tiles of a level together."""
    here = {(column, row): tile for (at, column, row), tile in tiles.items() if at == level}
    columns, rows = (max(position) + 1 for position in zip(*here))
    assert len(here) == columns * rows
    return np.concatenate([np.concatenate([here[x, y] for x in range(columns)], axis=1) for y in range(rows)])


def exact_half(image: Image) -> np.ndarray:
    """Average 2 x 2 pixels in float64, with the last row and column of an odd size repeated."""
    height, width = image.shape[:2]
    half = np.zeros((-(-height // 2), -(-width // 2), 3))
    for dy in range(2):
        for dx in range(2):
            rows = [min(2 * y + dy, height - 1) for y in range(len(half))]
            columns = [min(2 * x + dx, width - 1) for x in range(half.shape[1])]
            half += image[np.ix_(rows, columns)]
    return half / 4


@pytest.mark.parametrize(
    "size_wh", [(1, 1), (512, 512), (513, 512), (512, 513), (1025, 1537), (700, 2600), (2049, 511), (1023, 1024)]
)
def test_every_level_is_the_average_of_the_next(size_wh: tuple[int, int]) -> None:
    image = random_image(*size_wh)
    tiles = read_tiles(ArrayReader(image))
    last = count_levels(*size_wh) - 1
    assert {level for level, _, _ in tiles} == set(range(last + 1))
    assert (assemble(tiles, last) == image).all()
    for level in range(last):
        actual, expected = assemble(tiles, level), exact_half(assemble(tiles, level + 1))
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() <= 0.5
    assert max(tiles[0, 0, 0].shape[:2]) <= TILE_PX


def test_tiles_at_the_border_are_smaller() -> None:
    tiles = read_tiles(ArrayReader(random_image(1030, 600)))
    assert tiles[2, 0, 0].shape == (512, 512, 3)
    assert tiles[2, 2, 0].shape == (512, 6, 3)
    assert tiles[2, 2, 1].shape == (88, 6, 3)
    assert tiles[1, 1, 0].shape == (300, 3, 3)
    assert tiles[0, 0, 0].shape == (150, 258, 3)


class StripeReader(ImageReader):
    """A tall image without pixels in memory, which records the windows that are read."""

    def __init__(self, width: int, height: int) -> None:
        self.path, self.width, self.height = Path("stripes.png"), width, height
        self.windows: list[tuple[int, ...]] = []

    def read(self, window: Sequence[int] | None = None) -> Image:
        assert window is not None, "the whole image was read"
        x_start, y_start, x_stop, y_stop = window
        self.windows.append(tuple(window))
        return np.full((y_stop - y_start, x_stop - x_start, 3), y_start // TILE_PX % 256, np.uint8)


def test_the_image_is_read_once_by_rows_and_memory_does_not_grow_with_the_height() -> None:
    reader = StripeReader(1200, 100_000)
    tracemalloc.start()
    try:
        count = sum(1 for _ in iter_tiles(reader))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [window[1] for window in reader.windows] == list(range(0, 100_000, TILE_PX))
    assert all(window[3] - window[1] <= TILE_PX for window in reader.windows)
    assert count > 196 * 3
    assert peak < 6 * TILE_PX * reader.width * 3


def test_small_images_are_a_single_file(tmp_path: Path) -> None:
    image = cv2.GaussianBlur(random_image(40, 2048), (15, 15), 0)
    assert write_pyramid(ArrayReader(image), tmp_path / "P1") == Pyramid(40, 2048, 0)
    assert [path.name for path in (tmp_path / "P1").iterdir()] == ["image.jpg"]
    decoded = cv2.imread(str(tmp_path / "P1" / "image.jpg"))
    assert np.abs(decoded.astype(int) - image).mean() < 4


def test_tiles_lie_in_a_folder_per_level(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), cv2.GaussianBlur(random_image(2049, 520), (15, 15), 0))
    with open_image(tmp_path / "a.png") as reader:
        pixels, pyramid = reader.read().copy(), write_pyramid(reader, tmp_path / "out")
    assert pyramid == Pyramid(2049, 520, 4)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"0", "1", "2", "3"}
    assert len(list((tmp_path / "out" / "3").iterdir())) == 5 * 2
    tile = cv2.imread(str(tmp_path / "out" / "3" / "3_1.jpg"))
    assert tile.shape == (8, 512, 3)
    assert np.abs(tile.astype(int) - pixels[512:, 1536:2048]).mean() < 6


def test_a_second_call_replaces_the_files(tmp_path: Path) -> None:
    for value in (0, 200):
        write_pyramid(ArrayReader(np.full((8, 8, 3), value, np.uint8)), tmp_path)
    assert cv2.imread(str(tmp_path / "image.jpg")).mean() == pytest.approx(200, abs=2)
