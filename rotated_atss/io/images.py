"""Pixels from files and into files, with errors that name the file."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import cv2
import numpy as np

from rotated_atss.errors import UserError
from rotated_atss.io.opencv import silent_opencv
from rotated_atss.io.png import Image, decode_png, encode_png, readable_png

IMAGE_FORMATS = ("png", "jpg", "bmp", "tif")

_TAIL = 4096  # bytes at the end of a file in which its closing mark must lie; some writers append a little
# first bytes -> the mark near the end of a complete file. OpenCV decodes a cut JPEG to grey without saying so.
_CLOSING_MARKS = {b"\x89PNG": b"IEND", b"\xff\xd8\xff": b"\xff\xd9"}
_PNG_HEAD = 29  # bytes that tell a PNG's size and kind
_OTHER_COMPRESSION = 40  # bytes of memory a byte of file, at most, for formats whose header is not read


def read_image(path: str | Path) -> Image:
    """Read an image as (H, W, 3), uint8, BGR.

    Grey becomes three equal channels, 16 bit the upper 8, alpha is dropped and an EXIF orientation applied: what
    ``cv2.imread`` does, and with it mmrotate's tool and the training loaders.

    Raises:
        UserError: The file is missing, no image, cut short, or larger than OpenCV reads.
    """
    _check_complete(Path(path))
    image = _read_plain_png(Path(path))
    return _read_with_opencv(Path(path)) if image is None else image


def _read_plain_png(path: Path) -> Image | None:
    """None of whatever is better left to OpenCV."""
    with path.open("rb") as file:
        head = file.read(_PNG_HEAD)
        return decode_png(head + file.read()) if readable_png(head) else None


def _read_with_opencv(path: Path) -> Image:
    try:
        with silent_opencv():
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:
        raise UserError("the image is too large to read", where=path, hint=_too_large(error)) from None
    if image is None:
        raise UserError("not a readable image, or a damaged one", where=path, hint="fetch or convert it again")
    return np.asarray(image, dtype=np.uint8)


def encode_image(image: Image, image_format: str) -> bytes:
    """The file, in one of ``IMAGE_FORMATS``, of an image (H, W, 3), uint8, BGR."""
    if image_format == "png":
        return encode_png(image)
    _, data = cv2.imencode(f".{image_format}", image)
    return data.tobytes()


def estimate_decode_bytes(path: Path) -> int:
    """How much memory reading an image takes: told by a PNG's header, guessed from above for others.

    OpenCV's PNG decoder holds the image twice (29,200 x 27,620 pixels were measured at 4.8 GB), ours three times, and
    the file.
    """
    with path.open("rb") as file:
        head = file.read(_PNG_HEAD)
    if not head:
        return 1  # what reads it says what is wrong
    if head[:4] == b"\x89PNG" and len(head) >= 24:
        pixels = math.prod(struct.unpack(">II", head[16:24]))
        return 9 * pixels + path.stat().st_size if readable_png(head) else max(1, 6 * pixels)
    return _OTHER_COMPRESSION * path.stat().st_size


def _check_complete(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(max(path.stat().st_size - _TAIL, 0))
            tail = file.read()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=path) from error
    if not head:
        raise UserError("the image file is empty", where=path, hint="fetch it again")
    for start, mark in _CLOSING_MARKS.items():
        if head.startswith(start) and mark not in tail:
            raise UserError("the image is cut short", where=path, hint="fetch it again")


def _too_large(error: Exception) -> str:
    if "CV_IO_MAX_IMAGE" in str(error):
        return "raise OpenCV's limit, for example: export OPENCV_IO_MAX_IMAGE_PIXELS=4000000000"
    return "fewer --workers leave each more memory"
