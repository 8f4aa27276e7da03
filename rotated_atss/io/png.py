"""Fast lossless encoding and decoding of PNG color images.

A PNG codec spends most of its time on deflate and on the row filters. The optional packages ``isal`` (deflate) and
``pyspng`` (filters) are faster than the code that OpenCV uses, and give the same pixels. With both packages,
``rotated-atss split`` takes half the time (``benchmarks/bench_split.py``), and a tile is read in 6 ms instead of 14 ms
(measured with version 0.1.0).
"""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.png_chunks import HEAD_BYTES, PNG_SIGNATURE, SUPPORTED_CHUNKS

BytesLike = bytes | memoryview
Image = NDArray[np.uint8]
"""Pixels (H, W, 3), BGR unless stated otherwise."""

MAX_PIXELS = 1 << 26
"""Pixels of the largest image that :func:`decode_png` supports.

The limit bounds the memory, because decoding keeps the pixels, the inflated rows and a copy of the rows.
"""

_EIGHT_BIT_RGB = struct.pack(">BBBBB", 8, 2, 0, 0, 0)  # bit depth, color type, compression, filter, interlace
# Filter types. "Up" stores differences from the row above. The encoder uses it for all rows, because a search for the
# best filter of each row takes time, and "up" is the best single filter for aerial images.
_NO_FILTER, _UP = 0, 2
_WINDOW_BITS = 15  # the largest window of deflate, so that every zlib stream can be inflated
_MAX_STORED = 0xFFFF  # bytes of an uncompressed deflate block (RFC 1951, section 3.2.4)


def encode_png(image: Image) -> bytes:
    """Encode an image (H, W, 3) uint8, BGR, as PNG.

    Example:
        >>> encode_png(np.zeros((2, 3, 3), np.uint8))[1:4]
        b'PNG'
    """
    isal = _isal()
    return _encode_with_opencv(image) if isal is None else _encode_with_deflate(isal, image)


def decode_png(data: bytes) -> Image | None:
    """Decode a PNG file to the same pixels as ``cv2.imdecode``, but faster.

    Returns:
        (H, W, 3) uint8, BGR. None if OpenCV must decode the file, because

        - a package that it needs is not installed,
        - it is not 8-bit RGB, is interlaced or is damaged,
        - it has more than :data:`MAX_PIXELS` pixels, or
        - it has a chunk that is not in :data:`~rotated_atss.io.png_chunks.SUPPORTED_CHUNKS`.

    Example:
        >>> data = encode_png(np.zeros((2, 3, 3), np.uint8))
        >>> image = decode_png(data)
        >>> if image is None:
        ...     image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        >>> image.shape
        (2, 3, 3)
    """
    isal = _isal()
    size = rgb_png_size(data)
    if isal is None or size is None or size[0] * size[1] > MAX_PIXELS:
        return None
    width, height = size
    inflated_bytes = height * (1 + 3 * width)  # each row has a byte for the filter type, and the filtered RGB values
    try:
        deflated = b"".join(_iter_image_data(memoryview(data), isal))
        inflated = isal.decompress(deflated, _WINDOW_BITS, inflated_bytes)
    except (isal.error, ValueError, struct.error):
        return None
    if len(inflated) != inflated_bytes:
        return None
    rgb = unfilter_rows(inflated, width, height, isal)
    return None if rgb is None else np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), dtype=np.uint8)


def can_decode_png(head: bytes) -> bool:
    """Return whether :func:`decode_png` supports the pixel format and size of a PNG file.

    Args:
        head: At least the first :data:`~rotated_atss.io.png_chunks.HEAD_BYTES` bytes of the file.

    Example:
        >>> can_decode_png(b"not a PNG file")
        False
    """
    size = rgb_png_size(head)
    return _isal() is not None and size is not None and size[0] * size[1] <= MAX_PIXELS


def has_fast_png() -> bool:
    """Return whether the optional packages isal and pyspng are installed.

    Example:
        >>> has_fast_png() in (True, False)
        True
    """
    return _isal() is not None and _pyspng() is not None


def deflate_module() -> ModuleType:
    """Return isal's implementation of zlib, or zlib itself if isal is not installed.

    Example:
        >>> deflate_module().crc32(b"IEND")
        2923585666
    """
    return _isal() or zlib


@cache
def _isal() -> ModuleType | None:
    return _import_optional("isal.isal_zlib")


@cache
def _pyspng() -> ModuleType | None:
    return _import_optional("pyspng")


def _import_optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _encode_with_opencv(image: Image) -> bytes:
    flags = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # in OpenCV 4.11 and later; slightly faster, and the files are smaller
        flags += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    _, data = cv2.imencode(".png", image, flags)
    return data.tobytes()


def _encode_with_deflate(deflate: ModuleType, image: Image) -> bytes:
    height, width = image.shape[:2]
    return assemble_png(width, height, [deflate.compress(_filter_rows(image), 1)], deflate)


def assemble_png(width: int, height: int, image_data: list[BytesLike], deflate: ModuleType) -> bytes:
    r"""Assemble the PNG file of an 8-bit RGB image.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        image_data: The deflated filtered rows, in one or several parts.
        deflate: Module with ``crc32``, such as :mod:`zlib` or ``isal.isal_zlib``.

    Example:
        >>> import zlib
        >>> data = assemble_png(1, 1, [zlib.compress(b"\0\1\2\3")], zlib)
        >>> cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).tolist()
        [[[3, 2, 1]]]
    """
    header: list[BytesLike] = [struct.pack(">II", width, height), _EIGHT_BIT_RGB]
    chunks: tuple[tuple[bytes, list[BytesLike]], ...] = ((b"IHDR", header), (b"IDAT", image_data), (b"IEND", []))
    file_parts: list[BytesLike] = [PNG_SIGNATURE]
    for kind, data in chunks:
        file_parts += _chunk_parts(kind, data, deflate)
    return b"".join(file_parts)


