"""Write pictures as PNG files. Inputs are never overwritten; files of other programs can be protected too."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import cv2

from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, reject_overlapping_output
from rotated_atss.io.png import Image

# A PNG text chunk after the header marks the files of this package. A chunk consists of four parts: the length of its
# data, its type, its data, and a checksum of type and data.
_CHUNK_TYPE = b"tEXt"
_CHUNK_DATA = b"Software\0rotated-atss"
_CHUNK_LENGTH = struct.pack(">I", len(_CHUNK_DATA))
_CHUNK_CHECKSUM = struct.pack(">I", zlib.crc32(_CHUNK_TYPE + _CHUNK_DATA))
_SIGNATURE = _CHUNK_LENGTH + _CHUNK_TYPE + _CHUNK_DATA + _CHUNK_CHECKSUM
_SIGNATURE_OFFSET = 33  # bytes: 8 of the magic number and 25 of the header chunk


def write_png(
    path: str | Path, image: Image, *, inputs: Iterable[str | Path] = (), protect_foreign: bool = False
) -> Path:
    """Write an image as a PNG file, atomically.

    Args:
        path: Path of the file, which ends in ``.png``.
        image: (H, W, 3), uint8, BGR.
        inputs: Files and folders that were read. ``path`` must neither be one of them nor be inside one.
        protect_foreign: Replace an existing file only if this function wrote it.

    Returns:
        ``path``.

    Raises:
        UserError: The suffix is not ``.png``, the path is an input or a protected file, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_png(f"{folder}/gray.png", np.full((4, 6, 3), 128, np.uint8)).name
        'gray.png'
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise UserError(f"pictures are written as .png, got '{target.suffix}'", where=target)
    reject_overlapping_output(target, inputs, hint="choose another folder")
    if protect_foreign:
        check_overwritable(target)
    _, encoded = cv2.imencode(".png", image)
    data = encoded.tobytes()
    atomic_write(target, data[:_SIGNATURE_OFFSET] + _SIGNATURE + data[_SIGNATURE_OFFSET:])
    return target


def check_overwritable(path: str | Path) -> None:
    """Check that a path does not exist, or is a file that :func:`write_png` has written.

    Raises:
        UserError: The path is a folder, or a file of another program.

    Example:
        >>> check_overwritable("no/such/file.png")
    """
    if Path(path).is_dir():
        raise UserError("is a folder, not a file", where=path, hint="choose another output folder")
    if Path(path).exists() and not is_written_by_this_package(path):
        hint = "choose another output folder"
        raise UserError("the file was not written by rotated-atss and is not replaced", where=path, hint=hint)


def is_written_by_this_package(path: str | Path) -> bool:
    """Return whether an existing file was written by :func:`write_png`.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_png(f"{folder}/gray.png", np.full((4, 6, 3), 128, np.uint8))
        ...     is_written_by_this_package(path)
        True
    """
    with open(path, "rb") as file:
        return file.read(_SIGNATURE_OFFSET + len(_SIGNATURE)).endswith(_SIGNATURE)
