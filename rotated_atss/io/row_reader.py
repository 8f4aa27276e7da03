"""Windows of images whose rows are decoded from top to bottom."""

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

_ROWS_AT_ONCE = 128  # rows per call of a decoder, rounded up to whole blocks


class RowDecoder(Protocol):
    """Interface of a decoder of the rows of an image file, such as :class:`rotated_atss.io.png_rows.PngRows`."""

    width: int
    height: int

    def read(self, start: int, stop: int) -> Image:
        """Read rows as (stop - start, W, 3) uint8, BGR."""

    def close(self) -> None:
        """Release the file."""


class RowBuffer:
    """Reader of windows that buffers the rows of the last window, so that the next window does not read them again.

    Args:
        read: Function that returns the rows ``start`` to ``stop`` of the image as (stop - start, W, 3).
        width: Width of the image in pixels.
        block_rows: Number of rows that the file stores together; as far as possible, whole blocks are read.

    Example:
        >>> image = np.arange(8, dtype=np.uint8)[:, None, None].repeat(4, axis=1).repeat(3, axis=2)
        >>> buffer = RowBuffer(lambda start, stop: image[start:stop], width=4)
        >>> buffer.read((0, 0, 2, 4)).shape, buffer.read((1, 2, 4, 6))[:, 0, 0].tolist()
        ((4, 2, 3), [2, 3, 4, 5])
    """

    def __init__(self, read: Callable[[int, int], Image], width: int, block_rows: int = 1) -> None:
        self._read = read
        self._step = math.ceil(_ROWS_AT_ONCE / block_rows) * block_rows  # rows per call of ``read``
        self._rows, self._start = np.empty((0, width, 3), np.uint8), 0  # buffered rows, and index of the first one

    def read(self, window: Sequence[int]) -> Image:
        """Read a window as (h, w, 3) uint8, BGR."""
        x_start, y_start, x_stop, y_stop = window
        is_buffered = self._start <= y_start and y_stop <= self._start + len(self._rows)
        if not is_buffered:
            has_full_width = x_stop - x_start == self._rows.shape[1]
            # A window of the full width has no neighbors that need the same rows. It bypasses the buffer, unless its
            # first rows are buffered already.
            if has_full_width and not self._is_row_buffered(y_start):
                return self._read(y_start, y_stop)
            self._fill(y_start, y_stop)
        return self._rows[y_start - self._start : y_stop - self._start, x_start:x_stop].copy()

    def _is_row_buffered(self, row: int) -> bool:
        return self._start <= row < self._start + len(self._rows)

    def _fill(self, start: int, stop: int) -> None:
        """Buffer the rows from ``start`` to ``stop``; those that are in the buffer already are not read again."""
        shared_rows = self._rows[start - self._start :] if self._is_row_buffered(start) else self._rows[:0]
        shared_rows = shared_rows[: stop - start]
        if len(self._rows) != stop - start:
            self._rows = np.empty((stop - start, *self._rows.shape[1:]), np.uint8)
        self._rows[: len(shared_rows)] = shared_rows  # NumPy copies overlapping slices correctly
        self._start = start
        next_row = start + len(shared_rows)
        while next_row < stop:
            end = min((next_row // self._step + 1) * self._step, stop)  # at the end of a block, to decode it once
            self._rows[next_row - start : end - start] = self._read(next_row, end)
            next_row = end


class RowReader(ImageReader):
    """An image whose rows are decoded from top to bottom.

    Args:
        path: The file.
        decoder: Decoder of its rows.
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
            what = f"the image is too large to read, got {self.width} x {self.height} pixels"
            raise UserError(what, where=self.path, hint="read smaller windows") from None

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()