def _filter_rows(image: Image) -> NDArray[np.uint8]:
    """Apply the filter "up" to an image (H, W, 3), BGR.

    Returns:
        (H, 1 + 3 W): per row, the filter type and the RGB differences from the row above.
    """
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).reshape(image.shape[0], -1)
    rows = np.empty((rgb.shape[0], 1 + rgb.shape[1]), dtype=np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = rgb[0]
    np.subtract(rgb[1:], rgb[:-1], out=rows[1:, 1:])  # modulo 256, as in the PNG specification
    return rows


def _chunk_parts(kind: bytes, parts: list[BytesLike], deflate: ModuleType) -> list[BytesLike]:
    """Return a chunk as a list of length, kind, data and checksum, so that its data (``parts``) is not copied."""
    checksum = deflate.crc32(kind)
    for part in parts:
        checksum = deflate.crc32(part, checksum)
    return [struct.pack(">I", sum(map(len, parts))), kind, *parts, struct.pack(">I", checksum)]


def rgb_png_size(head: bytes) -> tuple[int, int] | None:
    """Return width and height from the head of a PNG file; None if the file is not 8-bit RGB without interlacing.

    Args:
        head: At least the first :data:`~rotated_atss.io.png_chunks.HEAD_BYTES` bytes of the file.

    Example:
        >>> rgb_png_size(encode_png(np.zeros((2, 3, 3), np.uint8)))
        (3, 2)
    """
    if len(head) < HEAD_BYTES or head[:8] != PNG_SIGNATURE or head[12:16] != b"IHDR" or head[24:29] != _EIGHT_BIT_RGB:
        return None
    width, height = struct.unpack(">II", head[16:24])
    return (width, height) if width * height else None


def _iter_image_data(data: memoryview, deflate: ModuleType) -> Iterator[memoryview]:
    """Iterate over the content of the IDAT chunks.

    Raises:
        ValueError: A checksum is wrong, or a chunk is not in ``SUPPORTED_CHUNKS``.
        struct.error: The file is truncated.
    """
    start, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, start)
        kind, body = bytes(data[start + 4 : start + 8]), data[start + 8 : start + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, start + 8 + length)
        if kind not in SUPPORTED_CHUNKS or checksum != deflate.crc32(body, deflate.crc32(kind)):
            raise ValueError(f"unsupported or damaged chunk {kind!r}")
        if kind == b"IDAT":
            yield body
        start += 12 + length  # length, kind and checksum take 4 bytes each


def unfilter_rows(filtered: bytes, width: int, height: int, deflate: ModuleType) -> Image | None:
    r"""Reverse the filters of consecutive rows.

    Args:
        filtered: Filter type and filtered values of every row. The first row must not depend on a row above it.
        width: Width in pixels.
        height: Number of rows.
        deflate: Module with ``crc32`` and ``adler32``, such as :mod:`zlib`.

    Returns:
        (height, width, 3) uint8, RGB. None if a filter is unknown. Filters other than "up" are reversed by pyspng; if
        pyspng is not installed, they also give None.

    Example:
        >>> import zlib
        >>> unfilter_rows(b"\2\1\1\1\2\1\2\3", 1, 2, zlib).tolist()
        [[[1, 1, 1]], [[2, 3, 4]]]
    """
    rows = np.frombuffer(filtered, np.uint8).reshape(height, -1)
    filter_types = rows[:, 0]
    # The first row has no row above it, so the filter "up" stores its values unchanged, as no filter does.
    if filter_types[0] in (_NO_FILTER, _UP) and (filter_types[1:] == _UP).all():
        return _unfilter_up(rows)
    return _unfilter_any(filtered, width, height, deflate)


def _unfilter_up(rows: NDArray[np.uint8]) -> Image:
    """Reverse the filter "up" of all rows: (H, 1 + 3 W) to (H, W, 3), RGB."""
    pixels = rows[:, 1:].copy()
    for above, row in zip(pixels, pixels[1:]):  # ten times as fast as np.add.accumulate, which works along columns
        np.add(row, above, out=row)
    return pixels.reshape(len(pixels), -1, 3)


def _unfilter_any(filtered: bytes, width: int, height: int, deflate: ModuleType) -> Image | None:
    """Reverse any filters with pyspng, which decodes complete files only: put the rows into an uncompressed PNG."""
    pyspng = _pyspng()
    if pyspng is None:
        return None
    try:
        data = assemble_png(width, height, _store_uncompressed(filtered, deflate), deflate)
        pixels = pyspng.load(data, format="RGB")
    except RuntimeError:  # unknown filter type
        return None
    return np.asarray(pixels, dtype=np.uint8)


def _store_uncompressed(data: bytes, deflate: ModuleType) -> list[BytesLike]:
    """Return data as an uncompressed zlib stream (RFC 1950), in parts."""
    stream: list[BytesLike] = [b"\x78\x01"]  # header of a zlib stream
    view = memoryview(data)
    for start in range(0, len(data), _MAX_STORED):
        part = view[start : start + _MAX_STORED]
        is_last = start + len(part) == len(data)
        # The header of a block has a flag for the last block, the length, and the complement of the length.
        stream += [struct.pack("<BHH", is_last, len(part), len(part) ^ _MAX_STORED), part]
    return [*stream, struct.pack(">I", deflate.adler32(data))]
