"""The DOTA dataset: records of a folder of tiles, and errors for invalid folders."""

import json
import logging
import math
import warnings

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS

from rotated_atss.detection.datasets import loading as _registers  # noqa: F401
from rotated_atss.detection.datasets.dota import DOTADataset, source_label_folders
from rotated_atss.dota.classes import CLASSES
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import normalize_obb, obb_to_corners
from rotated_atss.tiling.split import split_dota
from rotated_atss.tiling.split_settings import SplitSettings

BOX = "10 10 50 10 50 30 10 30"


@pytest.fixture
def folder(tmp_path):
    """Three tiles: two objects (one difficult), none, and one truncated object."""
    lines = {"b": [f"{BOX} ship 0", f"{BOX} plane 1"], "a": [], "c": ["gsd:0.2", f"{BOX} plane 2"]}
    return write(tmp_path / "tiles", lines)


def write(root, lines):
    (root / "images").mkdir(parents=True)
    (root / "labelTxt").mkdir()
    for name, rows in lines.items():
        cv2.imwrite(str(root / "images" / f"{name}.png"), np.full((64, 96, 3), 90, np.uint8))
        (root / "labelTxt" / f"{name}.txt").write_text("".join(f"{row}\n" for row in rows))
    return root


def load(root, **kwargs):
    return DOTADataset(data_root=str(root), **kwargs)


def error_of(root, **kwargs):
    """Return the one-line error of an invalid folder."""
    with pytest.raises(UserError) as caught:
        load(root, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- valid folders -----------------------------------------------------------------------------------------------------


def test_rectangles_of_opencv_on_request(tmp_path):
    folder = write(tmp_path / "tiles", {"a": ["10 0 20 5 10 10 0 5 ship 0", "20 5 10 10 0 5 10 0 ship 0"]})
    boxes = [
        [each["bbox"] for each in load(folder, rect=rect).get_data_info(0)["instances"]] for rect in ("edge", "cv2")
    ]
    (_, _), (w, h), degrees = cv2.minAreaRect(np.float32([[10, 0], [20, 5], [10, 10], [0, 5]]))
    expected = normalize_obb(torch.tensor([10, 5, w, h, math.radians(degrees)]), "le90")
    assert np.allclose(boxes[1][0], expected, atol=1e-4)
    assert not np.allclose(boxes[0][0], boxes[0][1], atol=1e-2)  # each along its own first edge
    assert "rect must be one of edge, cv2, got 'opencv'" in error_of(folder, rect="opencv")


def test_records_are_sorted_and_contain_boxes_classes_and_paths(folder):
    dataset = load(folder)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [info["img_id"] for info in infos] == ["a", "b", "c"]
    assert infos[1]["img_path"] == str(folder / "images" / "b.png")
    assert [each["bbox_label"] for each in infos[1]["instances"]] == [6, 0]
    corners = obb_to_corners(torch.tensor(infos[1]["instances"][0]["bbox"]))
    assert sorted(corners.round().tolist()) == [[10, 10], [10, 30], [50, 10], [50, 30]]
    assert dataset.get_cat_ids(1) == [6, 0]
    assert infos[0]["instances"] == []


def test_quadrilateral_becomes_its_minimum_area_rectangle(tmp_path):
    turned = [(50 + 20 * math.cos(t), 40 + 20 * math.sin(t)) for t in (0.3, 0.3 + math.pi / 2, 0.3 + math.pi, 5.0124)]
    text = " ".join(f"{x:.6f} {y:.6f}" for x, y in turned)
    (instance,) = load(write(tmp_path / "t", {"a": [f"{text} ship 0"]})).get_data_info(0)["instances"]
    cx, cy, w, h, _ = instance["bbox"]
    assert (cx, cy, w, h) == pytest.approx((50, 40, 20 * 2**0.5, 20 * 2**0.5), abs=0.01)


def test_tiles_without_objects_are_kept_unless_filtered(folder):
    assert len(load(folder)) == 3
    assert [load(folder, filter_cfg=dict(filter_empty_gt=True)).get_data_info(i)["img_id"] for i in (0, 1)] == [
        "b",
        "c",
    ]
    assert len(load(folder, filter_cfg=dict(filter_empty_gt=True), test_mode=True)) == 3


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, [[], [(6, 0), (0, 0)], [(0, 0)]]),
        (dict(difficult="ignore"), [[], [(6, 0), (0, 1)], [(0, 1)]]),
        (dict(difficult="drop"), [[], [(6, 0)], []]),
        (dict(difficult="ignore", difficult_from=2), [[], [(6, 0), (0, 0)], [(0, 1)]]),
        (dict(difficult="drop", difficult_from=2), [[], [(6, 0), (0, 0)], []]),
    ],
)
def test_difficult_objects_are_kept_ignored_or_dropped(folder, options, expected):
    dataset = load(folder, **options)
    labels_and_flags = [
        [(each["bbox_label"], each["ignore_flag"]) for each in dataset.get_data_info(index)["instances"]]
        for index in range(3)
    ]
    assert labels_and_flags == expected


