"""Headers of PNG, JPEG, TIFF, BMP, JPEG 2000 and VRT files: size, bands, depth, and where the pixels end."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io import tiff
from rotated_atss.io.files import is_special_file
from rotated_atss.io.orientation import UPRIGHT, swaps_axes
from rotated_atss.io.tiff import TiffDirectory, TruncatedFile

_PNG_SIGNATURE, _JPEG_SIGNATURE = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_JP2_SIGNATURE, _J2K_SIGNATURE = b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"
_HEAD_BYTES = 1 << 16  # the sizes of a JPEG 2000 or VRT file are searched in these first bytes
_BASELINE = (0xFFC0, 0xFFC1)  # frames of JPEG whose components can be interleaved in one scan
_PNG_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type
_MAX_PNG_CHUNKS = 256
_MAX_VRT_BYTES = 1 << 26
_TAIL_BYTES = 4096  # the end marker is searched in these last bytes, because some writers append data
_BMP_UNCOMPRESSED = (0, 3, 6)
_PHOTOMETRIC = {0: "gray with white as zero", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_VRT_TYPES = ("int8", "uint16", "int16", "uint32", "int32", "float32", "float64")  # and Byte
_EIGHT_BIT_ONLY = (3, 5, 6)  # color models that are read with 8 bits per sample only
_COMPLEX = (5, 6)
_SAMPLE_KINDS = {1: "unsigned", 2: "signed", 3: "floating-point", 5: "complex integer", 6: "complex"}


class UnreadableImageError(UserError):
    """Error in an image file that is missing, empty, truncated, damaged or not an image.

    Example:
        >>> print(UnreadableImageError("the image is truncated", where="a.png"))
        a.png: the image is truncated
    """


def damaged_image(path: str | Path, reason: object = "") -> UnreadableImageError:
    """Return the error of a file whose pixels cannot be decoded.

    Args:
        path: The file.
        reason: What the decoder says; empty if it says nothing.

    Example:
        >>> print(damaged_image("a.png"))
        a.png: not a readable image, or damaged (download or convert it again)
    """
    what = f"not a readable image, or damaged{reason and f': {reason}'}"
    return UnreadableImageError(what, where=path, hint="download or convert it again")


@dataclass(frozen=True)
class ImageHeader:
    """Contents of an image header.

    Attributes:
        file_format: ``"PNG"``, ``"JPEG"``, ``"TIFF"``, ``"BMP"``, ``"JPEG 2000"`` or ``"VRT"``.
        width: Width in pixels, after the EXIF orientation is applied.
        height: Height in pixels, likewise.
        bands: Samples per pixel, alpha included; 1 for palette images.
        depth: Bits per sample.
        dtype: Name of the NumPy type of a value, such as ``"uint16"``; fewer than 8 bits are ``"uint8"``.
        unsupported: What no reader supports, in words; empty otherwise.
        needs_rasterio: What only :class:`rotated_atss.io.raster_reader.RasterReader` reads right, in words; empty if
            OpenCV does.
        truncated: The file ends before its pixels do.
        directory: The directory of a TIFF file.
        alpha: Whether the last band says which pixels have data, or a palette or a color does (PNG, TIFF).
        orientation: EXIF or TIFF orientation, 1 to 8.
        scans: Why the pixels are complete only at the end of the file, in words (interlaced, progressive); else empty.
    """

    file_format: str
    width: int
    height: int
    bands: int
    depth: int
    dtype: str = "uint8"
    unsupported: str = ""
    needs_rasterio: str = ""
    truncated: bool = False
    directory: TiffDirectory | None = field(default=None, repr=False)
    alpha: bool = False
    orientation: int = UPRIGHT
    scans: str = ""

    @property
    def has_extra_band(self) -> bool:
        """Whether there are bands beyond red, green, blue and alpha."""
        cmyk = self.directory is not None and self.directory.value(tiff.PHOTOMETRIC, tiff.MIN_IS_BLACK) == tiff.CMYK
        return self.file_format not in ("PNG", "JPEG", "BMP") and self.bands - self.alpha > 3 and not cmyk


def read_header(path: str | Path) -> ImageHeader | None:
    """Read the header of an image file, without decoding pixels.

    Returns:
        The header; None for other formats and damaged headers.

    Raises:
        UnreadableImageError: The file is missing, empty, a device or pipe, or cannot be opened.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.tif", np.zeros((20, 30, 3), np.uint16))
        ...     header = read_header(f"{folder}/a.tif")
        >>> (header.file_format, header.width, header.height, header.bands, header.depth)
        ('TIFF', 30, 20, 3, 16)
    """
    try:
        if is_special_file(path):
            raise UnreadableImageError("not a regular file", where=path, hint="give a file, no device or pipe")
        with open(path, "rb") as file:
            return parse_header(file, path)
    except OSError as error:
        raise UnreadableImageError(f"cannot be read: {error.strerror}", where=path) from error


def check_header(path: Path) -> ImageHeader | None:
    """Read the header of an image and refuse files and pixels that cannot be read.

    Returns:
        The header; None for other formats, which are left to OpenCV.

    Raises:
        UnreadableImageError: The file is missing, empty or truncated.
        UserError: The pixels are of an unsupported kind.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.bmp", np.zeros((2, 3, 3), np.uint8))
        ...     check_header(Path(folder, "a.bmp")).width
        3
    """
    header = read_header(path)
    if header is not None and header.truncated:
        raise UnreadableImageError("the image is truncated", where=path, hint="download it again")
    if header is not None and header.unsupported:
        hint = "convert it to 8-bit or 16-bit RGB, for example with gdal_translate"
        raise UserError(f"the kind of pixels is not supported, got {header.unsupported}", where=path, hint=hint)
    return header


def parse_header(file: BinaryIO, path: str | Path) -> ImageHeader | None:
    r"""Parse the header of an open image file, as :func:`read_header` does.

    Args:
        file: The file, open for binary reading.
        path: Its path, for error messages.

    Raises:
        UnreadableImageError: The file is empty.

    Example:
        >>> import io
        >>> parse_header(io.BytesIO(b"no image"), "a.png") is None
        True
    """
    file.seek(0)
    head = file.read(64)
    if not head:
        raise UnreadableImageError("the image file is empty", where=path, hint="download it again")
    parsers = {_PNG_SIGNATURE[:4]: _parse_png, _JPEG_SIGNATURE: _parse_jpeg, b"BM": _parse_bmp}
    parsers |= {b"II": _parse_tiff, b"MM": _parse_tiff}
    parsers |= {_JP2_SIGNATURE: _parse_jp2, _J2K_SIGNATURE: _parse_jp2, b"<VRTDataset": _parse_vrt}
    parse = next((parse for signature, parse in parsers.items() if head.startswith(signature)), None)
    try:
        return None if parse is None else parse(file, head)
    except TruncatedFile:
        return ImageHeader("", 0, 0, 0, 0, truncated=True)
    except struct.error:
        return None


def _parse_png(file: BinaryIO, head: bytes) -> ImageHeader | None:
    if len(head) < 29:
        raise TruncatedFile
    if head[:8] != _PNG_SIGNATURE or head[12:16] != b"IHDR":
        return None
    width, height, depth, color_type = struct.unpack_from(">IIBB", head, 16)
    bands = _PNG_BANDS.get(color_type)
    if bands is None or width == 0 or height == 0:
        return None
    chunks = dict(_iter_png_chunks(file))
    orientation = _exif_orientation(file, chunks[b"eXIf"]) if b"eXIf" in chunks else UPRIGHT
    if swaps_axes(orientation):
        width, height = height, width
    gray_key = color_type == 0 and b"tRNS" in chunks
    return ImageHeader(
        "PNG", width, height, bands, depth, "uint16" if depth == 16 else "uint8",
        needs_rasterio="a gray value of transparent pixels" if gray_key else "",
        truncated=b"IEND" not in _tail(file), alpha=color_type in (4, 6) or b"tRNS" in chunks,
        orientation=orientation, scans="interlaced" if head[28] else "",
    )  # fmt: skip


def _iter_png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Iterate over kind and offset of the data of the chunks in front of the pixels."""
    position = len(_PNG_SIGNATURE)
    for _ in range(_MAX_PNG_CHUNKS):
        file.seek(position)
        start = file.read(8)
        if len(start) < 8 or start[4:] == b"IDAT":
            return
        yield start[4:], position + 8
        position += 12 + int.from_bytes(start[:4], "big")


