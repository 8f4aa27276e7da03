"""Headers of image files: size, bands and type of the pixels, and properties that decide which reader is used.

PNG, JPEG, TIFF, BMP, JPEG 2000 and VRT files are parsed without decoding pixels.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io import tiff
from rotated_atss.io.files import is_special_file
from rotated_atss.io.jpeg_frame import read_jpeg_frame
from rotated_atss.io.orientation import UPRIGHT, swaps_axes
from rotated_atss.io.png_chunks import HEAD_BYTES, PNG_SIGNATURE, iter_leading_chunks
from rotated_atss.io.tiff import TiffDirectory, TruncatedFile
from rotated_atss.io.tiff_pixels import find_opencv_limitation, find_unsupported, sample_dtype

_JPEG_SIGNATURE = b"\xff\xd8\xff"
_JP2_SIGNATURE, _J2K_SIGNATURE = b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"
_JPEG_END = b"\xff\xd9"
# A complete JPEG file contains _JPEG_END and a complete PNG file contains IEND within the last bytes. The marker need
# not come last, because some writers append data.
_TAIL_BYTES = 4096
_PNG_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # bands by color type
_PNG_ALPHA_TYPES = (4, 6)  # color types with an alpha band
_BMP_UNCOMPRESSED = (0, 3, 6)  # compression methods that store all pixels in full
_MAX_JP2_BYTES = 1 << 16  # the codestream of a JPEG 2000 file is searched for in these first bytes
_MAX_VRT_BYTES = 1 << 26  # only these first bytes of a VRT file, which is XML, are searched
# GDAL's names of data types, in lower case, that NumPy uses too. Bands of other types, such as Byte, count as uint8.
_VRT_TYPES = ("int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


class UnreadableImageError(UserError):
    """Error for an image file that is missing, empty, truncated, damaged or not an image.

    Example:
        >>> print(UnreadableImageError("the image is truncated", where="a.png"))
        a.png: the image is truncated
    """


def damaged_image_error(path: str | Path, reason: object = "") -> UnreadableImageError:
    """Return the error of a file whose pixels cannot be decoded.

    Args:
        path: The file.
        reason: Message of the decoder; empty if there is none.

    Example:
        >>> print(damaged_image_error("a.png"))
        a.png: not a readable image, or damaged (download or convert it again)
    """
    suffix = f": {reason}" if reason else ""
    what = f"not a readable image, or damaged{suffix}"
    return UnreadableImageError(what, where=path, hint="download or convert it again")


@dataclass(frozen=True)
class ImageHeader:
    """Contents of an image header.

    Attributes:
        file_format: ``"PNG"``, ``"JPEG"``, ``"TIFF"``, ``"BMP"``, ``"JPEG 2000"`` or ``"VRT"``. If the file ends within
            its header, ``file_format`` is empty, and width, height, bands and depth are 0.
        width: Width in pixels, after the EXIF orientation is applied.
        height: Height in pixels, after the EXIF orientation is applied.
        bands: Samples per pixel, including alpha; 1 for palette images.
        depth: Bits per sample; in a TIFF file, the largest number of all bands.
        dtype: Name of the NumPy type of a sample, such as ``"uint16"``; ``"uint8"`` also for fewer than 8 bits.
        unsupported: If no reader supports the pixel format, its description for the error message; otherwise empty.
        needs_rasterio_for: If only :class:`rotated_atss.io.raster_reader.RasterReader` reads the file correctly, the
            feature of the file that OpenCV does not read, for the error message; otherwise empty.
        truncated: Whether the file ends before its pixels do.
        tiff_directory: The first directory of a TIFF file, which contains its tags.
        has_alpha: Whether the file marks transparent pixels: by its last band or, in a PNG file, by a color or palette.
        orientation: EXIF or TIFF orientation, 1 to 8.
        scans: ``"interlaced"`` or ``"progressive"`` if the file stores the image in several passes, so that no row is
            complete before the end of the file; otherwise empty.
    """

    file_format: str
    width: int
    height: int
    bands: int
    depth: int
    dtype: str = "uint8"
    unsupported: str = ""
    needs_rasterio_for: str = ""
    truncated: bool = False
    tiff_directory: TiffDirectory | None = field(default=None, repr=False)
    has_alpha: bool = False
    orientation: int = UPRIGHT
    scans: str = ""

    @property
    def has_extra_band(self) -> bool:
        """Whether there are bands other than alpha and the color bands of a gray, RGB or CMYK image."""
        tags = self.tiff_directory
        is_cmyk = tags is not None and tags.value(tiff.PHOTOMETRIC, tiff.MIN_IS_BLACK) == tiff.CMYK
        bands_without_alpha = self.bands - 1 if self.has_alpha else self.bands
        # PNG files have no extra bands. The fourth band is black (CMYK) in a JPEG file, and unused in a BMP file.
        return self.file_format not in ("PNG", "JPEG", "BMP") and bands_without_alpha > 3 and not is_cmyk


def read_header(path: str | Path) -> ImageHeader | None:
    """Read the header of an image file.

    Returns:
        The header; None for formats that this module does not parse, and for damaged headers.

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
            raise UnreadableImageError("not a regular file", where=path, hint="give the path of a file")
        with open(path, "rb") as file:
            return parse_header(file, path)
    except OSError as error:
        raise UnreadableImageError(f"cannot be read: {error.strerror}", where=path) from error


