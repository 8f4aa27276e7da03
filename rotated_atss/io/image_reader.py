"""Opening of images of any size and format, to read windows of them as 8-bit color."""

from __future__ import annotations

import logging
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from rotated_atss.errors import UserError
from rotated_atss.io.decode import decode_image
from rotated_atss.io.georeference import Georeference
from rotated_atss.io.georeference_files import add_sidecars
from rotated_atss.io.image_header import ImageHeader, check_header
from rotated_atss.io.jpeg_rows import JpegRows, has_vips
from rotated_atss.io.orientation import UPRIGHT, orient_georeference
from rotated_atss.io.pixel_options import PixelOptions
from rotated_atss.io.png_rows import PngRows, can_read_png_rows
from rotated_atss.io.raster_reader import RasterReader, has_rasterio, read_georeference
from rotated_atss.io.reader_interface import ArrayReader, ImageReader
from rotated_atss.io.row_reader import RowReader
from rotated_atss.io.scaling import fill_invalid, is_resolved, resolve_scaling, scale_to_8_bit

__all__ = [
    "ArrayReader",
    "ImageReader",
    "PixelOptions",
    "WholeImageReader",
    "find_georeference",
    "open_image",
    "requires_conversion",
]

ReaderKind = Literal["whole", "raster", "png rows", "jpeg rows"]

logger = logging.getLogger(__name__)

_INSTALL = 'pip install "rotated-atss[geo]"'
# An image that takes more bytes than this when it is decoded to 8-bit color, that is, an image of more than 22 million
# pixels, is read in parts if its format and the installed packages allow this.
_LARGE_BYTES = 64 << 20


class WholeImageReader(ArrayReader):
    """An image that is decoded into memory as a whole when it is opened.

    Pixels with alpha 0 have the padding color.
    """

    def __init__(self, path: str | Path, options: PixelOptions) -> None:
        self._header = check_header(Path(path))
        values, valid = decode_image(Path(path), self._header)
        if not is_resolved(values.dtype, options):
            options = resolve_scaling(values if valid is None else values[valid], options)
        super().__init__(fill_invalid(scale_to_8_bit(values, options), valid), path)
        self.dtype = str(values.dtype)
        if self._header is not None:
            self.bands = self._header.bands

    @cached_property
    def georeference(self) -> Georeference | None:  # type: ignore[override]
        """Map position of the pixels; None if it is unknown."""
        return find_georeference(self.path)


def find_georeference(path: str | Path) -> Georeference | None:
    """Read the georeference from an image file, or its world file and ``.prj``, without decoding pixels.

    Args:
        path: The image file.

    Returns:
        The georeference; None if there is none, or if only rasterio can read it and rasterio is not installed.

    Raises:
        UserError: The header of the image, or its world file, is malformed.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.zeros((20, 30, 3), np.uint8))
        ...     _ = Path(folder, "a.pgw").write_text("2 0 0 -2 101 199")
        ...     find_georeference(f"{folder}/a.png").transform
        (2.0, 0.0, 100.0, 0.0, -2.0, 200.0)
    """
    path = Path(path)
    header = check_header(path)
    is_geotiff = header is not None and header.tiff_directory is not None and header.tiff_directory.is_georeferenced
    if header is not None and (is_geotiff or header.needs_rasterio_for) and has_rasterio():
        return read_georeference(path)
    georeference = add_sidecars(None, path)
    if georeference is None or header is None:
        return georeference
    return orient_georeference(georeference, header.width, header.height, header.orientation)


def open_image(path: str | Path, options: PixelOptions | None = None) -> ImageReader:
    """Open an image, to read windows of it or the whole image.

    Args:
        path: The image file.
        options: Conversion to 8-bit color; None uses the defaults of :class:`PixelOptions`.

    Raises:
        UnreadableImageError: The file is missing, truncated, damaged or not an image.
        UserError: The pixel format is not supported.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.full((20, 30, 3), 7, np.uint8))
        ...     with open_image(f"{folder}/a.png") as image:
        ...         (image.width, image.height), image.read((10, 0, 30, 5)).shape
        ((30, 20), (5, 20, 3))
    """
    path, options = Path(path), PixelOptions() if options is None else options
    header = check_header(path)
    if header is None:
        return WholeImageReader(path, options)
    kind, reason = choose_reader(path, header, options)
    if kind == "raster":
        return RasterReader(path, options)
    if kind == "whole":
        if reason:
            _warn_about_memory(path, whole_image_bytes(header), reason)
        return WholeImageReader(path, options)
    # The options have no effect here: these decoders read 8-bit images only, which are not scaled, and choose_reader
    # does not choose them for a selection of bands.
    decoder = PngRows(path) if kind == "png rows" else JpegRows(path)
    return RowReader(path, decoder, header.bands, add_sidecars(None, path))


