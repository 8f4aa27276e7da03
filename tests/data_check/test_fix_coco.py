"""The cleaned copy of COCO JSON: none of the kinds of problems that it fixes, other entries and keys unchanged."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import Counter

import pytest

from rotated_atss.coco.instances import read_instances
from rotated_atss.data_check.check import check_data
from rotated_atss.data_check.fix import write_cleaned_copy
from rotated_atss.data_check.kinds import KINDS
from rotated_atss.data_check.parts import DataPart
from rotated_atss.errors import UserError
from rotated_atss.label_formats.coco import read as read_labels
from rotated_atss.label_formats.records import ReadOptions
from tests.data_check.conftest import SIZE, write_image
from tests.data_check.test_coco_file import annotation, write_coco


def image(number, **changes):
    values = {"id": number, "file_name": f"P{number}.png", "width": SIZE[0], "height": SIZE[1], "license": 4}
    return {**values, **changes}


def write_images(tmp_path, *numbers):
    for number in numbers:
        write_image(tmp_path / "in/images" / f"P{number}.png", number)


def parts_of(folder, *names):
    return [DataPart(folder / "images", coco=folder / "annotations" / name) for name in names or ("a.json",)]


def check(parts, classes=None):
    return check_data(parts, classes=classes, workers=1, progress=False)


def fix(tmp_path, classes=None, **content):
    """Write a COCO file, check it, write its cleaned copy, and return the content of the copy and the result."""
    folder = tmp_path / "in/annotations"
    folder.mkdir(parents=True, exist_ok=True)
    full = {"images": [image(1)], "categories": [{"id": 1, "name": "ship"}], "annotations": [], **content}
    (folder / "a.json").write_text(json.dumps(full))
    result = write_cleaned_copy(check(parts_of(tmp_path / "in"), classes), tmp_path / "out", classes)
    return json.loads((tmp_path / "out/annotations/a.json").read_text()), result


def fixable_problems(report):
    return [str(problem) for problem in report.problems if KINDS[problem.kind].coco_fix]


def test_a_file_without_problems_is_copied_byte_for_byte(tmp_path):
    write_images(tmp_path, 1)
    cleaned, result = fix(tmp_path, annotations=[annotation(1, keypoints=[1]), annotation(2)], info={"year": 2026})
    assert cleaned["info"] == {"year": 2026}
    source, copy = (tmp_path / name / "annotations/a.json" for name in ("in", "out"))
    assert copy.read_bytes() == source.read_bytes()
    assert (tmp_path / "out/images/P1.png").is_symlink()
    assert result.lines() == [f"{tmp_path / 'out'}: 1 image, 2 objects"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"bbox": [1, 2, 0, 4]}, "zero-area"),
        ({"bbox": [120, 20, 30, 30]}, "outside-image"),
        ({"bbox": [10, 10, 30, 5]}, "duplicate-object"),
        ({"bbox": [1, 2, math.nan, 4]}, "malformed-entry"),
        ({"bbox": [1, 2, math.inf, 4]}, "malformed-entry"),
        ({"bbox": [1, 2, 3]}, "malformed-entry"),
        ({"category_id": "ship"}, "malformed-entry"),
        ({"image_id": 7}, "unknown-id"),
        ({"category_id": 7}, "unknown-id"),
    ],
)
def test_annotations_that_are_removed(tmp_path, changes, kind):
    write_images(tmp_path, 1)
    rows = [annotation(1, note="first"), annotation(2, **changes), annotation(3)]
    cleaned, result = fix(tmp_path, annotations=rows)
    assert cleaned["annotations"] == [rows[0], rows[2]]
    assert result.fixed == {kind: 1}
    assert result.lines()[0] == f"fixed: {kind}: 1 ({KINDS[kind].coco_fix})"
    assert check(parts_of(tmp_path / "out")).problems == []


@pytest.mark.parametrize(
    ("changes", "area"),
    [
        ({"area": -1}, 150),
        ({"area": 1000}, 150),
        ({"area": -1, "segmentation": [[10, 20, 40, 20, 10, 25]]}, 75),
        ({"area": -1, "segmentation": [[10, 20, 40, 20, 10, 25], [40, 25, 40, 20, 10, 25]]}, 150),
        ({"area": -1, "segmentation": [[10, 20, 900, 20, 10, 900]]}, 150),  # larger than the box
    ],
)
def test_a_wrong_area_is_computed_again(tmp_path, changes, area):
    write_images(tmp_path, 1)
    row = annotation(2, **changes)
    cleaned, result = fix(tmp_path, annotations=[row])
    (entry,) = cleaned["annotations"]
    assert entry["area"] == area
    assert list(entry) == [*annotation(2), *(key for key in changes if key not in annotation(2))]
    assert result.fixed == {"wrong-area": 1}
    assert check(parts_of(tmp_path / "out")).problems == []


@pytest.mark.parametrize("value", [None, "400", math.nan, math.inf, [], True])
def test_an_area_that_is_no_finite_number(tmp_path, value):
    write_images(tmp_path, 1)
    mask = {"counts": "abc", "size": [9, 9]}
    rows = [annotation(1, bbox=[3, 3, 1, 1], area=value, segmentation=mask), annotation(2, image_id=7, area=value)]
    with pytest.raises(UserError, match="area must be a number"):
        read_instances(write_coco(tmp_path / "b.json", rows[:1]))
    cleaned, result = fix(tmp_path, annotations=rows)
    assert cleaned["annotations"] == [{**rows[0], "area": 1.0}]
    assert cleaned["annotations"][0]["area"] is not True
    assert result.fixed == {"malformed-entry": 2, "unknown-id": 1}
    assert fixable_problems(check(parts_of(tmp_path / "out"))) == []
    assert read_instances(tmp_path / "out/annotations/a.json").annotations


@pytest.mark.parametrize(
    "segmentation",
    [
        [[10, "a", 30, 10, 30, 30, 10, 30]],
        [[10, math.nan, 30, 10, 30, 30, 10, 30]],
        [[10, True, 30, 10, 30, 30, 10, 30]],
        [[10, 10, 30, 10, 30, 30, 10]],
        [[10, 10, 30, 10]],
        [[]],
        [10, 10, 30, 10, 30, 30],
        [[10, 20, 40, 20, 10, 25], None],
        "x",
        5,
    ],
)
def test_a_malformed_segmentation_is_removed(tmp_path, segmentation):
    write_images(tmp_path, 1)
    row = annotation(1, area=-1, iscrowd=1, segmentation=segmentation)
    if isinstance(segmentation, list):
        with pytest.raises(UserError, match="polygon must be a list"):
            read_labels([write_coco(tmp_path / "b.json", [row])], ReadOptions(fit_polygons=True))
    cleaned, result = fix(tmp_path, annotations=[row, annotation(2, bbox=[1, 2], segmentation=segmentation)])
    expected = {**row, "area": 150.0}
    del expected["segmentation"]
    assert cleaned["annotations"] == [expected]
    assert (result.fixed, result.remaining) == ({"malformed-entry": 2, "wrong-area": 1}, {})
    copy = tmp_path / "out/annotations/a.json"
    assert check(parts_of(tmp_path / "out")).problems == []
    assert len(read_labels([copy], ReadOptions())[0]) == 1


@pytest.mark.parametrize("segmentation", [None, [], {"counts": "zz", "size": "x"}, [[10, 10, 30, 10, 30, 30]]])
def test_a_segmentation_that_readers_accept_is_kept(tmp_path, segmentation):
    write_images(tmp_path, 1)
    row = annotation(1, segmentation=segmentation)
    cleaned, result = fix(tmp_path, annotations=[row])
    assert cleaned["annotations"] == [row]
    assert (result.fixed, result.remaining) == ({}, {})


@pytest.mark.parametrize("size", [{"width": "120"}, {"height": None}, {"width": -3, "height": 1e400}, {"width": True}])
def test_a_malformed_size_is_read_from_the_image(tmp_path, size):
    write_images(tmp_path, 1)
    rows = [annotation(1), annotation(2, bbox=[130, 20, 30, 5])]
    cleaned, result = fix(tmp_path, images=[image(1, **size)], annotations=rows)
    assert cleaned["images"] == [image(1)]
    assert cleaned["annotations"] == rows[:1]
    assert result.fixed == {"malformed-entry": 1, "outside-image": 1}
    assert result.remaining == {}


def test_what_refers_to_a_malformed_entry_is_no_problem_of_its_own(tmp_path):
    write_images(tmp_path, 1, 3, 4)
    folder = tmp_path / "in/images"
    (folder / "P2.png").write_text("no image")
    images = [image(1), image(2, width="a"), image("3"), image(4, file_name="x/../P4.png"), image(5, width=None)]
    images += [image(6, file_name="x" * 300 + ".png", width=None)]
    categories = [{"id": 1, "name": "ship"}, {"id": 2, "name": None}]
    rows = [annotation(number, image_id=number) for number in (1, 2, 4, 5, 6)] + [annotation(8, category_id=2)]
    cleaned, result = fix(tmp_path, images=images, categories=categories, annotations=rows)
    assert (cleaned["images"], cleaned["annotations"]) == ([image(1)], rows[:1])
    assert (result.fixed, result.remaining) == ({"malformed-entry": 6}, {})


@pytest.mark.parametrize(("name", "repaired"), [("sh\ud800ip", "ship"), (" car\n", "car"), ("a\x1b\tb", "a b")])
def test_a_category_name_that_is_not_printable(tmp_path, name, repaired):
    write_images(tmp_path, 1)
    categories = [{"id": 1, "name": "ship"}, {"id": 2, "name": name}, {"id": 3, "name": "\ud800"}]
    rows = [annotation(number, category_id=number) for number in (1, 2, 3)]
    with pytest.raises(UserError, match="a category name must be printable"):
        read_instances(write_coco(tmp_path / "b.json", rows, categories=categories))
    cleaned, result = fix(tmp_path, categories=categories, annotations=rows)
    assert [entry["name"] for entry in cleaned["categories"]] == list(dict.fromkeys(["ship", repaired]))
    assert [row["id"] for row in cleaned["annotations"]] == [1, 2]
    assert result.fixed == {"malformed-entry": 3 if repaired == "ship" else 2}
    assert set(read_instances(tmp_path / "out/annotations/a.json").categories.values()) == {"ship", repaired}


def test_names_of_one_file_are_joined(tmp_path):
    write_images(tmp_path, 1)
    write_image(tmp_path / "in/images/sub/P2.png", 2)
    names = ["./P1.png", "P1.png", "sub//P2.png", "sub/./P2.png"]
    images = [image(number, file_name=name) for number, name in enumerate(names)]
    rows = [annotation(number, image_id=number) for number in range(4)]
    cleaned, result = fix(tmp_path, images=images, annotations=rows)
    assert cleaned["images"] == [images[0], images[2]]
    assert [row["image_id"] for row in cleaned["annotations"]] == [0, 0, 2, 2]
    assert (result.fixed, result.remaining) == ({"file-name": 2}, {})
    assert check(parts_of(tmp_path / "out")).problems == []


def test_objects_that_are_equal_in_joined_entries_are_counted(tmp_path):
    write_images(tmp_path, 1)
    categories = [{"id": 1, "name": "ship"}, {"id": 2, "name": "ship"}, {"id": 3, "name": "Ship"}]
    box = {"bbox": [10, 10, 30, 5]}
    rows = [annotation(1), annotation(2, image_id=2, **box), annotation(3, category_id=2, **box)]
    rows += [annotation(4, category_id=3, **box)]
    images = [image(1), image(2, file_name="P1.png")]
    cleaned, result = fix(tmp_path, ["ship"], images=images, categories=categories, annotations=rows)
    assert cleaned["annotations"] == rows[:1]
    assert result.fixed == {"file-name": 1, "malformed-entry": 1, "misspelled-class": 1, "duplicate-object": 3}
    assert result.remaining == {}


def test_repeated_ids_names_and_files(tmp_path):
    write_images(tmp_path, 1, 2, 3)
    images = [image(1), image(1, file_name="P2.png"), image(3), image(4, file_name="P3.png")]
    categories = [{"id": 1, "name": "ship"}, {"id": 1, "name": "car"}, {"id": 2, "name": "ship"}, {"id": 9}]
    rows = [
        annotation(1),
        annotation(1, bbox=[10, 40, 30, 5]),  # its id is used
        annotation(3, category_id=2, bbox=[10, 50, 30, 5]),  # the second ship
        annotation(4, image_id=4, bbox=[10, 60, 30, 5]),  # the second entry of P3.png
        annotation(5, image_id=3, bbox=[10, 60, 30, 5]),  # equals the one before, in the first entry of P3.png
        annotation(6, category_id=9),
    ]
    cleaned, _ = fix(tmp_path, images=images, categories=categories, annotations=rows)
    assert cleaned["images"] == [images[0], images[2]]
    assert cleaned["categories"] == [categories[0]]
    found = [(row["id"], row["image_id"], row["category_id"], row["bbox"][1]) for row in cleaned["annotations"]]
    assert found == [(1, 1, 1, 10), (2, 1, 1, 40), (3, 1, 1, 50), (4, 3, 1, 60)]
    assert fixable_problems(check(parts_of(tmp_path / "out"))) == []


def test_images_that_cannot_be_read_are_removed_with_their_annotations(tmp_path):
    write_images(tmp_path, 1, 2, 3, 6)
    folder = tmp_path / "in/images"
    (folder / "P2.png").write_bytes((folder / "P1.png").read_bytes()[:900])
    (folder / "P3.png").rename(folder / "P3.bmp")
    (folder / "P4.png").write_text("no image")
    images = [image(1), image(2), image(3, file_name="P3.bmp"), image(4), image(5), image(7, file_name="../P1.png")]
    rows = [annotation(number, image_id=number) for number in (1, 2, 3, 4, 5, 7)]
    cleaned, result = fix(tmp_path, images=images, annotations=rows)
    assert cleaned["images"] == [image(1), image(3)]  # P3 with the suffix of its content
    assert [row["id"] for row in cleaned["annotations"]] == [1, 3]
    assert sorted(path.name for path in (tmp_path / "out/images").iterdir()) == ["P1.png", "P3.png"]
    assert result.fixed == {
        "malformed-entry": 1, "missing-image": 1, "truncated-image": 1, "unreadable-image": 1,
        "unlisted-image": 1, "wrong-suffix": 1,
    }  # fmt: skip
    assert (result.images, result.objects) == (2, 2)
    assert check(parts_of(tmp_path / "out")).problems == []


def test_misspelled_category_names(tmp_path):
    write_images(tmp_path, 1)
    categories = [
        {"id": 1, "name": "Crane", "supercategory": "x"},
        {"id": 2, "name": "crane"},
        {"id": 3, "name": "tree"},
    ]
    rows = [
        annotation(1),
        annotation(2, category_id=2),
        annotation(3, category_id=3),
        annotation(4, category_id=2, bbox=[10, 10, 30, 5]),
    ]
    cleaned, result = fix(tmp_path, ["crane"], categories=categories, annotations=rows)
    assert cleaned["categories"] == [{"id": 1, "name": "crane", "supercategory": "x"}, {"id": 3, "name": "tree"}]
    assert [(row["id"], row["category_id"]) for row in cleaned["annotations"]] == [(1, 1), (2, 1), (3, 3)]
    assert result.remaining == {"unknown-class": 1}
    assert result.fixed == {"misspelled-class": 1, "duplicate-object": 1}


def test_what_is_left(tmp_path):
    write_images(tmp_path, 1)
    categories = [{"id": 1, "name": "ship"}, {"id": 2, "name": "boat"}]
    rows = [
        annotation(1, bbox=[100, 20, 30, 30]),  # partly outside
        annotation(2, iscrowd=2),
        annotation(3, iscrowd=1, segmentation=[[1, 2, 3, 4, 5, 6]]),
        annotation(4, bbox=[1, 2, 9, 1.5]),
        annotation(5, category_id=2, bbox=[1, 2, 9, 1.5]),
    ]
    size = image(1, width=130)
    cleaned, result = fix(tmp_path, images=[size], categories=categories, annotations=rows)
    assert (cleaned["images"], cleaned["annotations"]) == ([size], rows)
    assert result.fixed == {}
    assert set(result.remaining) == {"wrong-crowd", "tiny-object", "two-classes", "size-mismatch"}


def test_a_repeated_object_of_a_box_with_two_classes(tmp_path):
    write_images(tmp_path, 1)
    categories = [{"id": 1, "name": "ship"}, {"id": 2, "name": "boat"}]
    box = {"bbox": [10, 10, 30, 5]}
    rows = [annotation(1, **box), annotation(2, category_id=2, **box), annotation(3, category_id=2, **box)]
    cleaned, result = fix(tmp_path, categories=categories, annotations=rows)
    assert [row["id"] for row in cleaned["annotations"]] == [1, 2]
    assert (result.fixed, result.remaining) == ({"duplicate-object": 1}, {"two-classes": 1})


def test_random_faults(tmp_path):
    """Files of many faults at once: the copy has no fixable problem, and cleaning it again changes nothing."""
    write_images(tmp_path, 1, 2, 3)
    draw = random.Random(0)
    values = [0, 1, 2, 3, 4, 9, -1, 1.0, 1.5, None, "1", True, math.nan, [], {}]
    references = [1, 2, 3] * 10 + values
    names = ["P1.png", "P2.png", "P3.png", "P4.png", "../P1.png", "", None, 5]
    fixed = Counter()
    for number in range(25):
        images = [image(n) for n in (1, 2, 3)]
        images += [
            image(draw.choice(values), file_name=draw.choice(names), width=draw.choice([120, 0, "a"])) for _ in range(4)
        ]
        categories = [
            {"id": draw.choice(values), "name": draw.choice(["ship", "Ship", "car", "", None])} for _ in range(5)
        ]
        rows = [
            {
                "id": draw.choice(values), "image_id": draw.choice(references),
                "category_id": draw.choice(references),
                "bbox": [draw.choice([0, 5, 130, math.inf, "x"]), draw.choice([0, 5, -50]), draw.choice([0, 9, 40]), 7],
                "area": draw.choice([10, -1, 1e9, None]), "iscrowd": draw.choice([0, 1, 2]),
            }
            for _ in range(60)
        ]  # fmt: skip
        rows += [3, None, {}]
        folder = tmp_path / f"in{number}"
        folder.mkdir()
        (folder / "images").symlink_to(tmp_path / "in/images")
        (folder / "annotations").mkdir()
        write_coco(
            folder / "annotations/a.json", draw.sample(rows, len(rows)), draw.sample(images, len(images)), categories
        )
        classes = draw.choice([None, ["ship"]])
        report = check(parts_of(folder), classes)
        result = write_cleaned_copy(report, tmp_path / f"out{number}", classes)
        fixed.update(result.fixed)
        again = check(parts_of(tmp_path / f"out{number}"), classes)
        assert fixable_problems(again) == []
        assert sum(result.fixed.values()) + sum(result.remaining.values()) == len(report.problems)
        write_cleaned_copy(again, tmp_path / f"again{number}", classes)
        first, second = (tmp_path / f"{name}{number}/annotations/a.json" for name in ("out", "again"))
        assert first.read_bytes() == second.read_bytes()
    assert set(fixed) >= {
        "missing-image", "misspelled-class", "zero-area", "outside-image", "duplicate-object", "malformed-entry",
        "duplicate-id", "unknown-id", "file-name", "wrong-area",
    }  # fmt: skip


def test_parts_and_folders_below_the_image_folder(tmp_path):
    for name in ("train", "val"):
        write_image(tmp_path / f"in/{name}/sub/P1.png", len(name))
        listed = [{"id": 1, "file_name": "sub/P1.png", "width": SIZE[0], "height": SIZE[1]}]
        write_coco(tmp_path / f"in/{name}.json", [annotation(1), annotation(2, bbox=[0, 0, 0, 0])], listed)
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in tmp_path.rglob("*") if path.is_file()}
    parts = [DataPart(tmp_path / f"in/{name}", coco=tmp_path / f"in/{name}.json") for name in ("train", "val")]
    write_cleaned_copy(check(parts), tmp_path / "out", copy_images=True)
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert files == [
        "train/annotations/train.json", "train/images/sub/P1.png", "val/annotations/val.json", "val/images/sub/P1.png",
    ]  # fmt: skip
    assert not (tmp_path / "out/train/images/sub/P1.png").is_symlink()
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in before} == before
    parts = [
        DataPart(tmp_path / f"out/{name}/images", coco=tmp_path / f"out/{name}/annotations/{name}.json")
        for name in ("train", "val")
    ]
    assert fixable_problems(check(parts)) == []


def test_files_that_share_a_folder_of_images(tmp_path):
    write_images(tmp_path, 1, 2)
    for number, name in ((1, "train.json"), (2, "val.json")):
        (tmp_path / "in/annotations").mkdir(exist_ok=True)
        write_coco(tmp_path / "in/annotations" / name, [annotation(1, image_id=number)], [image(number)])
    write_cleaned_copy(check(parts_of(tmp_path / "in", "train.json", "val.json")), tmp_path / "out")
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert names == [
        "train/annotations/train.json", "train/images/P1.png", "val/annotations/val.json", "val/images/P2.png",
    ]  # fmt: skip


def test_an_unreadable_file_is_refused(tmp_path):
    write_images(tmp_path, 1)
    (tmp_path / "in/annotations").mkdir()
    (tmp_path / "in/annotations/a.json").write_text('{"images": [')
    report = check(parts_of(tmp_path / "in"))
    with pytest.raises(UserError, match=r"a\.json:1: not valid JSON: .* \(no cleaned copy can be written\)"):
        write_cleaned_copy(report, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_real_sample(shared_data, tmp_path):
    folder = shared_data("coco_tiny")
    part = DataPart(folder / "images/train2017", coco=folder / "annotations/instances_train2017.json")
    result = write_cleaned_copy(check([part]), tmp_path / "out")
    copy = tmp_path / "out/annotations/instances_train2017.json"
    assert copy.read_bytes() == part.coco.read_bytes()
    assert result.images == 32
