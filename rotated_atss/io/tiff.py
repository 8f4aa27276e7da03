"""Read the directories of TIFF and BigTIFF files, and edit them so that OpenCV decodes the bands unchanged.

A directory contains the fields that describe an image. A field has a tag (its number) and values. EXIF data is stored
in the format of a TIFF file.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rotated_atss.io.orientation import UPRIGHT

# The tags of the fields. They are defined by the TIFF 6.0 specification, or registered by GDAL.
WIDTH, HEIGHT, BITS_PER_SAMPLE, PHOTOMETRIC, ORIENTATION = 256, 257, 258, 262, 274
STRIP_OFFSETS, SAMPLES_PER_PIXEL, STRIP_BYTE_COUNTS, PLANAR_CONFIGURATION = 273, 277, 279, 284
TILE_OFFSETS, TILE_BYTE_COUNTS, EXTRA_SAMPLES, SAMPLE_FORMAT = 324, 325, 338, 339
SUBFILE_TYPE, GDAL_METADATA, GDAL_NODATA = 254, 42112, 42113
GEO_TAGS = (33550, 33922, 34264)  # ModelPixelScale, ModelTiepoint, ModelTransformation of GeoTIFF
_READ_TAGS = {WIDTH, HEIGHT, BITS_PER_SAMPLE, PHOTOMETRIC, ORIENTATION, STRIP_OFFSETS, SAMPLES_PER_PIXEL}
_READ_TAGS |= {STRIP_BYTE_COUNTS, PLANAR_CONFIGURATION, TILE_OFFSETS, TILE_BYTE_COUNTS, EXTRA_SAMPLES, SAMPLE_FORMAT}
_READ_TAGS |= {SUBFILE_TYPE, GDAL_METADATA, GDAL_NODATA, *GEO_TAGS}

MIN_IS_BLACK, RGB, CMYK = 1, 2, 5  # values of PHOTOMETRIC
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2  # values of EXTRA_SAMPLES
# An EXTRA_SAMPLES entry (338) that must not be used is changed to this tag. Readers ignore this tag, and the entries
# remain sorted by tag.
_TARGET_PRINTER = 337
_MASK = 4  # the bit of SUBFILE_TYPE that marks a directory as a transparency mask
_MAX_DIRECTORIES = 64  # At most this number of directories is examined. Each overview, mask and page has a directory.
_MAX_ASCII_BYTES = 1 << 20  # Only the first bytes of an ASCII value are read.
_CLASSIC, _BIG = 42, 43  # versions of the file header
# Only fields with unsigned integers or ASCII text are read. _TYPES contains the NumPy type of each such field type.
_ASCII, _SHORT = 2, 3
_TYPES = {1: "u1", _ASCII: "u1", _SHORT: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}


class TruncatedFile(Exception):  # noqa: N818
    """The file ends before data that its header points to."""


@dataclass(frozen=True)
class TiffField:
    """Field of a TIFF directory.

    Attributes:
        values: The values, one-dimensional: unsigned integers, or the bytes of ASCII values. Empty for fields of other
            types, such as floating-point numbers. This package uses such a field only to check that it is present.
        position: Offset in bytes of the field's entry in the directory, from the start of the TIFF header.
    """

    values: NDArray[np.unsignedinteger]
    position: int


@dataclass(frozen=True)
class TiffDirectory:
    """A directory of a TIFF file.

    Attributes:
        fields: Fields by tag.
        byte_order: Byte order of the file, ``"<"`` (little-endian) or ``">"``.
        is_bigtiff: Whether the file is a BigTIFF, with offsets of 64 bits.
        next_position: Offset of the next directory in the file; 0 for the last one.
    """

    fields: Mapping[int, TiffField]
    byte_order: str
    is_bigtiff: bool
    next_position: int = 0

    def value(self, tag: int, default: int) -> int:
        """Return the first value of a tag, or ``default`` if there is none."""
        field = self.fields.get(tag)
        return int(field.values[0]) if field is not None and len(field.values) else default

    def text(self, tag: int) -> bytes:
        """Return the bytes of the ASCII value of a tag; empty if the tag is missing."""
        field = self.fields.get(tag)
        return b"" if field is None else field.values.tobytes()

    @property
    def is_georeferenced(self) -> bool:
        """Whether the file contains the map position of its pixels."""
        return any(tag in self.fields for tag in GEO_TAGS)

    @property
    def orientation(self) -> int:
        """Orientation of the image, 1 to 8; upright if the field is missing or invalid."""
        value = self.value(ORIENTATION, UPRIGHT)
        return value if 1 <= value <= 8 else UPRIGHT

    def data_end(self) -> int:
        """Return the offset of the first byte after the pixels; 0 if the file does not contain their position."""
        end = 0
        for offsets_tag, counts_tag in ((STRIP_OFFSETS, STRIP_BYTE_COUNTS), (TILE_OFFSETS, TILE_BYTE_COUNTS)):
            if offsets_tag in self.fields and counts_tag in self.fields:
                starts, lengths = self.fields[offsets_tag].values, self.fields[counts_tag].values
                if len(starts) == len(lengths) > 0:
                    # The sums are computed in float, because sums of unsigned integers could overflow.
                    end = max(end, int((starts.astype(float) + lengths).max()))
        return end


def read_directory(file: BinaryIO, start: int = 0) -> TiffDirectory | None:
    r"""Read the first directory of a TIFF file.

    Args:
        file: The file, open for binary reading.
        start: Offset of the TIFF header, to which all offsets in the file are relative. It is 0, except for EXIF data
            in another file, such as a JPEG.

    Returns:
        The directory, with the fields that this package uses; None if there is no TIFF header.

    Raises:
        TruncatedFile: The file ends before the directory or one of its values.

    Example:
        >>> import io
        >>> header = b"II*\0" + struct.pack("<I", 8)  # the directory begins at byte 8
        >>> entry = struct.pack("<HHIHH", WIDTH, 3, 1, 640, 0)  # tag, field type, number of values, value, padding
        >>> file = io.BytesIO(header + struct.pack("<H", 1) + entry + bytes(4))  # 1 entry, no further directory
        >>> read_directory(file).value(WIDTH, default=0)
        640
    """
    return next(_iter_directories(file, start), None)


def read_exif_orientation(file: BinaryIO, start: int) -> int:
    """Return the orientation in EXIF data, 1 to 8; upright if the data is damaged or contains no orientation.

    Args:
        file: The image file, open for binary reading.
        start: Offset of the EXIF data, which is stored in the format of a TIFF file.

    Example:
        >>> import io
        >>> read_exif_orientation(io.BytesIO(b"no EXIF"), 0)
        1
    """
    try:
        directory = read_directory(file, start)
    except TruncatedFile:
        return UPRIGHT
    return UPRIGHT if directory is None else directory.orientation


def has_mask(file: BinaryIO) -> bool:
    """Return whether one of the first 64 directories of a TIFF file is a mask that marks the pixels with data.

    Example:
        >>> import io
        >>> has_mask(io.BytesIO(b"no TIFF"))
        False
    """
    try:
        directories = islice(_iter_directories(file, tags={SUBFILE_TYPE}), _MAX_DIRECTORIES)
        return any(directory.value(SUBFILE_TYPE, 0) & _MASK for directory in directories)
    except TruncatedFile:
        # Callers have already read the first directory, so the image is usable. A later directory is truncated, so that
        # a mask could not be read in any case.
        return False


def _iter_directories(file: BinaryIO, start: int = 0, tags: Container[int] = _READ_TAGS) -> Iterator[TiffDirectory]:
    """Iterate over the directories of a TIFF file, with only the fields of the given tags."""
    reader = _Reader(file, start)
    header = reader.read(0, min(reader.size, 16))
    byte_order = {b"II": "<", b"MM": ">"}.get(header[:2])
    if byte_order is None or len(header) < 8:
        return
    (version,) = struct.unpack_from(f"{byte_order}H", header, 2)
    if version not in (_CLASSIC, _BIG):
        return
    is_bigtiff = version == _BIG
    if is_bigtiff and len(header) < 16:
        raise TruncatedFile
    if is_bigtiff:
        (position,) = struct.unpack_from(f"{byte_order}Q", header, 8)
    else:
        (position,) = struct.unpack_from(f"{byte_order}I", header, 4)
    while position:
        directory = _parse_directory(reader, position, byte_order, is_bigtiff, tags)
        yield directory
        position = directory.next_position


def _parse_directory(
    reader: _Reader, position: int, byte_order: str, is_bigtiff: bool, tags: Container[int]
) -> TiffDirectory:
    """Parse the directory at an offset.

    A directory consists of the number of its entries, the entries, and the offset of the next directory. In a BigTIFF,
    the number of entries and the offset have 8 bytes. In a classic TIFF, they have 2 and 4 bytes.
    """
    count_format = f"{byte_order}Q" if is_bigtiff else f"{byte_order}H"
    entry_bytes = 20 if is_bigtiff else 12
    next_format = f"{byte_order}Q" if is_bigtiff else f"{byte_order}I"
    (count,) = struct.unpack(count_format, reader.read(position, struct.calcsize(count_format)))
    first_entry = position + struct.calcsize(count_format)
    entries = reader.read(first_entry, count * entry_bytes)
    fields = {}
    for start in range(0, len(entries), entry_bytes):
        (tag,) = struct.unpack_from(f"{byte_order}H", entries, start)
        if tag in tags:
            values = _read_values(reader, entries[start : start + entry_bytes], byte_order, is_bigtiff)
            fields[tag] = TiffField(values, first_entry + start)
    end, length = first_entry + len(entries), struct.calcsize(next_format)
    # If the file ends after the entries, there is no further directory.
    next_bytes = reader.read(end, length) if end + length <= reader.size else bytes(length)
    (next_position,) = struct.unpack(next_format, next_bytes)
    return TiffDirectory(fields, byte_order, is_bigtiff, next_position)


def _read_values(reader: _Reader, entry: bytes, byte_order: str, is_bigtiff: bool) -> NDArray[np.unsignedinteger]:
    """Return the values of an entry, which contains either the values or their offset in the file."""
    # An entry consists of the tag, the field type, the number of values, and the values or their offset.
    type_and_count_format = f"{byte_order}HQ" if is_bigtiff else f"{byte_order}HI"
    field_type, count = struct.unpack_from(type_and_count_format, entry, 2)
    if field_type not in _TYPES:
        return np.empty(0, np.uint64)
    dtype = np.dtype(f"{byte_order}{_TYPES[field_type]}")
    count = min(count, _MAX_ASCII_BYTES) if field_type == _ASCII else count
    data = entry[12:] if is_bigtiff else entry[8:]
    length = count * dtype.itemsize
    if length > len(data):  # The values do not fit into the entry, so it contains their offset.
        (offset,) = struct.unpack(f"{byte_order}Q" if is_bigtiff else f"{byte_order}I", data)
        data = reader.read(offset, length)
    return np.frombuffer(data[:length], dtype)


@dataclass(frozen=True)
class _Reader:
    """Read byte ranges of a file at offsets relative to ``start``.

    Before memory is allocated for a range, its end is compared with the size of the file.
    """

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
    return (
        field is not None
        and len(field.values) > 0
        and int(field.values[-1]) in (_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA)
    )


def opencv_changes_bands(directory: TiffDirectory) -> bool:
    """Return whether OpenCV changes the bands of an image when it decodes the file without :func:`edit_for_opencv`.

    OpenCV decodes 8-bit images with libtiff's RGBA interface. This interface multiplies the colors by band 4 if the
    file declares that band as unassociated alpha, as GDAL does by default. If the color model is gray, the interface
    reads only the first band.

    Example:
        >>> opencv_changes_bands(TiffDirectory({}, "<", False))
        False
    """
    bands, depth = directory.value(SAMPLES_PER_PIXEL, 1), directory.value(BITS_PER_SAMPLE, 1)
    photometric = directory.value(PHOTOMETRIC, MIN_IS_BLACK)
    if depth != 8 or bands not in (3, 4):
        return False
    return photometric == MIN_IS_BLACK or (photometric == RGB and bands == 4)


def edit_for_opencv(data: bytes, directory: TiffDirectory) -> bytes:
    """Edit the directory of a TIFF file so that OpenCV decodes the bands unchanged.

    The first three bands are declared as red, green and blue. A fourth band is declared as associated alpha. Then
    libtiff assumes that the colors have already been multiplied by alpha, and leaves them unchanged.

    Args:
        data: Content of the file.
        directory: The first directory of the file. :func:`opencv_changes_bands` must be True for it.

    Returns:
        Content of the edited file.

    Example:
        >>> edit_for_opencv(b"II*", TiffDirectory({}, "<", False))
        b'II*'
    """
    edited = bytearray(data)
    if PHOTOMETRIC in directory.fields:
        _write_short(edited, directory, PHOTOMETRIC, PHOTOMETRIC, RGB)
    if EXTRA_SAMPLES in directory.fields:
        # If there are three bands, all of them are colors. The entry, which declares an extra band, then gets a tag
        # that readers ignore.
        tag = EXTRA_SAMPLES if directory.value(SAMPLES_PER_PIXEL, 1) == 4 else _TARGET_PRINTER
        _write_short(edited, directory, EXTRA_SAMPLES, tag, _ASSOCIATED_ALPHA)
    return bytes(edited)


def _write_short(data: bytearray, directory: TiffDirectory, tag: int, new_tag: int, value: int) -> None:
    """Replace the entry of a tag by an entry with the tag ``new_tag`` and one 16-bit value."""
    # tag, field type, number of values, value, padding
    layout = f"{directory.byte_order}HHQH6x" if directory.is_bigtiff else f"{directory.byte_order}HHIH2x"
    struct.pack_into(layout, data, directory.fields[tag].position, new_tag, _SHORT, 1, value)