def _parse_jpeg(file: BinaryIO, _: bytes) -> ImageHeader | None:
    truncated = b"\xff\xd9" not in _tail(file)  # OpenCV decodes a truncated JPEG to gray pixels without an error
    position, orientation = 2, UPRIGHT
    while True:
        file.seek(position)
        start = file.read(4)
        if len(start) < 4:
            raise TruncatedFile
        marker, length = struct.unpack(">HH", start)
        if marker == 0xFFFF:  # a fill byte
            position += 1
            continue
        if marker >> 8 != 0xFF or marker == 0xFFDA:  # no marker, or the pixels before a frame header
            return None
        if marker == 0xFFE1 and file.read(6) == b"Exif\0\0":
            orientation = _exif_orientation(file, position + 10)
        if 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):  # tables and reserved, not frames
            break
        position += 2 + length
    frame = file.read(6)
    if len(frame) < 6:
        raise TruncatedFile
    depth, height, width, bands = struct.unpack(">BHHB", frame)
    if swaps_axes(orientation):
        width, height = height, width
    unsupported = "" if depth == 8 else f"{depth}-bit JPEG values"
    scans = "" if marker in _BASELINE else "progressive"
    return ImageHeader(
        "JPEG",
        width,
        height,
        bands,
        depth,
        unsupported=unsupported,
        truncated=truncated,
        orientation=orientation,
        scans=scans,
    )


