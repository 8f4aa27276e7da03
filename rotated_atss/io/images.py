"""Reading and encoding of images, with errors that name the file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from rotated_atss.errors import UserError
from rotated_atss.io import tiff
from rotated_atss.io.decode import decode_image
from rotated_atss.io.image_header import ImageHeader, check_header, read_header
from rotated_atss.io.image_reader import choose_reader, open_image, whole_image_bytes
from rotated_atss.io.pixel_options import PixelOptions
from rotated_atss.io.png import Image, can_decode_png, encode_png
from rotated_atss.io.png_chunks import HEAD_BYTES
from rotated_atss.io.raster_reader import RasterReader

IMAGE_FORMATS = ("png", "jpg", "bmp", "tif")
"""Formats that :func:`encode_image` writes."""

# If the header of a file cannot be read, its decoded size is assumed to be this multiple of the file size.
_MAX_COMPRESSION = 40
# Memory of a reader that decodes only some rows or tiles:
_BUFFERED_ROWS = 2048  # rows of pixels in 8-bit color: the height of two windows of 1024 pixels
_DECODED_ROWS = 512  # rows of pixels that are decoded at once, in the type of the file
_READER_BYTES = 64 << 20  # buffers such as GDAL's cache


def read_image(path: str | Path, options: PixelOptions | None = None) -> Image:
    """Read an image as (H, W, 3) uint8, BGR.

    8-bit pixels equal those of ``cv2.imread``, which mmrotate's image splitter uses: gray images get three equal
    channels, and the EXIF orientation is applied. Pixels without data (alpha 0, nodata, a mask) get the padding color.
    Values of other types are scaled (:class:`rotated_atss.io.pixel_options.PixelOptions`).

    Args:
        path: An image file.
        options: Scaling and bands. None finds a scaling for this image alone;
            :func:`rotated_atss.io.conversion.plan_conversion` finds one for several images.

    Raises:
        UnreadableImageError: The file is missing, truncated, damaged or not an image.
        UserError: The pixel format is not supported, or the image exceeds OpenCV's limit.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.png").write_bytes(encode_image(np.full((2, 3, 3), 7, np.uint8), "png"))
        ...     read_image(Path(folder, "a.png")).shape
        (2, 3, 3)
    """
    with open_image(path, options) as image:
        return image.read()


def sample_values(path: Path, options: PixelOptions) -> NDArray[Any]:
    """Return the values from which a scaling is chosen.

    They are all values of the image, or the values in some windows if the image is read with rasterio.

    Args:
        path: An image file.
        options: Selection of the bands. The scaling is not used.

    Returns:
        (N,) values in the type of the file; pixels without data are left out.

    Raises:
        UserError: The image is unreadable, not supported or too large.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.full((2, 3), 9, np.uint16))
        ...     sample_values(Path(folder, "a.png"), PixelOptions()).shape  # OpenCV reads gray as three equal bands
        (18,)
    """
    header = check_header(path)
    if header is not None and choose_reader(path, header, options)[0] == "raster":
        with closing(RasterReader(path, options)) as reader:
            return reader.sample_values()
    values, valid = decode_image(path, header)
    return (values if valid is None else values[valid]).reshape(-1)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return width and height of the image that :func:`read_image` returns, from its header where possible.

    Raises:
        UserError: The image is unreadable or not supported.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.png").write_bytes(encode_image(np.zeros((2, 3, 3), np.uint8), "png"))
        ...     image_size(Path(folder, "a.png"))
        (3, 2)
    """
    header = check_header(Path(path))
    if header is not None:
        return header.width, header.height
    height, width = read_image(path).shape[:2]
    return width, height


def encode_image(image: Image, image_format: str) -> bytes:
    """Encode an image in a file format.

    Args:
        image: (H, W, 3) uint8, BGR.
        image_format: One of ``IMAGE_FORMATS``.

    Example:
        >>> import numpy as np
        >>> encode_image(np.zeros((2, 3, 3), np.uint8), "bmp")[:2]
        b'BM'
    """
    if image_format == "png":
        return encode_png(image)
    _, data = cv2.imencode(f".{image_format}", image)
    return data.tobytes()


def estimate_decode_bytes(path: Path) -> int:
    """Estimate the memory in bytes for reading an image, from width, height, bands and depth in its header.

    OpenCV needs memory for the decoded image and for the image that it returns (4.8 GB were measured for a PNG of
    29,200 x 27,620 pixels). :func:`rotated_atss.io.png.decode_png` needs memory for three images and the file. Readers
    of rows or tiles need memory only for some rows.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.bmp").write_bytes(encode_image(np.zeros((20, 20, 3), np.uint8), "bmp"))
        ...     estimate_decode_bytes(Path(folder, "a.bmp"))
        2400
    """
    try:
        header = read_header(path)
        kind = "whole" if header is None else choose_reader(path, header, PixelOptions())[0]
    except UserError:  # reading the image raises the same error
        return 1
    if header is None:
        return _MAX_COMPRESSION * path.stat().st_size
    if kind != "whole":
        return max(1, min(whole_image_bytes(header), _partial_read_bytes(header)))
    if header.file_format == "PNG" and _can_decode_png_file(path):
        return 3 * 3 * header.width * header.height + path.stat().st_size  # three images of three bands
    # If OpenCV would change the bands of a TIFF file, the file is decoded from a copy with edited tags.
    needs_edit = header.tiff_directory is not None and tiff.opencv_changes_bands(header.tiff_directory)
    edit_bytes = 2 * path.stat().st_size if needs_edit else 0  # the file and its edited copy
    return max(1, whole_image_bytes(header) + edit_bytes)


def _partial_read_bytes(header: ImageHeader) -> int:
    """Estimate the memory in bytes for reading windows from top to bottom, without decoding the whole image."""
    color_bytes = 3 * header.width * _BUFFERED_ROWS
    value_bytes = 3 * max(1, header.depth // 8) * header.width * _DECODED_ROWS
    return color_bytes + 2 * value_bytes + _READER_BYTES  # twice the values, because scaling makes a copy


def _can_decode_png_file(path: Path) -> bool:
    with path.open("rb") as file:
        return can_decode_png(file.read(HEAD_BYTES))
