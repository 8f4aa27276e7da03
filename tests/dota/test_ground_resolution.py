"""Ground resolution from the headers of label files."""

from __future__ import annotations

import pytest

from rotated_atss.dota.ground_resolution import parse_ground_resolution


@pytest.mark.parametrize(
    ("text", "resolution"),
    [
        ("imagesource:GoogleEarth\ngsd:0.266578848023\n1 2 3 2 3 4 1 4 ship 0\n", 0.266578848023),
        ("imagesource:GoogleEarth\r\ngsd: 3e-1\r\n", 0.3),
        ("gsd:null\n", None),
        ("gsd:None", None),
        ("gsd:2.68220901489e-06\n", None),  # degrees, in DOTA
        ("gsd:1e999\n", None),
        ("gsd:-1\n", None),
        ("1 2 3 2 3 4 1 4 ship 0\n", None),
        ("", None),
    ],
)
def test_resolution_of_a_file(text, resolution):
    assert parse_ground_resolution(text.encode()) == resolution
