"""World files and .prj beside plain images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.georeference_files import add_sidecars
from rotated_atss.io.image_reader import open_image

WORLD = "0.5\n0\n0\n-0.5\n1000.25\n1999.75\n"


@pytest.mark.parametrize(
    ("image", "world"),
    [("a.tif", "a.tfw"), ("a.tif", "a.tifw"), ("a.tif", "a.wld"), ("a.png", "a.pgw"), ("a.jpg", "a.JGW")],
)
def test_world_file_and_prj(tmp_path, image, world):
    cv2.imwrite(str(tmp_path / image), np.zeros((4, 5, 3), np.uint8))
    with open_image(tmp_path / image) as reader:
        assert reader.georeference is None
    (tmp_path / world).write_text(WORLD)
    with open_image(tmp_path / image) as reader:
        assert reader.georeference.transform == (0.5, 0, 1000, 0, -0.5, 2000)
        assert reader.georeference.crs is None
    (tmp_path / "a.prj").write_text("EPSG:32650\n")
    with open_image(tmp_path / image) as reader:
        assert reader.georeference.crs == "EPSG:32650"


@pytest.mark.parametrize("text", ["", "1 2 3", "a b c d e f", "0 0 0 0 1 1", "nan 0 0 1 1 1", WORLD + "7"])
def test_bad_world_file_raises_with_its_path(tmp_path, text):
    (tmp_path / "a.pgw").write_text(text)
    with pytest.raises(UserError, match=r"a\.pgw: "):
        add_sidecars(None, tmp_path / "a.png")


def test_prj_alone_is_no_georeference(tmp_path):
    (tmp_path / "a.prj").write_text("EPSG:32650")
    assert add_sidecars(None, tmp_path / "a.png") is None
