"""The submission zip, and the check of one."""

import zipfile

import numpy as np
import pytest

from rotated_atss.dota.detections import Detections
from rotated_atss.dota.submission import check_submission, write_submission
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


def rewritten(path, change):
    """The zip with ``change`` applied to its dictionary of files."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def told(path, **kwargs):
    return "\n".join(map(str, check_submission(path, CLASSES, **kwargs)))


def test_every_class_has_a_file_at_the_top(zip_path):
    with zipfile.ZipFile(zip_path) as archive:
        assert archive.namelist() == [f"Task1_{name}.txt" for name in CLASSES]
        assert archive.read("Task1_plane.txt") == b""
        assert archive.read("Task1_ship.txt").startswith(b"P1 0.123456789 0.0 10.0 20.0 ")
    assert check_submission(zip_path, CLASSES) == []


def test_the_same_detections_give_the_same_bytes(zip_path, tmp_path):
    write_submission(tmp_path / "again.zip", {"ship": detections_on("P1", "P2")}, CLASSES)
    assert (tmp_path / "again.zip").read_bytes() == zip_path.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.zip", "submission.zip"]


def test_what_is_not_zipped(tmp_path):
    with pytest.raises(UserError, match="class 'shp'.*'ship'"):
        write_submission(tmp_path / "a.zip", {"shp": detections_on("P1")}, CLASSES)
    with pytest.raises(UserError, match="'P1__1024__0___0' is a tile"):
        write_submission(tmp_path / "a.zip", {"ship": detections_on("P1__1024__0___0")}, CLASSES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: files.pop("Task1_plane.txt"), "error: Task1_plane.txt: missing"),
        (lambda files: files.update({"out/Task1_ship.txt": b""}), "error: out/Task1_ship.txt: in a folder"),
        (lambda files: files.update({"readme.md": b""}), "error: readme.md: not a Task1_<class>.txt"),
        (lambda files: files.update({"Task1_shp.txt": b""}), "error: Task1_shp.txt: unknown class; .*'ship'"),
        (
            lambda files: files.update({"Task1_ship.txt": b"P1__1.0__0___0 1 1 2 3 4 5 6 7 8\n"}),
            "error: Task1_ship.txt: names of tiles, such as P1__1.0__0___0: merge into full images first$",
        ),
        (lambda files: files.update({"Task1_ship.txt": b"P1 1 1 2 3 4\n"}), "error: Task1_ship.txt:1: .*10 fields"),
        (lambda files: files.update({"Task1_ship.txt": b"P1 1 1 2 3 4 5 6 7 nan\n"}), "error: Task1_ship.txt:1: 'nan'"),
        (
            lambda files: files.update({"Task1_ship.txt": b"P1 1 .1 .2 .3 .4 .5 .6 .7 1\n"}),
            "error: coordinates: all lie between 0 and 1",
        ),
        (lambda files: files.update({"Task1_ship.txt": b"P1 1.5 1 2 3 4 5 6 7 8\n"}), "warning: .*scores outside"),
        (
            lambda files: files.update({"Task1_ship.txt": b"P1 0.51 1 2 3 4 5 6 7 8\n" * 100}),
            "warning: scores: only two decimals",
        ),
    ],
)
def test_what_the_check_finds(zip_path, change, words):
    import re

    assert re.search(words, told(rewritten(zip_path, change)))


def test_files_on_tiles_are_told_once(zip_path):
    lines = {f"Task1_{name}.txt": b"P1__1024__0___0 1 1 2 3 4 5 6 7 8\n" for name in ("ship", "plane", "harbor")}
    for images in (None, ["P1"]):
        words = told(rewritten(zip_path, lambda files: files.update(lines)), images=images)
        assert words == (
            "error: Task1_harbor.txt: names of tiles, such as P1__1024__0___0: merge into full images first "
            "(and so in 2 more files)"
        )


def test_image_ids_against_a_folder(zip_path, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("P1.png", "P3.png", "P4.png"):
        (folder / name).touch()
    words = told(zip_path, images=folder)
    assert "error: Task1_ship.txt: 1 unknown image ids, the first 'P2'" in words
    assert "warning: images: 2 of 3 images have no detection, the first 'P3': were all tiles tested" in words


def test_a_few_images_without_detections_are_told_calmly(zip_path):
    words = told(zip_path, images=["P1", "P2", "P3"])
    assert words == "warning: images: 1 of 3 images have no detection, the first 'P3'"
    assert told(zip_path, images=["P1", "P2"]) == ""


def test_images_of_another_set_are_an_error(zip_path):
    assert "error: images: none of these images has a detection" in told(zip_path, images=["Q1", "Q2"])


def test_a_folder_is_checked_too(tmp_path):
    for name in CLASSES:
        (tmp_path / f"Task1_{name}.txt").write_text("")
    assert check_submission(tmp_path, CLASSES) == []


def test_what_is_no_zip(tmp_path):
    (tmp_path / "a.zip").write_text("hello")
    with pytest.raises(UserError, match="not a readable zip"):
        check_submission(tmp_path / "a.zip", CLASSES)
    with pytest.raises(UserError, match="no such file"):
        check_submission(tmp_path / "b.zip", CLASSES)
