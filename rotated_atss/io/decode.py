"""Decoding of whole images to three color bands, with the bit depth of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rotated_atss.errors import UserError
from rotated_atss.io import tiff
from rotated_atss.io.image_header import ImageHeader, damaged_image_error
from rotated_atss.io.opencv import silent_opencv
from rotated_atss.io.orientation import turn_upright
from rotated_atss.io.png import Image, can_decode_png, decode_png
from rotated_atss.io.png_chunks import HEAD_BYTES, has_complete_chunks

_MAX_BUFFER_BYTES = (1 << 31) - 1  # limit of cv2.imdecode


def decode_image(path: Path, header: ImageHeader | None) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Decode an image to BGR pixels (H, W, 3): uint16 if the file has 16 bits per sample, otherwise uint8.

    Args:
        path: A PNG, JPEG, TIFF or BMP file.
        header: Its header; None for a format whose header is not parsed.

    Returns:
        The pixels (H, W, 3), and a mask (H, W) that is True where alpha is not 0. Without alpha, the mask is None.

    Raises:
        UnreadableImageError: The file is missing, damaged or not an image.
        UserError: The image exceeds OpenCV's limit or the memory.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.bmp", np.zeros((2, 3, 3), np.uint8))
        ...     pixels, valid = decode_image(Path(folder, "a.bmp"), None)
        >>> pixels.shape, valid
        ((2, 3, 3), None)
    """
    if header is not None and header.has_alpha:
        return _decode_with_alpha(path, header)
    image = _decode_fast_png(path)
    if image is None:
        image = _decode_with_opencv(path, header, _color_flags(header))
    return image, None


def _color_flags(header: ImageHeader | None) -> int:
    """Return the flags of ``cv2.imread`` for three bands: of 16 bits if the file has 16 bits, otherwise of 8 bits."""
    is_16_bit = header is not None and header.depth == 16
    return cv2.IMREAD_COLOR | (cv2.IMREAD_ANYDEPTH if is_16_bit else 0)


def _decode_with_alpha(path: Path, header: ImageHeader) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Decode color and alpha, and apply the orientation, which OpenCV ignores when it decodes all bands."""
    bands = _decode_with_opencv(path, header, cv2.IMREAD_UNCHANGED)
    if bands.ndim != 3 or bands.shape[2] != 4:  # OpenCV has found no alpha band
        return _decode_with_opencv(path, header, _color_flags(header)), None
    bands = turn_upright(bands, header.orientation)
    return np.ascontiguousarray(bands[..., :3]), bands[..., 3] > 0


def _decode_fast_png(path: Path) -> Image | None:
    """Decode an image with :func:`decode_png`. Return None if ``decode_png`` does not support the file."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        return decode_png(head + file.read()) if can_decode_png(head) else None


def _decode_with_opencv(path: Path, header: ImageHeader | None, flags: int) -> NDArray[Any]:
    tiff_directory = None if header is None else header.tiff_directory
    # OpenCV would allocate up to 2 GiB for a chunk of a damaged PNG file
    if header is not None and header.file_format == "PNG" and not has_complete_chunks(path):
        raise damaged_image_error(path)
    try:
        with silent_opencv():
            if tiff_directory is not None and tiff.opencv_changes_bands(tiff_directory):
                image = cv2.imdecode(_read_edited_tiff(path, tiff_directory), flags)
            else:
                image = cv2.imread(str(path), flags)
    except (cv2.error, MemoryError) as error:
        raise UserError("the image is too large to read", where=path, hint=_size_hint(error)) from None
    if image is None:
        raise damaged_image_error(path)
    return np.asarray(image)


def _read_edited_tiff(path: Path, directory: tiff.TiffDirectory) -> NDArray[np.uint8]:
    """Read a TIFF file and edit it so that OpenCV decodes the bands unchanged; return its (N,) bytes."""
    if path.stat().st_size > _MAX_BUFFER_BYTES:
        hint = "keep three bands, for example: gdal_translate -b 1 -b 2 -b 3 IN OUT"
        raise UserError("TIFF files of more than 2 GiB with a fourth band are not supported", where=path, hint=hint)
    return np.frombuffer(tiff.edit_for_opencv(path.read_bytes(), directory), np.uint8)


def _size_hint(error: Exception) -> str:
    if "CV_IO_MAX_IMAGE" in str(error):  # OpenCV names the limit that the image exceeds
        return "raise OpenCV's limit, for example: export OPENCV_IO_MAX_IMAGE_PIXELS=4000000000"
    return "use fewer --workers, which leaves more memory to each worker"
