"""Read the windows of an image from top to bottom, with every pixel read once and few rows in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.image_reader import ImageReader
from rotated_atss.io.png import Image

CHUNK_ROWS = 512  # multiple of the usual block heights 128, 256 and 512, so that no block is decoded twice
_ONE_CHUNK_PIXELS = 1 << 24  # up to this size (50 MB) the whole image is one chunk, and windows are views of it


@dataclass(frozen=True)
class RowBand:
    """Consecutive rows of an image.

    Attributes:
        y_start: First row, in the coordinates of the image.
        chunks: The rows from top to bottom, divided into arrays (h, W, 3), uint8, BGR. Neighboring bands share chunks.
    """

    y_start: int
    chunks: tuple[Image, ...]

    def crop(self, window: Sequence[int]) -> Image:
        """Return the part of a window that lies inside the image: (h, w, 3) uint8, BGR.

        Args:
            window: x_start, y_start, x_stop, y_stop in the image; x_stop and y_stop can exceed the image.

        Example:
            >>> rows = np.arange(8, dtype=np.uint8)[:, None, None].repeat(3, axis=2)  # each pixel is its row number
            >>> RowBand(2, (rows[2:5], rows[5:8])).crop((0, 4, 2, 9))[:, 0, 0].tolist()
            [4, 5, 6, 7]
        """
        x_start, y_start, x_stop, y_stop = window
        crops, chunk_start = [], self.y_start
        for chunk in self.chunks:
            crop = chunk[max(y_start - chunk_start, 0) : max(y_stop - chunk_start, 0), x_start:x_stop]
            if len(crop):
                crops.append(crop)
            chunk_start += len(chunk)
        return crops[0] if len(crops) == 1 else np.concatenate(crops)


def iter_row_bands(
    reader: ImageReader, windows: NDArray[np.int64], chunk_rows: int | None = None
) -> Iterator[tuple[NDArray[np.int64], RowBand]]:
    """Yield the windows of an image from top to bottom, together with the rows that contain them.

    The rows are read in chunks from top to bottom, and each chunk is read once. Formats that can only be decoded from
    top to bottom are therefore decoded once. The memory depends on the height of the windows, not of the image.

    Args:
        reader: The image.
        windows: (W, 4) of x_start, y_start, x_stop, y_stop; x_stop and y_stop can exceed the image.
        chunk_rows: Rows per chunk; None reads a small image in one chunk and others in chunks of :data:`CHUNK_ROWS`.

    Yields:
        (k,) indices of windows that start in the same row, and the band of rows that contains them. If the whole image
        is one chunk, a single band contains all windows.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> from rotated_atss.io.image_reader import open_image
        >>> windows = np.array([[0, 0, 8, 8], [0, 6, 8, 14], [4, 0, 12, 8]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.zeros((14, 12, 3), np.uint8))
        ...     with open_image(f"{folder}/a.png") as image:
        ...         bands = iter_row_bands(image, windows, chunk_rows=4)
        ...         [(indices.tolist(), len(band.chunks)) for indices, band in bands]
        [([0, 2], 2), ([1], 3)]
    """
    if chunk_rows is None:
        is_small = reader.width * reader.height <= _ONE_CHUNK_PIXELS
        chunk_rows = reader.height if is_small else CHUNK_ROWS
    if reader.height <= chunk_rows:
        yield np.arange(len(windows)), RowBand(0, (reader.read(),))
        return
    chunks: dict[int, Image] = {}  # first row -> chunk
    for y_start in np.unique(windows[:, 1]).tolist():
        indices = np.flatnonzero(windows[:, 1] == y_start)
        y_stop = min(int(windows[indices, 3].max()), reader.height)
        first_row = y_start // chunk_rows * chunk_rows
        # windows are visited in ascending order of y_start, so chunks above first_row are not needed any more
        chunks = {top: chunk for top, chunk in chunks.items() if top >= first_row}
        for top in range(first_row, y_stop, chunk_rows):
            if top not in chunks:
                chunks[top] = reader.read((0, top, reader.width, min(top + chunk_rows, reader.height)))
        yield indices, RowBand(first_row, tuple(chunks.values()))  # the dict has the chunks from top to bottom
