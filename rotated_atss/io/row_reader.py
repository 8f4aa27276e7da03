"""Read windows of images that must be decoded row by row from the top."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io.georeference import Georeference
from rotated_atss.io.png import Image
from rotated_atss.io.reader_interface import Access, ImageReader

_ROWS_AT_ONCE = 128  # A decoder reads this number of rows per call, rounded up to whole blocks.


class RowDecoder(Protocol):
    """Interface of decoders that read the rows of an image file, such as :class:`rotated_atss.io.png_rows.PngRows`."""

    width: int
    height: int

    def read(self, start: int, stop: int) -> Image:
        """Read rows as (stop - start, W, 3) uint8, BGR."""

    def close(self) -> None:
        """Release the file."""


class RowBuffer:
    """Read windows of an image, and keep the rows of the last window, because the next window may need them too.

    Args:
        read: Function that returns the rows ``start`` to ``stop`` of the image as (stop - start, W, 3).
        width: Width of the image in pixels.
        block_rows: Number of rows that the file stores together as a block. Where possible, calls of ``read`` end at
            the end of a block, so that each block is decoded only once.

    Example:
        >>> image = np.arange(8, dtype=np.uint8)[:, None, None].repeat(4, axis=1).repeat(3, axis=2)
        >>> buffer = RowBuffer(lambda start, stop: image[start:stop], width=4)
        >>> buffer.read((0, 0, 2, 4)).shape
        (4, 2, 3)
        >>> buffer.read((1, 2, 4, 6))[:, 0, 0].tolist()  # rows 2 and 3 are in the buffer
        [2, 3, 4, 5]
    """

    def __init__(self, read: Callable[[int, int], Image], width: int, block_rows: int = 1) -> None:
        self._read = read
        self._step = math.ceil(_ROWS_AT_ONCE / block_rows) * block_rows  # rows per call of ``read``
        self._rows = np.empty((0, width, 3), np.uint8)  # the buffered rows
        self._start = 0  # the index in the image of the first buffered row

    def read(self, window: Sequence[int]) -> Image:
        """Read a window as (h, w, 3) uint8, BGR."""
        x_start, y_start, x_stop, y_stop = window
        is_buffered = self._start <= y_start and y_stop <= self._start + len(self._rows)
        if not is_buffered:
            has_full_width = x_stop - x_start == self._rows.shape[1]
            # A window of the full width has no neighbors that need the same rows. It bypasses the buffer, unless the
            # buffer already contains its first row.
            if has_full_width and not self._is_row_buffered(y_start):
                return self._read(y_start, y_stop)
            self._fill(y_start, y_stop)
        return self._rows[y_start - self._start : y_stop - self._start, x_start:x_stop].copy()

    def _is_row_buffered(self, row: int) -> bool:
        return self._start <= row < self._start + len(self._rows)

    def _fill(self, start: int, stop: int) -> None:
        """Fill the buffer with the rows from ``start`` to ``stop``, and reuse the first rows if they are buffered."""
        if self._is_row_buffered(start):
            reused_rows = self._rows[start - self._start :][: stop - start]
        else:
            reused_rows = self._rows[:0]
        if len(self._rows) != stop - start:
            self._rows = np.empty((stop - start, *self._rows.shape[1:]), np.uint8)
        self._rows[: len(reused_rows)] = reused_rows  # NumPy copies overlapping slices correctly
        self._start = start
        next_row = start + len(reused_rows)
        while next_row < stop:
            end_of_block = (next_row // self._step + 1) * self._step
            end = min(end_of_block, stop)
            self._rows[next_row - start : end - start] = self._read(next_row, end)
            next_row = end


class RowReader(ImageReader):
    """An image whose rows are decoded from top to bottom.

    Args:
        path: The file.
        decoder: Decoder that reads the rows of the file.
        bands: Samples per pixel in the file.
        georeference: Map position of the pixels.
    """

    access: Access = "sequential"

    def __init__(self, path: Path, decoder: RowDecoder, bands: int, georeference: Georeference | None = None) -> None:
        self.path, self.width, self.height, self.bands = path, decoder.width, decoder.height, bands
        self.georeference = georeference
        self._decoder, self._buffer = decoder, RowBuffer(decoder.read, decoder.width)

    def read(self, window: Sequence[int] | None = None) -> Image:
        """Read a window as (h, w, 3) uint8, BGR."""
        try:
            return self._buffer.read((0, 0, self.width, self.height) if window is None else window)
        except MemoryError:
            what = f"{self.width} x {self.height} pixels do not fit into the memory"
            raise UserError(what, where=self.path, hint="read smaller windows") from None

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()
