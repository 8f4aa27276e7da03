"""Chunks of PNG files: signature, kinds and positions, without their content."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD_BYTES = 29
"""Length of the signature and of IHDR without its checksum. They contain size and pixel format."""

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
    r"""Iterate over the chunks before the pixels, at most 256, because a malicious file can have any number of them.

    Args:
        file: The file, open for binary reading.

    Yields:
        Kind of a chunk, and offset of its data in the file.

    Example:
        >>> import io
        >>> list(iter_leading_chunks(io.BytesIO(PNG_SIGNATURE + b"\0\0\0\2tRNS\0\7----" + b"\0\0\0\0IDAT")))
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
    """Return whether all chunks of a PNG file end within the file, and the last one is IEND.

    Check this before OpenCV decodes a file: OpenCV allocates the length that is given for a chunk, up to 2 GiB, before
    it reads the chunk.

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