def check_header(path: Path) -> ImageHeader | None:
    """Read the header of an image, and raise an error if the file is unreadable or its pixel format is not supported.

    Returns:
        The header; None for formats that this module does not parse and for damaged headers. OpenCV accepts or rejects
        these files later.

    Raises:
        UnreadableImageError: The file is missing, empty or truncated.
        UserError: The pixel format is not supported.

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
        raise UserError(f"the pixel format is not supported, got {header.unsupported}", where=path, hint=hint)
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
    head = file.read(64)  # more than the longest signature, and the headers of PNG and BMP
    if not head:
        raise UnreadableImageError("the image file is empty", where=path, hint="download it again")
    # Parsers by signature. Of the PNG signature, only the first 4 bytes are compared, to recognize PNG files that end
    # within their signature.
    parsers = {
        PNG_SIGNATURE[:4]: _parse_png, _JPEG_SIGNATURE: _parse_jpeg, b"BM": _parse_bmp, b"II": _parse_tiff,
        b"MM": _parse_tiff, _JP2_SIGNATURE: _parse_jp2, _J2K_SIGNATURE: _parse_jp2, b"<VRTDataset": _parse_vrt,
    }  # fmt: skip
    parse = next((parse for signature, parse in parsers.items() if head.startswith(signature)), None)
    try:
        return None if parse is None else parse(file, head)
    except TruncatedFile:
        return ImageHeader("", 0, 0, 0, 0, truncated=True)
    except struct.error:
        return None


def _parse_png(file: BinaryIO, head: bytes) -> ImageHeader | None:
    if len(head) < HEAD_BYTES:
        raise TruncatedFile
    if head[:8] != PNG_SIGNATURE or head[12:16] != b"IHDR":
        return None
    width, height, depth, color_type = struct.unpack_from(">IIBB", head, 16)
    interlace = head[28]
    bands = _PNG_BANDS.get(color_type)
    if bands is None or width == 0 or height == 0:
        return None
    positions = dict(iter_leading_chunks(file))  # kind of a chunk -> offset of its data
    orientation = tiff.read_exif_orientation(file, positions[b"eXIf"]) if b"eXIf" in positions else UPRIGHT
    if swaps_axes(orientation):
        width, height = height, width
    has_transparent_color = b"tRNS" in positions
    return ImageHeader(
        "PNG", width, height, bands, depth, "uint16" if depth == 16 else "uint8",
        needs_rasterio_for="a gray value of transparent pixels" if has_transparent_color and color_type == 0 else "",
        truncated=b"IEND" not in _read_tail(file), has_alpha=has_transparent_color or color_type in _PNG_ALPHA_TYPES,
        orientation=orientation, scans="interlaced" if interlace else "",
    )  # fmt: skip


def _parse_jpeg(file: BinaryIO, _: bytes) -> ImageHeader | None:
    truncated = _JPEG_END not in _read_tail(file)  # OpenCV decodes a truncated JPEG to gray pixels without an error
    frame = read_jpeg_frame(file)
    if frame is None:
        return None
    width, height = (frame.height, frame.width) if swaps_axes(frame.orientation) else (frame.width, frame.height)
    return ImageHeader(
        "JPEG", width, height, frame.bands, frame.depth,
        unsupported="" if frame.depth == 8 else f"{frame.depth}-bit JPEG values", truncated=truncated,
        orientation=frame.orientation, scans="progressive" if frame.is_progressive else "",
    )  # fmt: skip


def _parse_bmp(file: BinaryIO, head: bytes) -> ImageHeader | None:
    if len(head) < 30:  # in the usual header, the field with the bits per pixel ends at byte 30
        raise TruncatedFile
    pixels_start, header_size = struct.unpack_from("<II", head, 10)
    if header_size == 12:  # the OS/2 header, with 16-bit sizes and without compression
        width, height, _, bits_per_pixel = struct.unpack_from("<HHHH", head, 18)
        compression = 0
    else:
        width, height, _, bits_per_pixel, compression = struct.unpack_from("<iiHHI", head, 18)
    width, height = abs(width), abs(height)  # a negative height means that rows are stored from top to bottom
    row_bytes = (width * bits_per_pixel + 31) // 32 * 4  # rows are padded to a multiple of 4 bytes
    # The length of compressed pixels is unknown, so the file is only required to reach the start of the pixels.
    pixels_end = pixels_start + row_bytes * height if compression in _BMP_UNCOMPRESSED else pixels_start
    bands = 4 if bits_per_pixel == 32 else 3 if bits_per_pixel in (16, 24) else 1
    return ImageHeader("BMP", width, height, bands, min(bits_per_pixel, 8), truncated=_file_size(file) < pixels_end)


def _parse_tiff(file: BinaryIO, _: bytes) -> ImageHeader | None:
    directory = tiff.read_directory(file)
    if directory is None:
        return None
    width, height = directory.value(tiff.WIDTH, 0), directory.value(tiff.HEIGHT, 0)
    if swaps_axes(directory.orientation):
        width, height = height, width
    depths = directory.fields.get(tiff.BITS_PER_SAMPLE)  # one per band
    max_depth = int(depths.values.max()) if depths is not None and len(depths.values) else 1
    return ImageHeader(
        "TIFF", width, height, directory.value(tiff.SAMPLES_PER_PIXEL, 1), max_depth, sample_dtype(directory),
        unsupported=find_unsupported(directory), needs_rasterio_for=find_opencv_limitation(file, directory),
        truncated=directory.data_end() > _file_size(file),
        tiff_directory=directory, has_alpha=tiff.has_alpha(directory),
        orientation=directory.orientation,
    )  # fmt: skip


def _parse_jp2(file: BinaryIO, _: bytes) -> ImageHeader | None:
    """Parse the SIZ segment, which is the first segment in the codestream of a JPEG 2000 file.

    From 8 bytes after the start of the signature on, it contains

    - right, bottom, left and top of the image (4 bytes each),
    - width, height, left and top of the tiles (4 bytes each), which are not used here,
    - the number of bands (2 bytes),
    - the format of the first band (1 byte: 1 bit ``is_signed``, 7 bits ``depth - 1``).
    """
    file.seek(0)
    head = file.read(_MAX_JP2_BYTES)
    start = head.find(_J2K_SIGNATURE)
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", head, start + 8)
    bands, sample_format = struct.unpack_from(">HB", head, start + 40)
    if right <= left or bottom <= top or not bands:
        return None
    depth, is_signed = (sample_format & 127) + 1, sample_format >> 7
    sample_bits = 8 if depth <= 8 else 16 if depth <= 16 else 32
    dtype = f"int{sample_bits}" if is_signed else f"uint{sample_bits}"
    return ImageHeader("JPEG 2000", right - left, bottom - top, bands, depth, dtype, needs_rasterio_for="JPEG 2000")


def _parse_vrt(file: BinaryIO, _: bytes) -> ImageHeader | None:
    file.seek(0)
    text = file.read(_MAX_VRT_BYTES)
    size = re.search(rb'rasterXSize="(\d{1,9})"\s+rasterYSize="(\d{1,9})"', text)
    types = [name.decode().lower() for name in re.findall(rb'<VRTRasterBand[^>]*dataType="([A-Za-z]+\d*)"', text)]
    if size is None or not (int(size[1]) and int(size[2])):
        return None
    dtype = types[0] if types and types[0] in _VRT_TYPES else "uint8"
    depth = 8 * np.dtype(dtype).itemsize
    return ImageHeader("VRT", int(size[1]), int(size[2]), max(1, len(types)), depth, dtype, needs_rasterio_for="VRT")


def _read_tail(file: BinaryIO) -> bytes:
    file.seek(max(_file_size(file) - _TAIL_BYTES, 0))
    return file.read()


def _file_size(file: BinaryIO) -> int:
    return file.seek(0, 2)
