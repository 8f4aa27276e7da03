"""Tile names: the source image of a tile, its offset and its scale."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rotated_atss.errors import UserError, quote

MIN_WINDOW_SIZE = 32
"""Smallest window side in pixels. Therefore, a smaller number in a tile name must be a resize rate."""

# Numbers of at most nine digits fit in int32.
_NAME = re.compile(
    r"(?P<image>.+)__(?P<size_or_rate>\d{1,9}(?:\.\d{1,9})?)__(?P<x>-?\d{1,9})___(?P<y>-?\d{1,9})", re.ASCII
)


@dataclass(frozen=True)
class TileName:
    """Source image, resize rate and offset of a tile.

    A ``point`` in pixels of the tile lies at ``(point + (x, y)) / rate`` in the source image.

    Attributes:
        image_id: Name of the source image without suffix.
        rate: Factor by which the source image was resized before it was split.
        x: Left edge of the tile on the resized image, in pixels.
        y: Top edge of the tile on the resized image, in pixels.
    """

    image_id: str
    rate: float
    x: int
    y: int


def parse_tile_name(name: str) -> TileName:
    """Parse a tile name such as ``P0001__1024__0___824`` or ``P0001__0.5__0___824``.

    An integer of at least :data:`MIN_WINDOW_SIZE` in the second field is a window size at rate 1 (naming of mmrotate's
    image splitter); any other number is the resize rate (naming of DOTA_devkit). The image id may contain ``__``.

    Raises:
        UserError: ``name`` is not a tile name.

    Example:
        >>> parse_tile_name("P0001__1024__0___824")
        TileName(image_id='P0001', rate=1.0, x=0, y=824)
        >>> parse_tile_name("P0001__0.5__0___824").rate
        0.5
    """
    match = _NAME.fullmatch(name)
    size_or_rate = match["size_or_rate"] if match else "0"  # a name that does not match is rejected below
    is_window_size = size_or_rate.isdigit() and int(size_or_rate) >= MIN_WINDOW_SIZE
    rate = 1.0 if is_window_size else float(size_or_rate)
    if match is None or rate <= 0:
        hint = "use IMAGE__SIZE__X___Y, such as P0001__1024__0___824, or IMAGE__RATE__X___Y"
        raise UserError(f"{quote(name)} is not a tile name", hint=hint)
    return TileName(match["image"], rate, int(match["x"]), int(match["y"]))


def is_tile_name(name: str) -> bool:
    """Return whether :func:`parse_tile_name` accepts ``name``.

    Example:
        >>> is_tile_name("P0001__1024__0___824"), is_tile_name("P0001")
        (True, False)
    """
    try:
        parse_tile_name(name)
    except UserError:
        return False
    return True
