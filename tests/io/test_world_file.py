"""World files and .prj files beside an image."""

from __future__ import annotations

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.world_file import read_world_file

ROTATED = "0.3\n0.4\n0.4\n-0.3\n100\n200\n"  # A, D, B, E, center of the upper left pixel


@pytest.mark.parametrize(
    "image, name",
    [
        ("P1.png", "P1.pgw"), ("P1.png", "P1.PNGW"), ("P1.jpg", "P1.jgw"), ("P1.tif", "P1.tfw"), ("P1.tif", "P1.wld"),
        ("P1.jpeg", "P1.jgw"), ("a.b.bmp", "a.b.bpw"),
    ],
)  # fmt: skip
def test_names_of_world_files(tmp_path, image, name):
    (tmp_path / name).write_text("0.5\n0\n0\n-0.5\n1000.25\n1999.75\n")
    assert read_world_file(tmp_path / image).transform == (0.5, 0, 1000, 0, -0.5, 2000)


def test_the_values_refer_to_the_center_of_the_upper_left_pixel(tmp_path):
    (tmp_path / "P1.pgw").write_text(ROTATED)
    assert read_world_file(tmp_path / "P1.png").to_map([0.5, 0.5]) == pytest.approx([100, 200])
    # A, B, C and D, E, F: one pixel to the right adds (A, D), one down adds (B, E)
    assert read_world_file(tmp_path / "P1.png").to_map([1.5, 0.5]) == pytest.approx([100.3, 200.4])
    assert read_world_file(tmp_path / "P1.png").to_map([0.5, 1.5]) == pytest.approx([100.4, 199.7])


def test_the_crs_is_the_text_of_the_prj_file(tmp_path):
    (tmp_path / "P1.pgw").write_text(ROTATED)
    assert read_world_file(tmp_path / "P1.png").crs is None
    (tmp_path / "P1.prj").write_text("\ufeffEPSG:32650\n")
    assert read_world_file(tmp_path / "P1.png").crs == "EPSG:32650"


def test_an_image_without_a_world_file(tmp_path):
    (tmp_path / "P1.prj").write_text("EPSG:32650")
    assert read_world_file(tmp_path / "P1.png") is None


@pytest.mark.parametrize(
    "text, message",
    [
        ("1 2 3", "P1.pgw: not a world file, got '1 2 3'"),
        ("a b c d e f", "not a world file"),
        ("0 0 0 0 1 2", "P1.pgw: the transform to map coordinates is not invertible"),
        ("nan 0 0 1 1 2", "not invertible"),
    ],
)
def test_malformed_world_files(tmp_path, text, message):
    (tmp_path / "P1.pgw").write_text(text)
    with pytest.raises(UserError, match=message):
        read_world_file(tmp_path / "P1.png")
