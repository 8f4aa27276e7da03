"""Writing of the submission zip."""

import zipfile

import numpy as np
import pytest

from rotated_atss.dota.detections import Detections
from rotated_atss.dota.submission import write_submission
from rotated_atss.dota.submission_check import check_submission
from rotated_atss.errors import UserError

CLASSES = ("plane", "ship", "harbor")


def detections_on(*images, score=0.123456789):
    polygons = np.arange(8.0) * 10 + np.arange(len(images))[:, None]
    return Detections.from_ids(images, np.full(len(images), score), polygons)


@pytest.fixture
def zip_path(tmp_path):
    path = tmp_path / "submission.zip"
    write_submission(path, {"ship": detections_on("P1", "P2")}, CLASSES)
    return path


def test_zip_has_one_file_per_class_at_the_top_level(zip_path):
    with zipfile.ZipFile(zip_path) as archive:
        assert archive.namelist() == [f"Task1_{name}.txt" for name in CLASSES]
        assert archive.read("Task1_plane.txt") == b""
        assert archive.read("Task1_ship.txt").startswith(b"P1 0.123456789 0.0 10.0 20.0 ")
    assert check_submission(zip_path, CLASSES) == []


def test_equal_detections_give_equal_bytes(zip_path, tmp_path):
    write_submission(tmp_path / "again.zip", {"ship": detections_on("P1", "P2")}, CLASSES)
    assert (tmp_path / "again.zip").read_bytes() == zip_path.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.zip", "submission.zip"]


def test_unknown_classes_and_tiles_raise(tmp_path):
    with pytest.raises(UserError, match=r"class 'shp'.*'ship'"):
        write_submission(tmp_path / "a.zip", {"shp": detections_on("P1")}, CLASSES)
    with pytest.raises(UserError, match="'P1__1024__0___0' is a tile"):
        write_submission(tmp_path / "a.zip", {"ship": detections_on("P1__1024__0___0")}, CLASSES)
    assert list(tmp_path.iterdir()) == []
