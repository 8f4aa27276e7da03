"""One pass over images and labels: every kind of problem is found, at its file and line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.data_check.check import check_data
from rotated_atss.data_check.kinds import KINDS
from rotated_atss.data_check.parts import DataPart, pair_parts
from rotated_atss.errors import UserError
from rotated_atss.label_formats.convert import convert_labels
from rotated_atss.label_formats.registry import WRITTEN
from tests.data_check.conftest import SHIP, write_image, write_labels


def check(root, *names, **options):
    """Check parts of a dataset below a folder and return (kind, place, message) per problem."""
    parts = [DataPart(root / name / "images", root / name / "labelTxt") for name in names]
    report = check_data(parts, **{"workers": 1, "progress": False, **options})
    return [(problem.kind, problem.where.removeprefix(f"{root}/"), problem.message) for problem in report.problems]


def test_a_dataset_without_problems(tmp_path, add_image):
    add_image("train/P1.png", "imagesource:GoogleEarth", "gsd:null", SHIP, "70 50 90 50 90 60 70 60 plane 1")
    add_image("train/P2.jpg")
    add_image("val/P3.tif", SHIP)
    assert check(tmp_path, "train", "val", classes=["ship", "plane"]) == []


def test_problems_of_lines_have_path_and_line(tmp_path, add_image):
    lines = [
        "gsd:0.5",
        SHIP,
        "10 20 60 20 60 40 10 40 Ship 0",  # 3: misspelled
        "1 2 3",  # 4: malformed
        "10 50 60 50 60 70 10 70 tree 0",  # 5: unknown
        "10 x 60 50 60 70 10 70 ship 0",  # 6: malformed
        "70 50 90 50 90 60 70 60 ship 3",  # 7: difficult
        "70 10 90 10 90 10 70 10 ship 0",  # 8: no area
        "10 80 10 90 30 90 30 80 ship 0",  # 9: counterclockwise
        "60 80 80 80 60 95 80 95 ship 0",  # 10: crossing
        "200 20 260 20 260 40 200 40 ship 0",  # 11: outside
        "100 20 140 20 140 30 100 30 ship 0",  # 12: half outside
        SHIP,  # 13: duplicate
        "90 70 91 70 91 75 90 75 ship 0",  # 14: one pixel wide
    ]
    add_image("P1.png", *lines)
    found = check(tmp_path, "", classes=["ship"])
    assert [(kind, where.partition(":")[2]) for kind, where, _ in found] == [
        ("misspelled-class", "3"),
        ("malformed-line", "4"),
        ("unknown-class", "5"),
        ("malformed-line", "6"),
        ("difficult-flag", "7"),
        ("duplicate-object", "3"),
        ("zero-area", "8"),
        ("vertex-order", "9"),
        ("self-crossing", "10"),
        ("outside-image", "11"),
        ("partly-outside", "12"),
        ("duplicate-object", "13"),
        ("tiny-object", "14"),
    ]
    messages = {where.partition(":")[2]: message for _, where, message in found}
    assert messages["12"] == "the 'ship' extends 20 px beyond the image of 120 x 100 px (50% of the object's area)"
    assert messages["7"] == "the difficult flag must be 0, 1 or 2, got '3'"
    assert messages["3"] == f"the 'ship' equals the one at {tmp_path}/labelTxt/P1.txt:2"


def test_problems_of_image_files(tmp_path, add_image):
    whole = add_image("a.png", SHIP)
    (tmp_path / "images" / "cut.png").write_bytes(whole.read_bytes()[:900])
    (tmp_path / "images" / "empty.jpg").touch()
    (tmp_path / "images" / "text.png").write_text("no image")
    cv2.imwrite(str(tmp_path / "images" / "blank.bmp"), np.zeros((30, 40, 3), np.uint8))
    add_image("b.jpg", SHIP).rename(tmp_path / "images" / "b.png")
    add_image("web.webp")
    for name in ("cut", "empty", "text", "blank"):
        write_labels(tmp_path, name)
    found = [problem[:2] for problem in check(tmp_path, "") if problem[0] != "missing-image"]
    assert found == [
        ("skipped-file", "images/web.webp"),
        ("wrong-suffix", "images/b.png"),
        ("uniform-image", "images/blank.bmp"),
        ("truncated-image", "images/cut.png"),
        ("unreadable-image", "images/empty.jpg"),
        ("unreadable-image", "images/text.png"),
    ]


def test_damaged_pixels_are_found_unless_only_headers_are_read(tmp_path, add_image):
    path = add_image("a.png", SHIP)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    assert [kind for kind, *_ in check(tmp_path, "")] == ["unreadable-image"]
    assert check(tmp_path, "", decode=False) == []


def test_a_damaged_jpeg_that_decodes_is_a_warning(tmp_path, add_image, capfd):
    path = add_image("a.jpg", SHIP)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff\xd0" * 20  # restart markers where there are none
    path.write_bytes(data)
    ((kind, _, message),) = check(tmp_path, "")
    assert kind == "damaged-pixels"
    assert message.startswith("the decoder reports: Corrupt JPEG data: ")
    assert capfd.readouterr().err == ""


def test_missing_counterparts_and_names(tmp_path, add_image):
    add_image("P1.png", SHIP)
    write_image(tmp_path / "images" / "P2.png", 2)
    write_labels(tmp_path, "P3", SHIP)
    write_image(tmp_path / "images" / "p1.jpg", 3)
    add_image("a b.png", SHIP)
    found = check(tmp_path, "")
    assert ("unlabeled-image", "images/P2.png", f"no labels in {tmp_path}/labelTxt") in found
    assert ("missing-image", "labelTxt/P3.txt", f"no image P3.* in {tmp_path}/images") in found
    assert ("shared-name", "images/p1.jpg", "differs from P1.png only in suffix or case") in found
    assert ("image-name", "images/a b.png") in [problem[:2] for problem in found]


def test_images_shared_by_two_parts(tmp_path, add_image):
    first = add_image("train/P1.png", SHIP, seed=1)
    add_image("train/P2.png", SHIP, seed=2)
    add_image("val/P2.png", SHIP, seed=3)
    add_image("val/P7.bmp", SHIP, seed=1)  # the pixels of train/P1.png in another file format
    shutil.copy(first, tmp_path / "train/images/P9.png")
    write_labels(tmp_path / "train", "P9", SHIP)
    found = check(tmp_path, "train", "val")
    assert found == [
        ("duplicate-image", "train/images/P9.png", f"the same bytes as {first}"),
        ("same-name", "val/images/P2.png", f"{tmp_path}/train/images/P2.png has the same name, but different content"),
        ("leaked-image", "val/images/P7.bmp", f"the same pixels as {first}"),
    ]
    assert [kind for kind, *_ in check(tmp_path, "train", "val", decode=False)] == ["duplicate-image", "same-name"]


@pytest.mark.parametrize("name", ["dota", "coco"])
def test_parts_can_share_a_folder_of_labels(tmp_path, add_image, name):
    add_image("P1.png", SHIP, SHIP)
    add_image("P2.png", SHIP)
    write_labels(tmp_path, "P3", SHIP)
    convert_labels(tmp_path / "labelTxt", tmp_path / "labels", "dota")
    if name == "coco":
        (tmp_path / "labelTxt/P3.txt").unlink()
        shutil.rmtree(tmp_path / "labels")
        convert_labels(tmp_path / "labelTxt", tmp_path / "labels", "coco", images=tmp_path / "images")
    for number in (1, 2):
        (tmp_path / f"part{number}").mkdir()
        (tmp_path / f"images/P{number}.png").rename(tmp_path / f"part{number}/P{number}.png")
    parts = [DataPart(tmp_path / f"part{number}", tmp_path / "labels") for number in (1, 2)]
    report = check_data(parts, workers=1, progress=False)
    expected = ["missing-image", "duplicate-object"] if name == "dota" else ["duplicate-object"]
    assert [problem.kind for problem in report.problems] == expected
    assert report.class_counts.total() == (4 if name == "dota" else 3)


def test_images_of_against_are_only_compared(tmp_path, add_image):
    first = add_image("train/P1.png", SHIP, seed=1)
    (tmp_path / "test").mkdir()
    for name in ("t1.png", "t2.png"):
        shutil.copy(first, tmp_path / "test" / name)
    found = check(tmp_path, "train", against=[tmp_path / "test"])
    assert found == [("leaked-image", "train/images/P1.png", f"the same bytes as {tmp_path}/test/t1.png")]
    assert check(tmp_path, "train", against=[tmp_path / "train/images"]) == []


def test_similar_class_names_without_a_class_list(tmp_path, add_image):
    add_image("P1.png", SHIP, "10 50 60 50 60 70 10 70 Ship 0", "70 50 90 50 90 60 70 60 ship 1")
    kind, where, message = check(tmp_path, "")[0]
    assert (kind, where) == ("similar-classes", "labelTxt/P1.txt:2")
    assert message == "'Ship' (1 object) is almost the same as 'ship' (2 objects)"


def test_normalized_coordinates_are_one_problem_per_file(tmp_path, add_image):
    add_image("P1.png", "0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5 ship 0")
    assert check(tmp_path, "")[0][:2] == ("normalized-coordinates", "labelTxt/P1.txt")


@pytest.mark.parametrize("name", sorted(set(WRITTEN) - {"dota"}))
def test_every_label_format_is_read(tmp_path, add_image, name):
    add_image("P1.png", SHIP, "100 20 140 20 140 30 100 30 plane 0")
    add_image("P2.png", SHIP, "10 50 60 50 60 70 10 70 ship 0")
    shutil.rmtree(tmp_path / "images" / "none", ignore_errors=True)
    classes = ["plane", "ship"]
    convert_labels(tmp_path / "labelTxt", tmp_path / name, name, images=tmp_path / "images", classes=classes)
    part = DataPart(tmp_path / "images", tmp_path / name)
    report = check_data([part], classes=classes, workers=1, progress=False)
    expected = [] if name == "yolo-obb" else ["partly-outside"]  # YOLO holds no corners outside the image
    assert [problem.kind for problem in report.problems] == expected
    assert report.format_names == ["coco" if name == "coco" else name]
    assert report.class_counts == {"ship": 3, "plane": 1}


def test_damaged_label_files_of_other_formats(tmp_path, add_image):
    add_image("P1.png", SHIP)
    add_image("P2.png", SHIP)
    convert_labels(tmp_path / "labelTxt", tmp_path / "xml", "voc", images=tmp_path / "images")
    path = tmp_path / "xml" / "P1.xml"
    path.write_text(path.read_text()[:-30])
    part = DataPart(tmp_path / "images", tmp_path / "xml")
    (problem,) = check_data([part], workers=1, progress=False).problems
    assert problem.kind == "unreadable-labels"
    assert problem.where.startswith(f"{path}:")


def test_stated_sizes_are_compared_with_the_images(tmp_path, add_image):
    image = add_image("P1.png", SHIP)
    convert_labels(tmp_path / "labelTxt", tmp_path / "xml", "voc", images=tmp_path / "images")
    write_image(image, 1, size=(130, 100))
    part = DataPart(tmp_path / "images", tmp_path / "xml")
    (problem,) = check_data([part], workers=1, progress=False).problems
    assert (problem.kind, problem.message) == (
        "size-mismatch",
        "P1.png is 130 x 100 px, but the labels state 120 x 100 px",
    )


def test_report_does_not_depend_on_the_workers(tmp_path, add_image):
    for number in range(40):
        add_image(f"P{number}.png", SHIP, SHIP, "1 2 3", seed=number % 30)
    one, two = (check(tmp_path, "", workers=workers) for workers in (1, 2))
    assert one == two
    assert len(one) == 40 + 40 + 10


def test_report_as_json(tmp_path, add_image):
    add_image("P1.png", SHIP, SHIP)
    part = DataPart(tmp_path / "images", tmp_path / "labelTxt")
    content = json.loads(json.dumps(check_data([part], workers=1, progress=False).to_json()))
    assert content["counts"] == {"duplicate-object": 1}
    assert content["objects"] == {"ship": 2}
    (problem,) = content["problems"]
    assert (problem["severity"], problem["line"]) == ("error", 2)
    assert problem["path"] == str(tmp_path / "labelTxt" / "P1.txt")


def test_inputs_that_cannot_be_checked(tmp_path, add_image):
    add_image("P1.png", SHIP)
    images, labels = tmp_path / "images", tmp_path / "labelTxt"
    for folder in (tmp_path / "none", tmp_path / "labelTxt"):
        with pytest.raises(UserError, match=r"no such folder|no images"):
            check_data([DataPart(folder)], workers=1)
    with pytest.raises(UserError, match="at least 1 worker"):
        check_data([DataPart(images)], workers=0)
    with pytest.raises(UserError, match=r"--images and --labels must have the same number of paths, got 2 and 1"):
        pair_parts([images, images], [labels], None)
    with pytest.raises(UserError, match="cannot be combined"):
        pair_parts([images], [labels], [labels])
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "a.json").write_text("{}")
    with pytest.raises(UserError, match="no label file of a known format"):
        check_data([DataPart(images, tmp_path / "odd")], workers=1)


def test_real_samples_have_no_errors(shared_data):
    folder = Path(shared_data("dota_sample"))
    report = check_data([DataPart(folder / "images", folder / "labelTxt")], classes=["plane"], decode=False)
    assert {problem.kind for problem in report.problems} == {"unknown-class"}
    assert len(report.parts[0].images) == 8


def test_every_kind_is_a_sentence():
    for kind in KINDS.values():
        assert kind.advice.endswith(".")
        assert kind.meaning[0].islower()
        assert "|" not in kind.meaning + kind.advice + kind.fix
