"""The first directory of a TIFF or BigTIFF file, and the edit that lets OpenCV decode all bands unchanged."""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, BITS_PER_SAMPLE, PHOTOMETRIC, ORIENTATION = 256, 257, 258, 262, 274
STRIP_OFFSETS, SAMPLES_PER_PIXEL, STRIP_BYTE_COUNTS, PLANAR_CONFIGURATION = 273, 277, 279, 284
TILE_OFFSETS, TILE_BYTE_COUNTS, EXTRA_SAMPLES, SAMPLE_FORMAT = 324, 325, 338, 339
SUBFILE_TYPE, GDAL_METADATA, GDAL_NODATA = 254, 42112, 42113
GEO_TAGS = (33550, 33922, 34264)  # ModelPixelScale, ModelTiepoint, ModelTransformation of GeoTIFF
_TAGS = {WIDTH, HEIGHT, BITS_PER_SAMPLE, PHOTOMETRIC, ORIENTATION, STRIP_OFFSETS, SAMPLES_PER_PIXEL}
_TAGS |= {STRIP_BYTE_COUNTS, PLANAR_CONFIGURATION, TILE_OFFSETS, TILE_BYTE_COUNTS, EXTRA_SAMPLES, SAMPLE_FORMAT}
_TAGS |= {SUBFILE_TYPE, GDAL_METADATA, GDAL_NODATA, *GEO_TAGS}

MIN_IS_BLACK, RGB, CMYK = 1, 2, 5
_ASSOCIATED_ALPHA = 1
_ALPHA = (_ASSOCIATED_ALPHA, 2)
_TARGET_PRINTER = 337  # a tag without effect that keeps the tags in ascending order
_ASCII, _SHORT = 2, 3
_MAX_TEXT = 1 << 20  # characters of a text that are read
_MASK = 4  # bit of NewSubfileType
_MAX_DIRECTORIES = 64
_TYPES = {
    1: "u1",
    _ASCII: "u1",
    _SHORT: "u2",
    4: "u4",
    13: "u4",
    16: "u8",
    18: "u8",
}  # unsigned types and ASCII of the specification


class TruncatedFile(Exception):  # noqa: N818
    """The file ends before data that its header points to."""


@dataclass(frozen=True)
class TiffField:
    """Unsigned values of a tag, and the position of its entry in the file."""

    values: NDArray[np.unsignedinteger]
    position: int