def _exif_orientation(file: BinaryIO, start: int) -> int:
    """Return the orientation in EXIF data that start at an offset."""
    try:
        directory = tiff.read_directory(file, start)
    except TruncatedFile:
        return UPRIGHT
    return UPRIGHT if directory is None else _orientation(directory)


def _orientation(directory: TiffDirectory) -> int:
    value = directory.value(tiff.ORIENTATION, UPRIGHT)
    return value if 1 <= value <= 8 else UPRIGHT


def _parse_bmp(file: BinaryIO, head: bytes) -> ImageHeader | None:
    if len(head) < 30:
        raise TruncatedFile
    pixels, header_size = struct.unpack_from("<II", head, 10)
    if header_size == 12:  # OS/2
        width, height, _, depth = struct.unpack_from("<HHHH", head, 18)
        compression = 0
    else:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", head, 18)
    row = (abs(width) * depth + 31) // 32 * 4
    end = pixels + row * abs(height) if compression in _BMP_UNCOMPRESSED else pixels
    bands = 4 if depth == 32 else 3 if depth in (16, 24) else 1
    truncated = _file_size(file) < end
    return ImageHeader("BMP", abs(width), abs(height), bands, 8 if depth > 8 else depth, truncated=truncated)


def _parse_tiff(file: BinaryIO, _: bytes) -> ImageHeader | None:
    directory = tiff.read_directory(file)
    if directory is None:
        return None
    depths, orientation = directory.fields.get(tiff.BITS_PER_SAMPLE), _orientation(directory)
    sides = (tiff.HEIGHT, tiff.WIDTH) if swaps_axes(orientation) else (tiff.WIDTH, tiff.HEIGHT)
    return ImageHeader(
        "TIFF",
        directory.value(sides[0], 0),
        directory.value(sides[1], 0),
        directory.value(tiff.SAMPLES_PER_PIXEL, 1),
        1 if depths is None or not len(depths.values) else int(depths.values.max()),
        _tiff_dtype(directory),
        unsupported=_unsupported_tiff(directory),
        needs_rasterio=_needs_rasterio(file, directory),
        truncated=directory.data_end() > _file_size(file),
        directory=directory,
        alpha=tiff.has_alpha(directory),
        orientation=orientation,
    )


def _tiff_dtype(directory: TiffDirectory) -> str:
    kind = {2: "int", 3: "float"}.get(directory.value(tiff.SAMPLE_FORMAT, 1), "uint")
    depth = directory.value(tiff.BITS_PER_SAMPLE, 1)
    name = f"{kind}{next((size for size in (8, 16, 32) if depth <= size), 64)}"
    return name if name != "float8" else "uint8"


