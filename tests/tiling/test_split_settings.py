"""Names of tiles in both styles."""

import pytest

from rotated_atss.dota.tiles import parse_tile_name
from rotated_atss.errors import UserError
from rotated_atss.tiling.split_settings import SplitSettings


@pytest.mark.parametrize("rate", [0.3, 0.5, 1.0, 1.001, 2.0])
@pytest.mark.parametrize("style", ["mmrotate", "devkit"])
def test_tile_names_parse_back(rate, style):
    settings = SplitSettings(sizes=(100,), gaps=(10,), rates=(rate,), name_style=style)
    size = settings.grids()[0][0]
    parsed = parse_tile_name(settings.tile_name("P__1", rate, [7, 8, 7 + size, 8 + size]))
    assert (parsed.image_id, parsed.x, parsed.y) == ("P__1", 7, 8)
    assert parsed.rate == (rate if style == "devkit" else 1.0)


def test_a_window_larger_than_a_tile_can_be():
    with pytest.raises(UserError, match=r"window sizes must be at most 32768 px, got 99999999999 px"):
        SplitSettings(sizes=[99999999999])
    with pytest.raises(UserError, match=r"at most 32768 px, got 204800 px"):
        SplitSettings(sizes=[2048], rates=[0.01])
