"""Ground resolution of images, from the ``gsd`` lines of DOTA label files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes

MIN_RESOLUTION, MAX_RESOLUTION = 0.01, 100.0  # m/px
_HEADER_BYTES = 512
_GSD = re.compile(rb"^\s*gsd\s*:\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*$", re.MULTILINE)


def read_ground_resolution(path: str | Path) -> float | None:
    r"""Read the ground resolution of an image from the header of its label file.

    Args:
        path: A DOTA label file, which need not exist.

    Returns:
        Meters per pixel; None if the file does not state it, or states less than 0.01 or more than 100: some files of
        DOTA state degrees.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("imagesource:GoogleEarth\ngsd:0.266578848023\n")
        ...     read_ground_resolution(f"{folder}/P1.txt")
        0.266578848023
    """
    try:
        return parse_ground_resolution(read_bytes(path, length=_HEADER_BYTES))
    except UserError:
        return None


def parse_ground_resolution(text: bytes) -> float | None:
    r"""Parse the ``gsd`` line of a DOTA label file, as :func:`read_ground_resolution` does.

    Args:
        text: The header lines, with or without the lines of objects.

    Example:
        >>> parse_ground_resolution(b"imagesource:GoogleEarth\ngsd:0.25"), parse_ground_resolution(b"gsd:null")
        (0.25, None)
    """
    found = _GSD.search(text)
    resolution = float(found[1]) if found else 0.0
    return resolution if MIN_RESOLUTION <= resolution <= MAX_RESOLUTION else None


def median_ground_resolution(paths: Iterable[str | Path]) -> float | None:
    """Return the median ground resolution of images, rounded to millimeters.

    Args:
        paths: Their label files.

    Returns:
        Meters per pixel; None if no file states it.

    Example:
        >>> median_ground_resolution(["no_such_file.txt"]) is None
        True
    """
    stated = [value for value in map(read_ground_resolution, paths) if value is not None]
    return round(median(stated), 3) if stated else None
