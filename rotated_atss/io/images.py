"""Reading and encoding of images, with errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError
from rotated_atss.io import tiff
from rotated_atss.io.bit_depth import count_values, to_8_bit, used_bits
from rotated_atss.io.image_header import ImageHeader, UnreadableImageError, read_header
from rotated_atss.io.opencv import silent_opencv
from rotated_atss.io.png import HEAD_BYTES, Image, can_decode_png, decode_png, encode_png

IMAGE_FORMATS = ("png", "jpg", "bmp", "tif")

_MAX_COMPRESSION = 40  # upper bound of bytes in memory per byte in the file, where the header cannot be read
_MAX_BUFFER_BYTES = (1 << 31) - 1  # limit of cv2.imdecode


def read_image(path: str | Path, bits: int | None = None) -> Image:
    """Read an image as (H, W, 3) uint8, BGR.

    8-bit pixels equal those of ``cv2.imread``, as in mmrotate's image splitter and in training: gray images get three
    equal channels, alpha is dropped and the EXIF orientation is applied. A TIFF file with three or four bands gives the
    first three as red, green and blue, whatever band 4 is. 16-bit values are divided by 2^(bits - 8)
    (:mod:`rotated_atss.io.bit_depth`).

    Args:
        path: A PNG, JPEG, TIFF or BMP file.
        bits: Used bits of 16-bit images, 8 to 16; None counts those of this image. 8-bit images are never scaled. For
            several images :func:`rotated_atss.io.conversion.plan_conversion` finds a common number.

    Raises:
        UnreadableImageError: The file is missing, truncated, damaged or not an image.
        UserError: The pixels are of an unsupported kind, or exceed OpenCV's limit.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.png").write_bytes(encode_image(np.full((2, 3, 3), 7, np.uint8), "png"))
        ...     read_image(Path(folder, "a.png")).shape
        (2, 3, 3)
    """
    path = Path(path)
    header = check_header(path)
    image = _read_png(path)
    if image is not None:
        return image
    pixels = _decode(path, header)
    if pixels.dtype != np.uint16:
        return pixels
    return to_8_bit(pixels, used_bits(count_values(pixels)) if bits is None else bits)


def check_header(path: Path) -> ImageHeader | None:
    """Read the header of an image and refuse pixels that :func:`read_image` does not support.

    Returns:
        The header; None for other formats, which are left to OpenCV.

    Raises:
        UnreadableImageError: The file is missing, empty or truncated.
        UserError: The pixels are of an unsupported kind.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.bmp").write_bytes(encode_image(np.zeros((2, 3, 3), np.uint8), "bmp"))
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


def count_pixel_values(path: Path) -> NDArray[np.int64] | None:
    """Count the values of a 16-bit image.

    Returns:
        (65536,) counts; None if the image has another depth or cannot be read, which :func:`read_image` reports.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.full((2, 3), 9, np.uint16))
        ...     int(count_pixel_values(Path(folder, "a.png"))[9])
        18
    """
    try:
        pixels = _decode(path, check_header(path))
    except UserError:
        return None
    return count_values(pixels) if pixels.dtype == np.uint16 else None


def _read_png(path: Path) -> Image | None:
    """Read an image with :func:`decode_png`; None if only OpenCV can read it."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        return decode_png(head + file.read()) if can_decode_png(head) else None


def _decode(path: Path, header: ImageHeader | None) -> NDArray[Any]:
    """Decode an image with OpenCV as (H, W, 3), BGR, in its own depth of 8 or 16 bits."""
    deep = header is not None and header.depth == 16
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_ANYDEPTH if deep else 0)
    directory = None if header is None else header.directory
    try:
        with silent_opencv():
            if directory is not None and tiff.needs_plain_bands(directory):
                image = cv2.imdecode(_with_plain_bands(path, directory), flags)
            else:
                image = cv2.imread(str(path), flags)
    except (cv2.error, MemoryError) as error:
        raise UserError("the image is too large to read", where=path, hint=_size_hint(error)) from None
    if image is None:
        raise UnreadableImageError("not a readable image, or damaged", where=path, hint="download or convert it again")
    return np.asarray(image, dtype=np.uint16 if deep else np.uint8)


def _with_plain_bands(path: Path, directory: tiff.TiffDirectory) -> NDArray[np.uint8]:
    if path.stat().st_size > _MAX_BUFFER_BYTES:
        hint = "keep three bands, for example: gdal_translate -b 1 -b 2 -b 3 IN OUT"
        raise UserError("TIFF files of more than 2 GiB with a fourth band are not supported", where=path, hint=hint)
    return np.frombuffer(tiff.with_plain_bands(path.read_bytes(), directory), np.uint8)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return width and height of the image that :func:`read_image` returns, from its header where possible.

    Raises:
        UserError: As :func:`read_image`.

    Example:
        >>> import tempfile
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
        >>> encode_image(np.zeros((2, 3, 3), np.uint8), "bmp")[:2]
        b'BM'
    """
    if image_format == "png":
        return encode_png(image)
    _, data = cv2.imencode(f".{image_format}", image)
    return data.tobytes()


def estimate_decode_bytes(path: Path) -> int:
    """Estimate the memory in bytes for reading an image, from width, height, bands and depth in its header.

    OpenCV holds the decoded image and its result (4.8 GB were measured for a PNG of 29,200 x 27,620 pixels),
    :func:`decode_png` three images plus the file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.bmp").write_bytes(encode_image(np.zeros((20, 20, 3), np.uint8), "bmp"))
        ...     estimate_decode_bytes(Path(folder, "a.bmp"))
        2400
    """
    try:
        header = read_header(path)
    except UserError:  # read_image raises it
        return 1
    if header is None:
        return _MAX_COMPRESSION * path.stat().st_size
    pixels = header.width * header.height
    if header.file_format == "PNG" and _has_plain_head(path):
        return 9 * pixels + path.stat().st_size
    decoded = max(3, header.bands) * (2 if header.depth > 8 else 1)
    plain_bands = header.directory is not None and tiff.needs_plain_bands(header.directory)
    return max(1, pixels * (decoded + 3) + (2 * path.stat().st_size if plain_bands else 0))


def _has_plain_head(path: Path) -> bool:
    with path.open("rb") as file:
        return can_decode_png(file.read(HEAD_BYTES))


def _size_hint(error: Exception) -> str:
    if "CV_IO_MAX_IMAGE" in str(error):
        return "raise OpenCV's limit, for example: export OPENCV_IO_MAX_IMAGE_PIXELS=4000000000"
    return "use fewer --workers, which leaves more memory to each"
