"""Names of tiles: which image a tile was cut from, where, and at what scale."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rotated_atss.errors import UserError

_NAME = re.compile(r"(?P<image>.+)__(?P<scale>\d+(?:\.\d+)?)__(?P<x>-?\d+)___(?P<y>-?\d+)")
MIN_WINDOW_SIZE = 32


@dataclass(frozen=True)
class TileName:
    """Where a tile was cut: a point of it lies at ``(point + (x, y)) / rate`` on the image ``image_id``."""

    image_id: str
    rate: float
    x: int
    y: int


def parse_tile_name(name: str) -> TileName:
    """Take ``P0001__1024__0___824`` or ``P0001__0.5__0___824`` apart; the image id may hold ``__`` itself.

    An integer of 32 or more in the second field is the side of a window that was cut without resampling (rate 1, as
    mmrotate's splitter names tiles); anything else is the rate at which the image was resampled before cutting (as
    DOTA_devkit's).

    Raises:
        UserError: Not a tile's name.
    """
    match = _NAME.fullmatch(name)
    scale = match["scale"] if match else "0"
    window = scale.isdigit() and int(scale) >= MIN_WINDOW_SIZE
    rate = 1.0 if window else float(scale)
    if match is None or rate <= 0:
        raise UserError(
            f"'{name}' is no tile's name", hint="IMAGE__SIZE__X___Y, as P0001__1024__0___824, or IMAGE__RATE__X___Y"
        )
    return TileName(match["image"], rate, int(match["x"]), int(match["y"]))


def is_tile_name(name: str) -> bool:
    """Whether :func:`parse_tile_name` can take ``name`` apart."""
    try:
        parse_tile_name(name)
    except UserError:
        return False
    return True
