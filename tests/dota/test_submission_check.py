"""Checks of a submission."""

import re
import zipfile

import numpy as np
import pytest

from rotated_atss.dota.detections import Detections
from rotated_atss.dota.submission import write_submission
from rotated_atss.dota.submission_check import check_submission
from rotated_atss.errors import UserError

CLASSES = ("plane", "ship", "harbor")


@pytest.fixture
def zip_path(tmp_path):
    path = tmp_path / "submission.zip"
    polygons = np.arange(8.0) * 10 + np.arange(2)[:, None]
    write_submission(path, {"ship": Detections.from_ids(["P1", "P2"], np.full(2, 0.123456789), polygons)}, CLASSES)
    return path


def rewrite(path, change):
    """Apply ``change`` to the zip's dictionary of files."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def findings(path, **kwargs):
    return "\n".join(map(str, check_submission(path, CLASSES, **kwargs)))


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda files: files.pop("Task1_plane.txt"), "error: Task1_plane.txt: missing"),
        (lambda files: files.update({"out/Task1_ship.txt": b""}), "error: out/Task1_ship.txt: in a folder"),
        (lambda files: files.update({"readme.md": b""}), "error: readme.md: not a Task1_<class>.txt"),
        (lambda files: files.update({"Task1_shp.txt": b""}), "error: Task1_shp.txt: unknown class; .*'ship'"),
        (
            lambda files: files.update({"Task1_ship.txt": b"P1__1.0__0___0 1 1 2 3 4 5 6 7 8\n"}),
            "error: Task1_ship.txt: image ids are tile names, such as P1__1.0__0___0. Merge into full images first.$",
        ),
        (lambda files: files.update({"Task1_ship.txt": b"P1 1 1 2 3 4\n"}), "error: Task1_ship.txt:1: .*10 fields"),
        (lambda files: files.update({"Task1_ship.txt": b"P1 1 1 2 3 4 5 6 7 nan\n"}), "error: Task1_ship.txt:1: 'nan'"),
        (
            lambda files: files.update({"Task1_ship.txt": b"P1 1 .1 .2 .3 .4 .5 .6 .7 1\n"}),
            "error: coordinates: must be pixels of the full image, but all lie between 0 and 1",
        ),
        (lambda files: files.update({"Task1_ship.txt": b"P1 1.5 1 2 3 4 5 6 7 8\n"}), "warning: .*scores outside"),
        (
            lambda files: files.update({"Task1_ship.txt": b"P1 0.51 1 2 3 4 5 6 7 8\n" * 100}),
            "warning: scores: only two decimals",
        ),
    ],
)
def test_problems_are_reported(zip_path, change, pattern):
    assert re.search(pattern, findings(rewrite(zip_path, change)))


def test_tiles_are_reported_once(zip_path):
    lines = {f"Task1_{name}.txt": b"P1__1024__0___0 1 1 2 3 4 5 6 7 8\n" for name in ("ship", "plane", "harbor")}
    for images in (None, ["P1"]):
        text = findings(rewrite(zip_path, lambda files: files.update(lines)), images=images)
        assert text == (
            "error: Task1_harbor.txt: image ids are tile names, such as P1__1024__0___0 (also in 2 more files). "
            "Merge into full images first."
        )


def test_image_ids_are_compared_with_a_folder(zip_path, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("P1.png", "P3.png", "P4.png"):
        (folder / name).touch()
    text = findings(zip_path, images=folder)
    assert "error: Task1_ship.txt: 1 unknown image id (first: 'P2')" in text
    assert "warning: images: 2 of 3 images have no detection (first: 'P3'). Check that all tiles were tested" in text


def test_few_images_without_detections_are_a_plain_warning(zip_path):
    text = findings(zip_path, images=["P1", "P2", "P3"])
    assert text == "warning: images: 1 of 3 images has no detection (first: 'P3')"
    assert findings(zip_path, images=["P1", "P2"]) == ""


def test_images_of_another_set_are_an_error(zip_path):
    assert "error: images: none of the 2 images has a detection. Check" in findings(zip_path, images=["Q1", "Q2"])


@pytest.mark.parametrize("images", [None, ["P1", "P2"]])
def test_a_submission_without_a_detection_does_not_blame_the_images(tmp_path, images):
    write_submission(tmp_path / "empty.zip", {}, CLASSES)
    expected = "error: detections: the files contain no detection. Check that the checkpoint is trained."
    assert findings(tmp_path / "empty.zip", images=images) == expected


@pytest.mark.parametrize("images", [None, ["P1"]])
def test_unreadable_files_are_not_called_empty(tmp_path, images):
    for name in CLASSES:
        (tmp_path / f"Task1_{name}.txt").write_text("P1 0.5 1\n" if name == "ship" else "")
    text = findings(tmp_path, images=images)
    assert "error: Task1_ship.txt:1: " in text
    assert "no detection" not in text


def test_a_folder_is_accepted(tmp_path):
    for name in CLASSES:
        (tmp_path / f"Task1_{name}.txt").write_text("P1 0.123 1 1 9 1 9 5 1 5\n")
    assert check_submission(tmp_path, CLASSES) == []


def test_unreadable_zip_raises(tmp_path):
    (tmp_path / "a.zip").write_text("hello")
    with pytest.raises(UserError, match="not a readable zip"):
        check_submission(tmp_path / "a.zip", CLASSES)
    with pytest.raises(UserError, match="no such file"):
        check_submission(tmp_path / "b.zip", CLASSES)