@pytest.mark.parametrize("version, last", [("v1.0", "helicopter"), ("v1.5", "container-crane"), ("v2.0", "helipad")])
def test_version_selects_the_classes(tmp_path, version, last):
    dataset = load(write(tmp_path / "t", {"a": [f"{BOX} {last} 0"]}), classes=version)
    assert dataset.metainfo["classes"] == CLASSES[version]
    assert len(dataset.metainfo["palette"]) == len(CLASSES[version])
    assert dataset.get_cat_ids(0) == [len(CLASSES[version]) - 1]


def test_custom_classes(tmp_path):
    root = write(tmp_path / "t", {"a": [f"{BOX} tree 0"]})
    names = tmp_path / "names.txt"
    names.write_text("shed\ntree\n")
    for classes in (("shed", "tree"), ["shed", "tree"], "shed,tree", str(names)):
        assert load(root, classes=classes).get_cat_ids(0) == [1]
    assert load(root, metainfo=dict(classes=("tree",))).get_cat_ids(0) == [0]
    assert load(root, classes="tree,").metainfo["classes"] == ("tree",)


def test_test_set_needs_no_labels(folder):
    for path in (folder / "labelTxt").iterdir():
        path.unlink()
    (folder / "labelTxt").rmdir()
    dataset = load(folder, ann_file="", test_mode=True)
    assert len(dataset) == 3
    assert dataset.get_data_info(1)["instances"] == []


def test_label_folders_of_the_full_images_come_from_the_manifest(folder, tmp_path):
    assert load(folder).metainfo["source_label_folders"] == []
    (tmp_path / "raw").mkdir()
    folders = [{"images": "x", "labels": str(tmp_path / "raw")}, {"images": "y", "labels": str(tmp_path / "gone")}]
    (folder / "manifest.json").write_text(json.dumps({"folders": [*folders, {"images": "z", "labels": None}]}))
    assert load(folder).metainfo["source_label_folders"] == [str(tmp_path / "raw")]
    assert load(folder).metainfo["missing_label_folders"] == [str(tmp_path / "gone")]
    assert source_label_folders(None) == source_label_folders(str(tmp_path)) == []


def test_label_folders_are_relative_to_the_manifest(tmp_path, monkeypatch):
    folder = write(tmp_path / "project" / "tiles", {"a": []})
    (folder / "manifest.json").write_text(json.dumps({"folders": [{"images": "../raw", "labels": "../raw"}]}))
    for root in (tmp_path / "project", tmp_path / "elsewhere"):
        (root / "raw").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load(folder).metainfo["source_label_folders"] == [str((tmp_path / "project" / "raw").resolve())]
    (tmp_path / "project").rename(tmp_path / "moved")
    assert source_label_folders(str(tmp_path / "moved" / "tiles")) == [str((tmp_path / "moved" / "raw").resolve())]


def test_tiles_must_be_those_of_the_manifest(folder):
    def list_tiles(names, **settings):
        content = {"tiles": [{"name": name} for name in names], "settings": settings}
        (folder / "manifest.json").write_text(json.dumps(content))

    list_tiles("abc")
    assert load(folder).metainfo["notes"] == []
    list_tiles("abc", keep_empty=False)
    assert "AP is biased" in load(folder, test_mode=True).metainfo["notes"][0]
    list_tiles("ab")
    assert "1 of the 3 tiles is not in the manifest, the first is c" in error_of(folder)
    list_tiles("abcd")
    assert "1 of the 4 tiles of the manifest is missing, the first is d" in error_of(folder)
    assert "AP is of a subset: 1 of the 4" in load(folder, allow_missing_tiles=True).metainfo["notes"][0]


def test_invalid_manifest_raises(folder):
    (folder / "manifest.json").write_text('{"folders": 3}')
    assert "manifest.json: not a manifest of a split: folders must be a list, got '3'" in error_of(folder)


def test_objects_without_area_are_dropped_with_one_warning(tmp_path):
    flat = ["5 5 9 9 5 5 9 9 ship 0", f"{BOX} ship 0", "5 5 5 5 5 5 5 5 plane 0"]
    root = write(tmp_path / "t", {"a": flat, "b": ["1 1 1 1 1 1 1 1 ship 0"]})
    warnings_logged = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings_logged.append(record.getMessage())
    from mmengine.logging import MMLogger

    MMLogger.get_current_instance().addHandler(handler)
    try:
        dataset = load(root)
    finally:
        MMLogger.get_current_instance().removeHandler(handler)
    assert [len(dataset.get_data_info(index)["instances"]) for index in (0, 1)] == [1, 0]
    assert warnings_logged == [
        f"{root}/images/a.png: not the name of a tile. Run rotated-atss split if the images are large.",
        f"dropped 3 objects without area, the first at {root / 'labelTxt' / 'a.txt'}:1",
    ]


