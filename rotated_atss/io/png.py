"""PNG files of colour images, written and read fast and without loss.

Nearly all the time of a PNG goes into deflate and into undoing the filters of its rows. The package ``isal`` deflates
and inflates two to four times faster than the zlib inside OpenCV, ``pyspng`` undoes filters three times faster; both
are used where they are installed, and the pixels are the same.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Bytes = bytes | memoryview

# Larger images are not read here: beside the pixels their inflated rows and a second copy of those lie in memory.
MAX_PIXELS = 1 << 26

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EIGHT_BIT_RGB = struct.pack(">BBBBB", 8, 2, 0, 0, 0)  # depth, colour type, compression, filters, no interlace
_UP = 2  # the filter that stores the difference to the row above: the best one on aerial images that needs no search
_LONGEST_STORED = 0xFFFF  # bytes of a deflate block that is not compressed (RFC 1951, 3.2.4)
# Chunks that change no pixel as OpenCV reads them. Any other (an orientation, a transparent colour, frames of an
# animation) leaves the file to OpenCV.
_HARMLESS = {b"IHDR", b"IDAT", b"IEND", b"bKGD", b"cHRM", b"gAMA", b"iCCP", b"iTXt", b"pHYs", b"sBIT", b"sRGB", b"tEXt"}
_HARMLESS |= {b"tIME", b"zTXt"}


def encode_png(image: Image) -> bytes:
    """The PNG file of an image (H, W, 3), uint8, BGR."""
    isal = _isal()
    return _encode_with_opencv(image) if isal is None else _encode_with(isal, image)


def decode_png(data: bytes) -> Image | None:
    """The image (H, W, 3), uint8, BGR in a PNG file, as ``cv2.imdecode`` reads it, but two times as fast or more.

    Returns:
        None where that is OpenCV's business: the packages for it are not installed, the file is not of 8-bit RGB
        without interlace, it is larger than :data:`MAX_PIXELS`, or anything about it is odd or damaged.
    """
    isal = _isal()
    size = _plain_size(data)
    if isal is None or size is None:
        return None
    width, height = size
    try:
        deflated = b"".join(_checked_rows(memoryview(data), isal))
        inflated = isal.decompress(deflated, 15, height * (1 + 3 * width))
    except (isal.error, ValueError, struct.error):
        return None
    if len(inflated) != height * (1 + 3 * width):
        return None
    rows = np.frombuffer(inflated, np.uint8).reshape(height, -1)
    rgb = _unfiltered_up(rows) if (rows[:, 0] == _UP).all() else _unfiltered(inflated, width, height, isal)
    return None if rgb is None else np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), dtype=np.uint8)


def readable_png(head: bytes) -> bool:
    """Whether a file that begins so (29 bytes or more) is of the kind and size that :func:`decode_png` reads."""
    return _isal() is not None and _plain_size(head) is not None


@cache
def _isal() -> ModuleType | None:
    return _module("isal.isal_zlib")


@cache
def _pyspng() -> ModuleType | None:
    return _module("pyspng")


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _encode_with_opencv(image: Image) -> bytes:
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # from OpenCV 4.11 on; a little faster and smaller than its default filter
        settings += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    _, data = cv2.imencode(".png", image, settings)
    return data.tobytes()


def _encode_with(deflate: ModuleType, image: Image) -> bytes:
    height, width = image.shape[:2]
    return png_file(width, height, [deflate.compress(_filtered_rows(image), 1)], deflate)


def png_file(width: int, height: int, rows: list[Bytes], deflate: ModuleType) -> bytes:
    """The file of an 8-bit RGB image whose filtered rows are deflated already, in one piece or in several."""
    header: list[Bytes] = [struct.pack(">II", width, height), _EIGHT_BIT_RGB]
    chunks: tuple[tuple[bytes, list[Bytes]], ...] = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", []))
    return b"".join([_SIGNATURE, *(part for kind, data in chunks for part in _chunk(kind, data, deflate))])


def _filtered_rows(image: Image) -> Image:
    """(H, W, 3) BGR -> (H, 1 + 3 W): the filter's number, then the row in RGB less the row above."""
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).reshape(image.shape[0], -1)
    rows = np.empty((rgb.shape[0], 1 + rgb.shape[1]), dtype=np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = rgb[0]
    np.subtract(rgb[1:], rgb[:-1], out=rows[1:, 1:])  # wraps around, as the format wants
    return rows


def _chunk(kind: bytes, parts: list[Bytes], deflate: ModuleType) -> list[Bytes]:
    checksum = deflate.crc32(kind)
    for part in parts:
        checksum = deflate.crc32(part, checksum)
    return [struct.pack(">I", sum(map(len, parts))), kind, *parts, struct.pack(">I", checksum)]


def _plain_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of what :func:`decode_png` reads; None of anything else."""
    if len(data) < 29 or data[:8] != _SIGNATURE or data[12:16] != b"IHDR" or data[24:29] != _EIGHT_BIT_RGB:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return (width, height) if 0 < width * height <= MAX_PIXELS else None


def _checked_rows(data: memoryview, deflate: ModuleType) -> Iterator[memoryview]:
    """What the IDAT chunks hold.

    Raises:
        ValueError: A checksum does not fit, the end is missing, or a chunk is not one of ``_HARMLESS``.
        struct.error: The file ends within a chunk.
    """
    start, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, start)
        kind, body = bytes(data[start + 4 : start + 8]), data[start + 8 : start + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, start + 8 + length)
        if kind not in _HARMLESS or checksum != deflate.crc32(body, deflate.crc32(kind)):
            raise ValueError(f"{kind!r}")
        if kind == b"IDAT":
            yield body
        start += 12 + length


def _unfiltered_up(rows: Image) -> Image:
    """(H, 1 + 3 W) rows that all have the filter up -> (H, W, 3)."""
    pixels = rows[:, 1:].copy()
    for above, row in zip(pixels, pixels[1:]):  # a loop: numpy's accumulate works down the columns, ten times slower
        np.add(row, above, out=row)
    return pixels.reshape(len(pixels), -1, 3)


def _unfiltered(inflated: bytes, width: int, height: int, deflate: ModuleType) -> Image | None:
    """(H, W, 3) of rows with any filters: packed again without compression, as a PNG decoder takes nothing else."""
    pyspng = _pyspng()
    if pyspng is None:
        return None
    try:
        pixels = pyspng.load(png_file(width, height, _stored(inflated, deflate), deflate), format="RGB")
    except RuntimeError:  # an unknown filter
        return None
    return np.asarray(pixels, dtype=np.uint8)


def _stored(data: bytes, deflate: ModuleType) -> list[Bytes]:
    """A zlib stream (RFC 1950) that holds ``data`` as it is."""
    stream: list[Bytes] = [b"\x78\x01"]
    view = memoryview(data)
    for start in range(0, len(data), _LONGEST_STORED):
        part = view[start : start + _LONGEST_STORED]
        last = start + len(part) == len(data)
        stream += [struct.pack("<BHH", last, len(part), len(part) ^ _LONGEST_STORED), part]
    return [*stream, struct.pack(">I", deflate.adler32(data))]
