"""COCO instances JSON: every entry is checked, none stops the check."""

from __future__ import annotations

import json

import pytest

from rotated_atss.data_check.check import check_data
from rotated_atss.data_check.coco_file import check_coco_file
from rotated_atss.data_check.parts import DataPart
from tests.data_check.conftest import write_image


def annotation(number, **changes):
    values = {"id": number, "image_id": 1, "category_id": 1, "bbox": [10, 10 * number, 30, 5], "iscrowd": 0}
    return {**values, **changes}


def write_coco(path, annotations=(), images=None, categories=None):
    content = {
        "images": images or [{"id": 1, "file_name": "P1.png", "width": 120, "height": 100}],
        "categories": categories or [{"id": 1, "name": "ship"}],
        "annotations": list(annotations),
    }
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "changes, kind",
    [
        ({"id": 1}, "duplicate-id"),
        ({"image_id": 7}, "unknown-id"),
        ({"category_id": 7}, "unknown-id"),
        ({"category_id": "ship"}, "malformed-entry"),
        ({"bbox": [1, 2, 3]}, "malformed-entry"),
        ({"bbox": [1, 2, 0, 4]}, "zero-area"),
        ({"bbox": [1, 2, 9, 1.5]}, "tiny-object"),
        ({"bbox": [100, 20, 30, 30]}, "partly-outside"),
        ({"bbox": [120, 20, 30, 30]}, "outside-image"),
        ({"bbox": [10, 10, 30, 5]}, "duplicate-object"),
        ({"area": -1}, "wrong-area"),
        ({"area": 1000}, "wrong-area"),
        ({"iscrowd": 2}, "wrong-crowd"),
        ({"iscrowd": 1, "segmentation": [[1, 2, 3, 4, 5, 6]]}, "wrong-crowd"),
    ],
)
def test_wrong_annotation(tmp_path, changes, kind):
    path = write_coco(tmp_path / "a.json", [annotation(1), annotation(2, **changes), annotation(3)])
    report = check_coco_file(path)
    (problem,) = report.problems
    assert problem.kind == kind
    assert problem.where.startswith(f"{path}: annotations[1]")
    assert report.object_counts["ship"] in (2, 3)


def test_correct_file(tmp_path):
    crowd = annotation(3, iscrowd=1, segmentation={"counts": [1], "size": [1, 1]}, area=20.0)
    path = write_coco(tmp_path / "a.json", [annotation(1, area=150.5), annotation(2), crowd])
    assert check_coco_file(path, ["ship"]).problems == []


def test_two_classes_of_one_box(tmp_path):
    categories = [{"id": 1, "name": "ship"}, {"id": 2, "name": "boat"}]
    rows = [annotation(1), annotation(2, category_id=2, bbox=[10, 10, 30, 5])]
    problems = check_coco_file(write_coco(tmp_path / "a.json", rows, categories=categories)).problems
    assert [problem.kind for problem in problems] == ["two-classes"]


def test_wrong_images_and_categories(tmp_path):
    image = {"id": 1, "file_name": "P1.png", "width": 120, "height": 100}
    images = [image, {**image, "file_name": "./b.png"}, {**image, "id": 2}, {**image, "id": 3, "file_name": "../c.png"},
              {**image, "id": 4, "file_name": "d.png", "width": 0}, "P5.png"]  # fmt: skip
    categories = [{"id": 1, "name": "Ship"}, {"id": 1, "name": "car"}, {"id": 2}, {"id": 3, "name": "Ship"}]
    report = check_coco_file(write_coco(tmp_path / "a.json", [], images, categories), ["ship"])
    problems = report.problems
    assert report.file_names == {"P1.png", "b.png", "../c.png", "d.png"}
    assert [(problem.kind, problem.where.rpartition(" ")[2]) for problem in problems] == [
        ("duplicate-id", "images[1]"),
        ("file-name", "images[2]"),
        ("malformed-entry", "images[3]"),
        ("malformed-entry", "images[4]"),
        ("malformed-entry", "images[5]"),
        ("misspelled-class", "categories[0]"),
        ("duplicate-id", "categories[1]"),
        ("malformed-entry", "categories[2]"),
        ("malformed-entry", "categories[3]"),
        ("misspelled-class", "categories[3]"),
    ]


@pytest.mark.parametrize("text", ["", "[]", '{"images": []}', '{"images": [', "\x00"])
def test_file_of_another_form(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    (problem,) = check_coco_file(tmp_path / "a.json").problems
    assert problem.kind == "unreadable-labels"


def test_files_of_the_folder_are_compared(tmp_path):
    images = [{"id": number, "file_name": f"P{number}.png", "width": 120, "height": 100} for number in (1, 2)]
    train = write_coco(tmp_path / "train.json", [annotation(1)], images)
    val = write_coco(tmp_path / "val.json", [annotation(1)], images[:1])
    write_image(tmp_path / "images" / "P1.png", 1, size=(60, 50))
    write_image(tmp_path / "images" / "P3.png", 3)
    folder = tmp_path / "images"
    parts = [DataPart(folder, coco=path) for path in (train, val)]
    found = [(problem.kind, problem.where) for problem in check_data(parts, workers=1, progress=False).problems]
    assert found == [
        ("missing-image", f"{folder}/P2.png"),
        ("size-mismatch", str(train)),
        ("size-mismatch", str(val)),
        ("unlisted-image", f"{folder}/P3.png"),
        ("leaked-image", f"{folder}/P1.png"),
    ]


@pytest.mark.parametrize("target", ["missing.png", "link.png"])
def test_a_link_without_target_is_reported_and_the_check_goes_on(tmp_path, target):
    folder = tmp_path / "images"
    write_image(folder / "P1.png", 1)
    write_image(folder / "P3.png", 3)
    (folder / "link.png").symlink_to(target)
    (folder / "listed.png").symlink_to(target)
    images = [{"id": 1, "file_name": "P1.png", "width": 120, "height": 100}]
    images += [{**images[0], "id": 2, "file_name": "listed.png"}]
    part = DataPart(folder, coco=write_coco(tmp_path / "a.json", [annotation(1)], images))
    problems = check_data([part], against=[folder], workers=1, progress=False).problems
    assert [(problem.kind, problem.where) for problem in problems] == [
        ("unreadable-image", f"{folder}/listed.png"),
        ("unlisted-image", f"{folder}/P3.png"),
        ("unreadable-image", f"{folder}/link.png"),
    ]


def test_only_subfolders_with_a_listed_image_are_listed(tmp_path):
    for number, name in enumerate(("P1.png", "a/P2.png", "a/P3.png", "b/P4.png", "P5.png")):
        write_image(tmp_path / "images" / name, number)
    (tmp_path / "images/a/loop").symlink_to("..")

    def unlisted(*names):
        images = [{"id": n, "file_name": name, "width": 120, "height": 100} for n, name in enumerate(names)]
        part = DataPart(tmp_path / "images", coco=write_coco(tmp_path / "a.json", [], images))
        problems = check_data([part], workers=1, progress=False).problems
        assert {problem.kind for problem in problems} <= {"unlisted-image"}
        return [problem.where.removeprefix(f"{tmp_path}/images/") for problem in problems]

    assert unlisted("./P1.png") == ["P5.png"]
    assert unlisted("P1.png", "a/P2.png") == ["P5.png", "a/P3.png"]


def test_real_sample(shared_data):
    folder = shared_data("coco_tiny")
    part = DataPart(folder / "images/val2017", coco=folder / "annotations/instances_val2017.json")
    report = check_data([part], workers=1, progress=False)
    assert report.problems == []
    assert report.class_counts.total() == 136