def _unsupported_tiff(directory: TiffDirectory) -> str:
    """Name what no reader converts to color in a TIFF file; empty otherwise."""
    photometric, depth = directory.value(tiff.PHOTOMETRIC, 1), directory.value(tiff.BITS_PER_SAMPLE, 1)
    sample_kind = directory.value(tiff.SAMPLE_FORMAT, 1)
    if photometric not in _PHOTOMETRIC:
        return f"color model {photometric} (PhotometricInterpretation)"
    if sample_kind in _COMPLEX:
        return f"{depth}-bit {_SAMPLE_KINDS[sample_kind]} values"
    return f"{depth}-bit {_PHOTOMETRIC[photometric]}" if depth > 8 and photometric in _EIGHT_BIT_ONLY else ""


def _needs_rasterio(file: BinaryIO, directory: TiffDirectory) -> str:
    """Name what OpenCV ignores or cannot decode in a TIFF file; empty if the pixels are right."""
    if tiff.GDAL_NODATA in directory.fields:
        return "a value of pixels without data (nodata)"
    if b'role="colorinterp"' in directory.text(tiff.GDAL_METADATA):
        return "bands with a color interpretation"
    if directory.value(tiff.SAMPLES_PER_PIXEL, 1) == 2 and tiff.has_alpha(directory):
        return "gray with alpha"
    return _undecodable_by_opencv(directory) or ("a mask of pixels without data" if tiff.has_mask(file) else "")


def _undecodable_by_opencv(directory: TiffDirectory) -> str:
    """Name what OpenCV decodes to wrong pixels, or not at all; empty if the pixels are right."""
    bands, photometric = directory.value(tiff.SAMPLES_PER_PIXEL, 1), directory.value(tiff.PHOTOMETRIC, 1)
    depths = directory.fields.get(tiff.BITS_PER_SAMPLE)
    depth = directory.value(tiff.BITS_PER_SAMPLE, 1)
    sample_kind = directory.value(tiff.SAMPLE_FORMAT, 1)
    if sample_kind not in (1, 4):  # 4: undefined, in practice unsigned
        return f"{depth}-bit {_SAMPLE_KINDS.get(sample_kind, 'unknown')} values"
    if depth not in (1, 8, 16):
        return f"{depth}-bit values"
    if depths is not None and (depths.values != depth).any():
        return "bands of different depth"
    if bands > 4 or (depth == 16 and bands == 2):
        return f"{bands} bands of {depth} bits"
    if depth == 16 and photometric not in (1, 2):
        return f"16-bit {_PHOTOMETRIC[photometric]}"
    if depth == 16 and bands > 1 and directory.value(tiff.PLANAR_CONFIGURATION, 1) == 2:
        return "16-bit bands in separate planes (INTERLEAVE=BAND)"
    if swaps_axes(_orientation(directory)):
        return f"orientation {_orientation(directory)}"
    return ""


def _parse_jp2(file: BinaryIO, _: bytes) -> ImageHeader | None:
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    start = head.find(_J2K_SIGNATURE)
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", head, start + 8)
    bands, kind = struct.unpack_from(">HB", head, start + 40)
    if right <= left or bottom <= top or not bands:
        return None
    depth, signed = (kind & 127) + 1, kind >> 7
    dtype = f"{'int' if signed else 'uint'}{8 if depth <= 8 else 16 if depth <= 16 else 32}"
    return ImageHeader("JPEG 2000", right - left, bottom - top, bands, depth, dtype, needs_rasterio="JPEG 2000")


def _parse_vrt(file: BinaryIO, _: bytes) -> ImageHeader | None:
    file.seek(0)
    text = file.read(_MAX_VRT_BYTES)
    size = re.search(rb'rasterXSize="(\d{1,9})"\s+rasterYSize="(\d{1,9})"', text)
    types = [kind.decode().lower() for kind in re.findall(rb'<VRTRasterBand[^>]*dataType="([A-Za-z]+\d*)"', text)]
    if size is None or not (int(size[1]) and int(size[2])):
        return None
    dtype = types[0] if types and types[0] in _VRT_TYPES else "uint8"
    depth = 8 * np.dtype(dtype).itemsize
    return ImageHeader("VRT", int(size[1]), int(size[2]), max(1, len(types)), depth, dtype, needs_rasterio="VRT")


def _tail(file: BinaryIO) -> bytes:
    file.seek(max(_file_size(file) - _TAIL_BYTES, 0))
    return file.read()


def _file_size(file: BinaryIO) -> int:
    return file.seek(0, 2)