@dataclass(frozen=True)
class TiffDirectory:
    """Fields of a directory by tag, byte order ("<" or ">"), whether the file is a BigTIFF, and the next directory.

    ``next_position`` is 0 for the last directory.
    """

    fields: Mapping[int, TiffField]
    order: str
    big: bool
    next_position: int = 0

    def value(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        field = self.fields.get(tag)
        return int(field.values[0]) if field is not None and len(field.values) else default

    def text(self, tag: int) -> bytes:
        """Return the text of a tag; empty if it is missing."""
        field = self.fields.get(tag)
        return b"" if field is None else field.values.tobytes()

    @property
    def is_georeferenced(self) -> bool:
        """Whether the file states the map position of its pixels."""
        return any(tag in self.fields for tag in GEO_TAGS)

    def data_end(self) -> int:
        """Return the offset behind the last strip or tile, 0 if the file does not state it."""
        end = 0
        for offsets, counts in ((STRIP_OFFSETS, STRIP_BYTE_COUNTS), (TILE_OFFSETS, TILE_BYTE_COUNTS)):
            if offsets in self.fields and counts in self.fields:
                starts, lengths = self.fields[offsets].values, self.fields[counts].values
                if len(starts) == len(lengths) > 0:
                    end = max(end, int((starts.astype(float) + lengths).max()))
        return end


def read_directory(file: BinaryIO, start: int = 0) -> TiffDirectory | None:
    r"""Read the first directory of a TIFF file.

    Args:
        file: The file, open for binary reading.
        start: Offset of the TIFF header, to which all other offsets are relative (EXIF data inside a JPEG).

    Returns:
        The fields that describe pixels and their place in the file; None if there is no TIFF header.

    Raises:
        TruncatedFile: The directory or one of its values lies behind the end of the file.

    Example:
        >>> import io
        >>> entry = struct.pack("<HHIHH", WIDTH, 3, 1, 640, 0)
        >>> directory = read_directory(io.BytesIO(b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)))
        >>> directory.value(WIDTH, default=0)
        640
    """
    return next(_iter_directories(file, start), None)


def has_mask(file: BinaryIO) -> bool:
    """Return whether a TIFF file holds a mask of the pixels with data, in one of its first 64 directories.

    Example:
        >>> import io
        >>> has_mask(io.BytesIO(b"no TIFF"))
        False
    """
    try:
        directories = islice(_iter_directories(file, tags={SUBFILE_TYPE}), _MAX_DIRECTORIES)
        return any(directory.value(SUBFILE_TYPE, 0) & _MASK for directory in directories)
    except TruncatedFile:  # the first directory is complete, as read_directory has been called
        return False


def _iter_directories(file: BinaryIO, start: int = 0, tags: Container[int] = _TAGS) -> Iterator[TiffDirectory]:
    """Iterate over the directories of a TIFF file, with their fields of the given tags."""
    reader = _Reader(file, start)
    magic = reader.read(0, min(reader.size, 16))
    order = {b"II": "<", b"MM": ">"}.get(magic[:2])
    if order is None or len(magic) < 8:
        return
    (version,) = struct.unpack_from(f"{order}H", magic, 2)
    if version not in (42, 43):
        return
    big = version == 43
    if big and len(magic) < 16:
        raise TruncatedFile
    (position,) = struct.unpack_from(f"{order}Q", magic, 8) if big else struct.unpack_from(f"{order}I", magic, 4)
    while position:
        directory = _parse_directory(reader, position, order, big, tags)
        yield directory
        position = directory.next_position


def _parse_directory(reader: _Reader, position: int, order: str, big: bool, tags: Container[int]) -> TiffDirectory:
    count_format, entry_size, next_format = (f"{order}Q", 20, f"{order}Q") if big else (f"{order}H", 12, f"{order}I")
    (count,) = struct.unpack(count_format, reader.read(position, struct.calcsize(count_format)))
    position += struct.calcsize(count_format)
    entries = reader.read(position, count * entry_size)
    fields = {}
    for index in range(count):
        (tag,) = struct.unpack_from(f"{order}H", entries, index * entry_size)
        if tag in tags:
            entry = entries[index * entry_size : (index + 1) * entry_size]
            fields[tag] = TiffField(_values(reader, entry, order, big), position + index * entry_size)
    end, length = position + len(entries), struct.calcsize(next_format)
    following = reader.read(end, length) if end + length <= reader.size else bytes(length)
    return TiffDirectory(fields, order, big, *struct.unpack(next_format, following))


def _values(reader: _Reader, entry: bytes, order: str, big: bool) -> NDArray[np.unsignedinteger]:
    kind, count = struct.unpack_from(f"{order}HQ" if big else f"{order}HI", entry, 2)
    if kind not in _TYPES:
        return np.empty(0, np.uint64)
    dtype = np.dtype(f"{order}{_TYPES[kind]}")
    count = min(count, _MAX_TEXT) if kind == _ASCII else count
    data, length = entry[12:] if big else entry[8:], count * dtype.itemsize
    if length > len(data):
        (offset,) = struct.unpack(f"{order}Q" if big else f"{order}I", data)
        data = reader.read(offset, length)
    return np.frombuffer(data[:length], dtype)


@dataclass(frozen=True)
class _Reader:
    """Reads ranges of a file without allocating memory for ranges that the file does not have."""

    file: BinaryIO
    start: int

    @property
    def size(self) -> int:
        return self.file.seek(0, 2) - self.start

    def read(self, offset: int, length: int) -> bytes:
        if offset + length > self.size:
            raise TruncatedFile
        self.file.seek(self.start + offset)
        return self.file.read(length)


def has_alpha(directory: TiffDirectory) -> bool:
    """Return whether the last band is alpha.

    Example:
        >>> has_alpha(TiffDirectory({}, "<", False))
        False
    """
    field = directory.fields.get(EXTRA_SAMPLES)
    return field is not None and len(field.values) > 0 and int(field.values[-1]) in _ALPHA


def needs_plain_bands(directory: TiffDirectory) -> bool:
    """Return whether OpenCV would change the bands: 8-bit images with alpha, or with several bands "of gray".

    libtiff's RGBA interface, which OpenCV uses for 8-bit images, multiplies the colors by band 4 if the file calls it
    unassociated alpha, as GDAL does by default. If there are several bands and no color model, it reads only the first.

    Example:
        >>> needs_plain_bands(TiffDirectory({}, "<", False))
        False
    """
    bands, depth = directory.value(SAMPLES_PER_PIXEL, 1), directory.value(BITS_PER_SAMPLE, 1)
    photometric = directory.value(PHOTOMETRIC, MIN_IS_BLACK)
    if depth != 8 or bands not in (3, 4):
        return False
    return photometric == MIN_IS_BLACK or (photometric == RGB and bands == 4)


def with_plain_bands(data: bytes, directory: TiffDirectory) -> bytes:
    """Return a TIFF file with its first three bands declared as red, green, blue that are not to be multiplied.

    Only the directory changes: a fourth band is declared as associated alpha, by which colors are multiplied already.

    Args:
        data: The file.
        directory: Its first directory, for which :func:`needs_plain_bands` is True.

    Example:
        >>> with_plain_bands(b"II*", TiffDirectory({}, "<", False))
        b'II*'
    """
    edited = bytearray(data)
    if PHOTOMETRIC in directory.fields:
        _write_short(edited, directory, PHOTOMETRIC, PHOTOMETRIC, RGB)
    if EXTRA_SAMPLES in directory.fields:
        tag = EXTRA_SAMPLES if directory.value(SAMPLES_PER_PIXEL, 1) == 4 else _TARGET_PRINTER
        _write_short(edited, directory, EXTRA_SAMPLES, tag, _ASSOCIATED_ALPHA)
    return bytes(edited)


def _write_short(data: bytearray, directory: TiffDirectory, tag: int, new_tag: int, value: int) -> None:
    """Replace the entry of a tag by one SHORT."""
    layout = f"{directory.order}HHQH6x" if directory.big else f"{directory.order}HHIH2x"
    struct.pack_into(layout, data, directory.fields[tag].position, new_tag, _SHORT, 1, value)
