"""The cleaned copy has none of the problems that it fixes, and the input is unchanged."""

from __future__ import annotations

import hashlib

import pytest

from rotated_atss.data_check.check import check_data
from rotated_atss.data_check.fix import write_cleaned_copy
from rotated_atss.data_check.kinds import KINDS
from rotated_atss.data_check.parts import DataPart
from rotated_atss.errors import UserError
from rotated_atss.label_formats.convert import convert_labels
from tests.data_check.conftest import SHIP, write_image, write_labels

MESSY = [
    "gsd:0.5",
    SHIP,
    "10 20 60 20 60 40 10 40 Ship 0",
    "1 2 3",
    "70 50 90 50 90 60 70 60 ship true",
    "70 10 90 10 90 10 70 10 ship 0",
    "10 80 10 90 30 90 30 80 ship 0",
    "60 80 80 80 60 95 80 95 ship 0",
    "10 50 60 50 60 70 10 70 tree 0",
]
CLEAN = """gsd:0.5
10.0 20.0 60.0 20.0 60.0 40.0 10.0 40.0 ship 0
70.0 50.0 90.0 50.0 90.0 60.0 70.0 60.0 ship 1
10.0 80.0 30.0 80.0 30.0 90.0 10.0 90.0 ship 0
60.0 80.0 80.0 80.0 80.0 95.0 60.0 95.0 ship 0
10.0 50.0 60.0 50.0 60.0 70.0 10.0 70.0 tree 0
"""


def parts_of(root, *names):
    return [DataPart(root / name / "images", root / name / "labelTxt") for name in names]


def check(parts):
    return check_data(parts, classes=["ship"], workers=1, progress=False)


def contents(root):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()}


def test_cleaned_copy(tmp_path, add_image):
    source, out = tmp_path / "in", tmp_path / "out"
    add_image("in/P1.png", *MESSY)
    add_image("in/P2.jpg", SHIP).rename(source / "images/P2.png")
    add_image("in/cut.png", SHIP).write_bytes((source / "images/P1.png").read_bytes()[:500])
    write_image(source / "images/unlabeled.png", 5)
    write_labels(source, "no_image", SHIP)
    before = contents(source)
    report = check(parts_of(source, ""))
    result = write_cleaned_copy(report, out, ["ship"])
    assert contents(source) == before
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "images/P1.png",
        "images/P2.jpg",
        "labelTxt/P1.txt",
        "labelTxt/P2.txt",
    ]
    assert (out / "labelTxt/P1.txt").read_text() == CLEAN
    assert (out / "labelTxt/P2.txt").read_bytes() == (source / "labelTxt/P2.txt").read_bytes()
    remaining = check(parts_of(out, "")).problems
    assert {problem.kind: problem.where.rpartition(":")[2] for problem in remaining} == {"unknown-class": "6"}
    assert (result.images, result.objects) == (2, 6)
    assert result.lines()[-2:] == ["not fixed: unknown-class: 1", f"{out}: 2 images, 6 objects"]
    assert {problem.kind for problem in report.problems if KINDS[problem.kind].fix} == set(result.fixed)


@pytest.mark.parametrize("copy", [False, True])
def test_images_are_linked_or_copied(tmp_path, add_image, copy):
    image = add_image("in/P1.png", SHIP)
    write_cleaned_copy(check(parts_of(tmp_path / "in", "")), tmp_path / "out", copy_images=copy)
    placed = tmp_path / "out/images/P1.png"
    assert placed.is_symlink() != copy
    assert placed.read_bytes() == image.read_bytes()


def test_each_part_has_a_folder(tmp_path, add_image):
    add_image("in/train/P1.png", SHIP)
    add_image("in/val/P2.png", SHIP)
    write_cleaned_copy(check(parts_of(tmp_path / "in", "train", "val")), tmp_path / "out")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("P*"))
    assert found == ["train/images/P1.png", "train/labelTxt/P1.txt", "val/images/P2.png", "val/labelTxt/P2.txt"]


def test_other_formats_become_dota_text(tmp_path, add_image):
    add_image("in/P1.png", SHIP, SHIP)
    convert_labels(tmp_path / "in/labelTxt", tmp_path / "json", "labelme", images=tmp_path / "in/images")
    write_cleaned_copy(check([DataPart(tmp_path / "in/images", tmp_path / "json")]), tmp_path / "out")
    assert (tmp_path / "out/labelTxt/P1.txt").read_text() == "10.0 20.0 60.0 20.0 60.0 40.0 10.0 40.0 ship 0\n"


def test_outputs_that_are_refused(tmp_path, add_image):
    add_image("in/P1.png", SHIP)
    report = check(parts_of(tmp_path / "in", ""))
    for out in (tmp_path / "in/images", tmp_path / "in/images/sub", tmp_path / "in"):
        with pytest.raises(UserError, match=r"overlaps|not empty"):
            write_cleaned_copy(report, out)
