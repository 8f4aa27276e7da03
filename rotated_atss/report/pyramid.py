"""Write Deep Zoom tile pyramids: an image of any size as small JPEG files at several resolutions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from rotated_atss.io.files import write_bytes
from rotated_atss.io.image_reader import ImageReader
from rotated_atss.io.png import Image
from rotated_atss.io.reader_interface import average_blocks

TILE_PX = 512
JPEG_QUALITY = 85  # 0 to 100
MAX_SINGLE_FILE_PX = 2048
"""Maximum side of images that are written as a single file, pixels."""


@dataclass(frozen=True)
class Pyramid:
    """Size and number of levels of a written pyramid.

    Attributes:
        width: Width of the image, pixels.
        height: Height of the image, pixels.
        levels: Number of levels (resolutions); 0 if the image is a single file. Level 0 is a single tile, and the last
            level has the size of the image. Each level is half as wide and high as the next one, rounded up.
    """

    width: int
    height: int
    levels: int


def count_levels(width: int, height: int) -> int:
    """Count the levels of a pyramid.

    The sides are halved and rounded up until the image fits into a single tile.

    Example:
        >>> count_levels(512, 30), count_levels(513, 30), count_levels(30_000, 30_000)
        (1, 2, 7)
    """
    levels = 1
    while max(width, height) > TILE_PX:
        width, height, levels = math.ceil(width / 2), math.ceil(height / 2), levels + 1
    return levels


def iter_tiles(reader: ImageReader) -> Iterator[tuple[int, int, int, Image]]:
    """Yield the tiles of all levels, reading the image once from top to bottom.

    At most one row of tiles per level is kept in memory, so the memory use does not depend on the height of the image.
    A pixel of a level is the average of 2 x 2 pixels of the next level. If the next level has an odd width or height,
    its last column or row of pixels counts twice.

    Args:
        reader: The open image.

    Yields:
        Level, column, row and pixels (h, w, 3) uint8, BGR. Tiles do not overlap. They have 512 x 512 pixels, but can be
        smaller at the right and the lower border.

    Raises:
        UserError: The pixels cannot be read.

    Example:
        >>> from rotated_atss.io.image_reader import ArrayReader
        >>> reader = ArrayReader(np.zeros((300, 600, 3), np.uint8))
        >>> [(level, column, row, tile.shape[:2]) for level, column, row, tile in iter_tiles(reader)]
        [(1, 0, 0, (300, 512)), (1, 1, 0, (300, 88)), (0, 0, 0, (150, 300))]
    """
    last_level = count_levels(reader.width, reader.height) - 1
    num_tile_rows_of_last_level = math.ceil(reader.height / TILE_PX)
    # For each level, a row of tiles with even index, reduced to half its size. It waits here for the next row of tiles.
    upper_halves: dict[int, Image] = {}
    for row, tile_row in enumerate(reader.iter_rows(TILE_PX)):
        # The loop begins with the last level, which has the size of the image. In each further pass, row and tile_row
        # are the index and the pixels of a row of tiles of the next coarser level.
        for level in range(last_level, -1, -1):
            for column, start in enumerate(range(0, tile_row.shape[1], TILE_PX)):
                yield level, column, row, tile_row[:, start : start + TILE_PX]
            num_tile_rows = math.ceil(num_tile_rows_of_last_level / 2 ** (last_level - level))
            is_last_row = row == num_tile_rows - 1
            reduced = average_blocks(tile_row, 2)
            # rows 2 * i and 2 * i + 1 of this level become row i of the next coarser level
            if row % 2 == 0 and not is_last_row:
                upper_halves[level] = reduced
                break  # the coarser levels need the next row of this level first
            tile_row = np.concatenate([upper_halves.pop(level), reduced]) if row % 2 else reduced
            row //= 2


def write_pyramid(reader: ImageReader, folder: Path) -> Pyramid:
    """Write an image as JPEG files for a viewer that zooms.

    An image of at most 2048 pixels per side is written to the single file ``FOLDER/image.jpg``. For a larger image, the
    tiles of :func:`iter_tiles` are written to ``FOLDER/<level>/<column>_<row>.jpg``.

    Args:
        reader: The open image.
        folder: Folder of the files. Existing files with the same names are replaced.

    Returns:
        The size and the number of levels.

    Raises:
        UserError: The pixels cannot be read, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from rotated_atss.io.image_reader import ArrayReader
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     reader = ArrayReader(np.zeros((600, 2100, 3), np.uint8))
        ...     write_pyramid(reader, Path(folder, "P1")), len(list(Path(folder, "P1").rglob("*.jpg")))
        (Pyramid(width=2100, height=600, levels=4), 16)
    """
    if max(reader.width, reader.height) <= MAX_SINGLE_FILE_PX:
        _write_jpeg(folder / "image.jpg", reader.read())
        return Pyramid(reader.width, reader.height, 0)
    for level, column, row, tile in iter_tiles(reader):
        _write_jpeg(folder / str(level) / f"{column}_{row}.jpg", tile)
    return Pyramid(reader.width, reader.height, count_levels(reader.width, reader.height))


def _write_jpeg(path: Path, image: Image) -> None:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data.tobytes())