def choose_reader(path: Path, header: ImageHeader, options: PixelOptions) -> tuple[ReaderKind, str]:
    """Choose how an image is read.

    Small images of 8 and 16 bits are decoded by OpenCV as a whole. Large images are read by rows or by tiles if their
    format and the installed packages allow this.

    Args:
        path: The file.
        header: Its header.
        options: Conversion of its pixels.

    Returns:
        The kind of reader, and a reason. If a large image is decoded as a whole, the reason says why; otherwise it is
        empty.

    Raises:
        UserError: Only rasterio reads the image correctly, and it is not installed.

    Example:
        >>> choose_reader(Path("a.png"), ImageHeader("PNG", 640, 480, 3, 8), PixelOptions())
        ('whole', '')
        >>> choose_reader(Path("a.jpg"), ImageHeader("JPEG", 30000, 30000, 3, 8, scans="progressive"), PixelOptions())
        ('whole', 'it is progressive')
    """
    if _needs_rasterio(path, header, options):
        return "raster", ""
    if 3 * header.width * header.height <= _LARGE_BYTES:
        return "whole", ""
    if header.scans:
        return "whole", f"it is {header.scans}"
    if header.file_format in ("PNG", "JPEG") and header.orientation != UPRIGHT:
        return "whole", f"its EXIF orientation is {header.orientation}"
    if header.file_format == "JPEG":
        return _choose_jpeg_reader(header)
    if header.file_format == "PNG" and can_read_png_rows(path):
        return "png rows", ""
    return ("raster", "") if has_rasterio() else ("whole", f"the package rasterio is not installed: {_INSTALL}")


def _choose_jpeg_reader(header: ImageHeader) -> tuple[ReaderKind, str]:
    if header.bands == 4:
        return "whole", "its color model is CMYK"
    return ("jpeg rows", "") if has_vips() else ("whole", f"the package pyvips is not installed: {_INSTALL}")


def requires_conversion(path: Path, options: PixelOptions) -> bool:
    """Return whether the values of an image must be scaled to 8 bits or can be read correctly by rasterio only.

    The padding color of pixels with alpha 0 does not count as a conversion.

    Args:
        path: The file.
        options: Conversion of its pixels.

    Raises:
        UserError: The image is unreadable.

    Example:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.zeros((2, 3), np.uint8))
        ...     requires_conversion(Path(folder, "a.png"), PixelOptions())
        False
    """
    header = check_header(path)
    return header is not None and (header.dtype != "uint8" or _needs_rasterio(path, header, options))


def _needs_rasterio(path: Path, header: ImageHeader, options: PixelOptions) -> bool:
    """Return whether only rasterio reads a file correctly.

    Raises:
        UserError: Only rasterio reads the file correctly, and it is not installed.
    """
    if header.needs_rasterio_for:
        feature = header.needs_rasterio_for
    elif options.bands is not None:
        feature = "a selection of bands"
    elif path.with_name(f"{path.name}.msk").exists():  # GDAL reads a mask from the file <image>.msk
        feature = "a mask of pixels without data"
    else:
        return False
    if not has_rasterio():
        what = f"only the package rasterio can read {feature} correctly"
        raise UserError(what, where=path, hint=_INSTALL)
    return True


@cache
def _warn_about_memory(path: Path, memory_bytes: int, reason: str) -> None:
    """Warn that an image is loaded as a whole, once per file."""
    message = "%s: the image is loaded as a whole, which takes about %.1f GB of memory, because %s"
    logger.warning(message, path, memory_bytes / 1e9, reason)


def whole_image_bytes(header: ImageHeader) -> int:
    """Estimate the memory in bytes for decoding a whole image, including the 8-bit copy made by OpenCV or the scaling.

    Example:
        >>> whole_image_bytes(ImageHeader("JPEG", 30000, 30000, 3, 8))
        5400000000
    """
    decoded_bytes_per_pixel = max(3, header.bands) * (2 if header.depth > 8 else 1)
    copy_bytes_per_pixel = 3
    return header.width * header.height * (decoded_bytes_per_pixel + copy_bytes_per_pixel)
