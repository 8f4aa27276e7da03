"""Names of tiles of mmrotate, DOTA_devkit and this package."""

import pytest

from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.errors import UserError


@pytest.mark.parametrize(
    ("name", "image", "rate", "x", "y"),
    [
        ("P0001__1024__0___824", "P0001", 1.0, 0, 824),
        ("P0001__32__5___6", "P0001", 1.0, 5, 6),
        ("P0001__1__0___824", "P0001", 1.0, 0, 824),
        ("P0001__1.0__600___0", "P0001", 1.0, 600, 0),
        ("P0001__0.5__0___824", "P0001", 0.5, 0, 824),
        ("P0001__1.001__0___824", "P0001", 1.001, 0, 824),
        ("P0001__2__0___824", "P0001", 2.0, 0, 824),
        ("a__b__1024__7___8", "a__b", 1.0, 7, 8),
        ("a__1.0__3___4__0.5__7___8", "a__1.0__3___4", 0.5, 7, 8),
    ],
)
def test_tile_names(name, image, rate, x, y):
    tile = parse_tile_name(name)
    assert (tile.image_id, tile.rate, tile.x, tile.y) == (image, rate, x, y)


@pytest.mark.parametrize("name", ["P0001", "P0001__1024__0__824", "P0001__0__0___824", "__1__0___0", "P1__1e3__0___0"])
def test_what_is_no_tile_name(name):
    with pytest.raises(UserError, match="is not a tile name"):
        parse_tile_name(name)
