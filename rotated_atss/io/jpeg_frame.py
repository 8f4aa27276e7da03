"""Frame header of a JPEG file: size, bands, depth and EXIF orientation."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

from rotated_atss.io.orientation import UPRIGHT
from rotated_atss.io.tiff import TruncatedFile, read_exif_orientation

_FILL = 0xFFFF  # a fill byte (0xFF) and the first byte of a marker
_EXIF = 0xFFE1
_START_OF_SCAN = 0xFFDA
_FIRST_FRAME, _LAST_FRAME = 0xFFC0, 0xFFCF  # the interval that contains all markers of frame headers
_NOT_FRAMES = (0xFFC4, 0xFFC8, 0xFFCC)  # the markers in this interval that start tables or are reserved
_SEQUENTIAL_FRAMES = (0xFFC0, 0xFFC1)  # baseline and extended: the file stores complete rows from top to bottom


class JpegFrame(NamedTuple):
    """Contents of a frame header, and the orientation in the EXIF data before it.

    Attributes:
        width: Width in pixels, as stored.
        height: Height in pixels, as stored.
        bands: Samples per pixel.
        depth: Bits per sample.
        is_progressive: Whether the frame is neither baseline nor extended sequential. In most files with another kind
            of frame, no row is complete before the end of the file.
        orientation: EXIF orientation, 1 to 8.
    """

    width: int
    height: int
    bands: int
    depth: int
    is_progressive: bool
    orientation: int


def read_jpeg_frame(file: BinaryIO) -> JpegFrame | None:
    r"""Find the frame header among the segments at the start of a JPEG file.

    Args:
        file: The file, open for binary reading.

    Returns:
        The frame header; None if the segments are damaged.

    Raises:
        TruncatedFile: The file ends before the frame header does.

    Example:
        >>> import io
        >>> segment = struct.pack(">HHBHHB", 0xFFC0, 17, 8, 20, 30, 3)  # marker, length, depth, height, width, bands
        >>> frame = read_jpeg_frame(io.BytesIO(b"\xff\xd8" + segment))
        >>> frame.width, frame.height, frame.bands, frame.is_progressive
        (30, 20, 3, False)
    """
    position, orientation = 2, UPRIGHT  # after the marker that starts the image
    while True:
        file.seek(position)
        marker_and_length = file.read(4)
        if len(marker_and_length) < 4:
            raise TruncatedFile
        marker, length = struct.unpack(">HH", marker_and_length)
        if marker == _FILL:
            position += 1
            continue
        is_marker = marker >> 8 == 0xFF
        if not is_marker or marker == _START_OF_SCAN:  # damaged: the pixels must not start before the frame header
            return None
        if marker == _EXIF and file.read(6) == b"Exif\0\0":
            orientation = read_exif_orientation(file, position + 10)  # after marker, length and "Exif\0\0"
        if _FIRST_FRAME <= marker <= _LAST_FRAME and marker not in _NOT_FRAMES:
            break
        position += 2 + length  # the length counts itself, but not the marker
    frame = file.read(6)
    if len(frame) < 6:
        raise TruncatedFile
    depth, height, width, bands = struct.unpack(">BHHB", frame)
    return JpegFrame(width, height, bands, depth, marker not in _SEQUENTIAL_FRAMES, orientation)
