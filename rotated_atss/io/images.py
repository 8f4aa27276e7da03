"""Reading and encoding of images, with errors that name the file."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import cv2
import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io.opencv import silent_opencv
from rotated_atss.io.png import HEAD_BYTES, Image, can_decode_png, decode_png, encode_png

IMAGE_FORMATS = ("png", "jpg", "bmp", "tif")

# First bytes of a file -> its end marker. OpenCV decodes a truncated JPEG to gray pixels without an error.
_END_MARKERS = {b"\x89PNG": b"IEND", b"\xff\xd8\xff": b"\xff\xd9"}
_TAIL_BYTES = 4096  # the end marker is searched in the last bytes, as some writers append data
_MAX_COMPRESSION = 40  # upper bound of memory per byte of file, for formats whose header is not read


def read_image(path: str | Path) -> Image:
    """Read an image as (H, W, 3) uint8, BGR.

    The result equals that of ``cv2.imread``, as in mmrotate's image splitter and in training: gray images get three
    equal channels, 16-bit images keep the upper 8 bits, alpha is dropped and the EXIF orientation is applied.

    Raises:
        UserError: The file is missing, not an image, truncated, or larger than OpenCV's limit.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.png").write_bytes(encode_image(np.full((2, 3, 3), 7, np.uint8), "png"))
        ...     read_image(Path(folder, "a.png")).shape
        (2, 3, 3)
    """
    path = Path(path)
    _check_complete(path)
    image = _read_png(path)
    return _read_with_opencv(path) if image is None else image


def _read_png(path: Path) -> Image | None:
    """Read an image with :func:`decode_png`; None if only OpenCV can read it."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        return decode_png(head + file.read()) if can_decode_png(head) else None


def _read_with_opencv(path: Path) -> Image:
    try:
        with silent_opencv():
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:
        raise UserError("the image is too large to read", where=path, hint=_size_hint(error)) from None
    if image is None:
        raise UserError("not a readable image, or damaged", where=path, hint="download or convert it again")
    return np.asarray(image, dtype=np.uint8)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return width and height of the image that :func:`read_image` returns, from the header of a PNG file.

    Raises:
        UserError: As :func:`read_image`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.png").write_bytes(encode_image(np.zeros((2, 3, 3), np.uint8), "png"))
        ...     image_size(Path(folder, "a.png"))
        (3, 2)
    """
    path = Path(path)
    _check_complete(path)
    with path.open("rb") as file:
        head = file.read(24)
    if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR":
        width, height = struct.unpack(">II", head[16:24])
        return width, height
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
    """Estimate the memory in bytes for reading an image, from its PNG header or as an upper bound.

    OpenCV's PNG decoder holds the image twice (4.8 GB were measured for 29,200 x 27,620 pixels), :func:`decode_png`
    three times plus the file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.bmp").write_bytes(encode_image(np.zeros((2, 2, 3), np.uint8), "bmp"))
        ...     estimate_decode_bytes(Path(folder, "a.bmp"))
        2800
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return 1  # an empty file: read_image raises
    if head[:4] == b"\x89PNG" and len(head) >= 24:
        pixels = math.prod(struct.unpack(">II", head[16:24]))
        return 9 * pixels + path.stat().st_size if can_decode_png(head) else max(1, 6 * pixels)
    return _MAX_COMPRESSION * path.stat().st_size


def _check_complete(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
            tail = file.read()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=path) from error
    if not head:
        raise UserError("the image file is empty", where=path, hint="download it again")
    for signature, marker in _END_MARKERS.items():
        if head.startswith(signature) and marker not in tail:
            raise UserError("the image is truncated", where=path, hint="download it again")


def _size_hint(error: Exception) -> str:
    if "CV_IO_MAX_IMAGE" in str(error):
        return "raise OpenCV's limit, for example: export OPENCV_IO_MAX_IMAGE_PIXELS=4000000000"
    return "use fewer --workers, which leaves more memory to each"
