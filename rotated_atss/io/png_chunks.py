"""Find the chunks of PNG files: their kinds and positions, without reading their data."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD_BYTES = 29
"""Length of the signature and the IHDR chunk, without its checksum. IHDR contains the image size and pixel format."""

# Chunks of the files that this package decodes itself: the pixels, and chunks that do not change the pixels that OpenCV
# decodes. Files with any other chunk (orientation, transparent color, animation frames) are decoded by OpenCV.
SUPPORTED_CHUNKS = {
    b"IHDR", b"IDAT", b"IEND", b"bKGD", b"cHRM", b"gAMA", b"iCCP", b"iTXt", b"pHYs", b"sBIT", b"sRGB", b"tEXt",
    b"tIME", b"zTXt",
}  # fmt: skip

_LENGTH_AND_KIND_BYTES = 8
_OVERHEAD_BYTES = 12  # length, kind and checksum, which surround the data of a chunk
_MAX_LEADING_CHUNKS = 256


def iter_leading_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    r"""Iterate over the chunks that precede the pixels (IDAT).

    Stops after 256 chunks, because a malicious file can contain any number of them.

    Args:
        file: The file, open for binary reading.

    Yields:
        Kind of a chunk, and offset of its data in the file.

    Example:
        >>> import io
        >>> length, data, checksum = b"\0\0\0\2", b"\0\7", b"----"
        >>> transparent_color = length + b"tRNS" + data + checksum
        >>> list(iter_leading_chunks(io.BytesIO(PNG_SIGNATURE + transparent_color + b"\0\0\0\0IDAT")))
        [(b'tRNS', 16)]
    """
    position = len(PNG_SIGNATURE)
    for _ in range(_MAX_LEADING_CHUNKS):
        file.seek(position)
        length_and_kind = file.read(_LENGTH_AND_KIND_BYTES)
        if len(length_and_kind) < _LENGTH_AND_KIND_BYTES or length_and_kind[4:] == b"IDAT":
            return
        yield length_and_kind[4:], position + _LENGTH_AND_KIND_BYTES
        position += _OVERHEAD_BYTES + int.from_bytes(length_and_kind[:4], "big")


def has_complete_chunks(path: str | Path) -> bool:
    """Return whether a PNG file contains an IEND chunk, and every chunk up to IEND ends within the file.

    Check this before OpenCV decodes a file. Before OpenCV reads a chunk, it allocates as many bytes as the chunk's
    length field states, up to 2 GiB, even if the file is shorter.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.zeros((2, 3, 3), np.uint8))
        ...     has_complete_chunks(f"{folder}/a.png")
        True
    """
    with Path(path).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        position, size = len(PNG_SIGNATURE), len(data)
        while position + _OVERHEAD_BYTES <= size:
            (length,) = struct.unpack_from(">I", data, position)
            kind = data[position + 4 : position + 8]
            position += _OVERHEAD_BYTES + length
            if kind == b"IEND":
                return position <= size
    return False
