"""Ground resolution of images, from the ``gsd`` lines of DOTA label files."""

from __future__ import annotations

import re

MIN_RESOLUTION, MAX_RESOLUTION = 0.01, 100.0  # m/px
_GSD = re.compile(rb"^\s*gsd\s*:\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*$", re.MULTILINE)


def parse_ground_resolution(text: bytes) -> float | None:
    r"""Parse the ground resolution of an image, which the header of its DOTA label file contains.

    Args:
        text: The header lines, with or without the lines of objects.

    Returns:
        Meters per pixel, or None if there is no ``gsd`` line or its value is below 0.01 or above 100. These limits
        exclude values in degrees, which some files of DOTA have.

    Example:
        >>> parse_ground_resolution(b"imagesource:GoogleEarth\ngsd:0.25"), parse_ground_resolution(b"gsd:null")
        (0.25, None)
    """
    match = _GSD.search(text)
    resolution = float(match[1]) if match else 0.0
    return resolution if MIN_RESOLUTION <= resolution <= MAX_RESOLUTION else None
