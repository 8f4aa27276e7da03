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


class Rows(Protocol):
    """Interface of the rows of an image file, such as :class:`rotated_atss.io.png_rows.PngRows`."""

    width: int
    height: int

    def read(self, start: int, stop: int) -> Image:
        """Read rows as (stop - start, W, 3) uint8, BGR."""

    def close(self) -> None:
        """Release the file."""


class RowBuffer:
    """Buffer of the rows of the last window: rows that the next window covers as well are not read again.

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
            if has_full_width and not self._holds(y_start):  # no later window needs these rows again
                return self._read(y_start, y_stop)
            self._move(y_start, y_stop)
        return self._rows[y_start - self._start : y_stop - self._start, x_start:x_stop].copy()

    def _holds(self, row: int) -> bool:
        return self._start <= row < self._start + len(self._rows)

    def _move(self, start: int, stop: int) -> None:
        """Buffer the rows from ``start`` to ``stop``; those that are in the buffer already are not read again."""
        kept = self._rows[start - self._start :] if self._holds(start) else self._rows[:0]
        kept = kept[: stop - start]
        if len(self._rows) != stop - start:
            self._rows = np.empty((stop - start, *self._rows.shape[1:]), np.uint8)
        self._rows[: len(kept)] = kept
        self._start, first = start, start + len(kept)
        while first < stop:
            end = min((first // self._step + 1) * self._step, stop)  # at the end of a block, to decode it once
            self._rows[first - start : end - start] = self._read(first, end)
            first = end


class RowReader(ImageReader):
    """An image whose rows are decoded from top to bottom.

    Args:
        path: The file.
        rows: Decoder of its rows.
        bands: Samples per pixel in the file.
        georeference: Map position of the pixels.
    """

    access: Access = "sequential"

    def __init__(self, path: Path, rows: Rows, bands: int, georeference: Georeference | None = None) -> None:
        self.path, self.width, self.height, self.bands = path, rows.width, rows.height, bands
        self.georeference = georeference
        self._rows, self._buffer = rows, RowBuffer(rows.read, rows.width)

    def read(self, window: Sequence[int] | None = None) -> Image:
        """Read a window as (h, w, 3) uint8, BGR."""
        try:
            return self._buffer.read((0, 0, self.width, self.height) if window is None else window)
        except MemoryError:
            what = f"the image is too large to read, got {self.width} x {self.height} pixels"
            raise UserError(what, where=self.path, hint="read smaller windows") from None

    def close(self) -> None:
        """Close the file."""
        self._rows.close()
