"""Read the rows of a large PNG file from top to bottom, with little memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import cv2
import numpy as np

from rotated_atss.io.image_header import damaged_image_error
from rotated_atss.io.png import Image, deflate_module, has_fast_png, rgb_png_size, unfilter_rows
from rotated_atss.io.png_chunks import HEAD_BYTES, PNG_SIGNATURE, SUPPORTED_CHUNKS

_PIECE_BYTES = 1 << 20  # bytes of the file that are read at once
_DECODE_BYTES = 1 << 24  # bytes of filtered rows that are decoded at once


class PngRows:
    """Read rows of an 8-bit RGB PNG file without interlacing; see :func:`can_read_png_rows`.

    Args:
        path: The file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.png")
        ...     _ = cv2.imwrite(str(path), np.arange(12, dtype=np.uint8).reshape(4, 1, 3))
        ...     if can_read_png_rows(path):
        ...         rows = PngRows(path)
        ...         assert rows.read(1, 3).tolist() == [[[3, 4, 5]], [[6, 7, 8]]]
        ...         rows.close()
    """

    def __init__(self, path: Path) -> None:
        self._path, self._deflate = path, deflate_module()
        self._file = path.open("rb")
        self.width, self.height = rgb_png_size(self._file.read(HEAD_BYTES)) or (0, 0)
        self._row_bytes = 1 + 3 * self.width  # filter type and filtered RGB values
        self._restart()

    def read(self, start: int, stop: int) -> Image:
        """Read rows as (stop - start, W, 3) uint8, BGR.

        If ``start`` is less than ``stop`` of the previous call, the file is decoded again from its first row.

        Raises:
            UnreadableImageError: The file is truncated or damaged.
        """
        if start < self._next_row:
            self._restart()
        try:
            # Rows before ``start`` are not returned, but must be decoded: each row can depend on the row above it.
            while self._next_row < start:
                self._decode(min(self._rows_at_once, start - self._next_row))
            image = np.empty((stop - start, self.width, 3), np.uint8)
            while self._next_row < stop:
                first = self._next_row - start  # an index into ``image``, whose row 0 is row ``start`` of the file
                count = min(self._rows_at_once, stop - self._next_row)
                cv2.cvtColor(self._decode(count), cv2.COLOR_RGB2BGR, dst=image[first : first + count])
        except (self._deflate.error, ValueError, struct.error):
            raise damaged_image_error(self._path) from None
        return image

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def _rows_at_once(self) -> int:
        return max(1, _DECODE_BYTES // self._row_bytes)

    def _restart(self) -> None:
        """Go back to the first row."""
        self._next_row = 0  # the row that is decoded next
        # The row above _next_row, which is needed to decode the next rows. It is stored as a row with filter type 0
        # (no filter), followed by the decoded values. Above the first row, PNG defines all values as 0.
        self._row_above = bytes(self._row_bytes)
        self._inflater = self._deflate.decompressobj()
        self._pieces = _iter_image_data(self._file, self._deflate)
        self._uninflated = b""  # bytes of the last piece that are not inflated yet

    def _decode(self, count: int) -> Image:
        """Decode the next ``count`` rows to (count, W, 3) RGB."""
        filtered = self._row_above + self._inflate(count * self._row_bytes)
        rgb = unfilter_rows(filtered, self.width, count + 1, self._deflate)
        if rgb is None:
            raise ValueError("unknown filter")
        self._row_above = b"\0" + rgb[-1].tobytes()
        self._next_row += count
        return rgb[1:]

    def _inflate(self, length: int) -> bytes:
        """Return the next ``length`` bytes of the filtered rows."""
        parts, missing = [], length
        while missing:
            # Even without new input, the inflater can return bytes: output that the previous call had no room for.
            part = self._inflater.decompress(self._uninflated, missing)
            self._uninflated = self._inflater.unconsumed_tail
            if not part and not self._uninflated:
                self._uninflated = next(self._pieces, b"")
                if not self._uninflated:
                    raise ValueError("truncated")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def can_read_png_rows(path: Path) -> bool:
    """Return whether :class:`PngRows` can read a file.

    The file must be 8-bit RGB without interlacing, and have only chunks in
    :data:`~rotated_atss.io.png_chunks.SUPPORTED_CHUNKS` before its pixels; isal and pyspng must be installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.zeros((4, 1), np.uint8))  # gray
        ...     can_read_png_rows(Path(folder, "a.png"))
        False
    """
    if not has_fast_png():
        return False
    with path.open("rb") as file:
        if rgb_png_size(file.read(HEAD_BYTES)) is None:
            return False
        file.seek(len(PNG_SIGNATURE))
        while True:  # reads one chunk per iteration, until the first chunk with pixels (IDAT)
            head = file.read(8)
            if len(head) < 8:
                return False
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IDAT":
                return True
            if kind not in SUPPORTED_CHUNKS:
                return False
            file.seek(length + 4, 1)  # skips the data and the checksum


def _iter_image_data(file: BinaryIO, deflate: ModuleType) -> Iterator[bytes]:
    """Yield the data of the IDAT chunks in pieces, and verify the checksums of all chunks.

    Raises:
        ValueError: The file is truncated, or a checksum is wrong.
        struct.error: The file is truncated.
    """
    file.seek(len(PNG_SIGNATURE))
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", file.read(8))
        checksum = deflate.crc32(kind)
        while length:
            piece = file.read(min(length, _PIECE_BYTES))
            if not piece:
                raise ValueError("truncated")
            length, checksum = length - len(piece), deflate.crc32(piece, checksum)
            if kind == b"IDAT":
                yield piece
        if struct.unpack(">I", file.read(4)) != (checksum,):
            raise ValueError(f"damaged chunk {kind!r}")