def test_images_kept_whole_by_a_split_need_no_tile_names(tmp_path, monkeypatch):
    (tmp_path / "raw" / "images").mkdir(parents=True)
    (tmp_path / "raw" / "labelTxt").mkdir()
    cv2.imwrite(str(tmp_path / "raw" / "images" / "a.jpg"), np.zeros((40, 60, 3), np.uint8))
    (tmp_path / "raw" / "labelTxt" / "a.txt").write_text("1 2 11 2 11 8 1 8 ship 1\n")
    settings = SplitSettings(whole_images=True)
    split_dota(tmp_path / "raw" / "images", tmp_path / "raw" / "labelTxt", tmp_path / "out", settings, workers=1)
    messages = []
    monkeypatch.setattr("rotated_atss.detection.datasets.dota.warn", messages.append)
    dataset = load(tmp_path / "out")
    assert (len(dataset), messages) == (1, [])
    assert dataset.metainfo["source_label_folders"] == [str(tmp_path / "out" / "labelTxt")]


def test_folder_is_not_modified(folder):
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(folder)
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


def test_pipeline_separates_ignored_difficult_objects(folder):
    pipeline = [
        dict(type="LoadTile"),
        dict(type="LoadAnnotations", with_bbox=True, box_type="obb"),
        dict(type="PackDetInputs"),
    ]
    config = dict(type="DOTADataset", data_root=str(folder), difficult="ignore", pipeline=pipeline, _scope_="mmdet")
    dataset = DATASETS.build(config)
    sample = dataset[1]["data_samples"]
    assert sample.gt_instances.labels.tolist() == [6]
    assert sample.ignored_instances.labels.tolist() == [0]
    assert type(sample.gt_instances.bboxes).__name__ == "OrientedBoxes"
    assert dataset[1]["inputs"].shape == (3, 64, 96)
    assert len(dataset[0]["data_samples"].gt_instances) == 0


# -- invalid folders ---------------------------------------------------------------------------------------------------


def test_missing_folder_raises(folder, tmp_path):
    assert error_of(tmp_path / "none") == f"{tmp_path / 'none' / 'images'}: no such folder"
    assert error_of(folder, ann_file="labels") == f"{folder / 'labels'}: no such folder"
    (tmp_path / "bare" / "images").mkdir(parents=True)
    (tmp_path / "bare" / "labelTxt").mkdir()
    assert f"{tmp_path / 'bare' / 'images'}: no images in this folder" in error_of(tmp_path / "bare")


def test_image_without_label_or_label_without_image_raises(folder):
    (folder / "labelTxt" / "b.txt").unlink()
    assert f"{folder / 'labelTxt'}: no label file for the image b.png" in error_of(folder)
    (folder / "images" / "b.png").unlink()
    (folder / "labelTxt" / "z.txt").write_text("")
    assert f"{folder / 'images'}: no image for the label file z.txt" in error_of(folder)


@pytest.mark.parametrize(
    "line, message",
    [
        ("1 2 3", "a label line must have 9 or 10 fields, got 3"),
        (f"{BOX} car 0", "unknown class 'car'"),
        (f"{BOX} helipad 0", "unknown class 'helipad' (it is a class of DOTA v2.0: choose that version)"),
        ("1 2 3 4 5 6 7 x ship 0", "'x' is not a number"),
        ("1 2 3 4 5 6 7 nan ship 0", "'nan' is not finite"),
        (f"{BOX} ship yes", "the difficult flag must be 0, 1 or 2, got 'yes'"),
    ],
)
def test_malformed_line_raises_with_file_and_line(folder, line, message):
    (folder / "labelTxt" / "b.txt").write_text(f"imagesource:x\n{BOX} ship 0\n{line}\n")
    assert error_of(folder).startswith(f"{folder / 'labelTxt' / 'b.txt'}:3: {message}")


@pytest.mark.parametrize(
    "classes, message",
    [
        ("ship", "for one class, write 'ship,'"),
        ((), "the class list is empty"),
        (("ship", "ship"), "listed twice"),
    ],
)
def test_invalid_class_list_raises(folder, classes, message):
    with pytest.raises(UserError, match=message):
        load(folder, classes=classes)


def test_unknown_use_of_difficult_objects_raises(folder):
    assert error_of(folder, difficult="hide") == "difficult must be one of keep, ignore, drop, got 'hide'"


def test_no_tile_left_after_filtering_raises(tmp_path):
    root = write(tmp_path / "t", {"a": []})
    message = error_of(root, filter_cfg=dict(filter_empty_gt=True))
    assert message == f"{root / 'labelTxt'}: no tile has an object (set filter_empty_gt=False)"
