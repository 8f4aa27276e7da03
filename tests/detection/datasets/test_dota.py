"""What the dataset makes of a folder of tiles, and what it says about a wrong one."""

import json
import logging
import math
import warnings

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import DATASETS

from rotated_atss.detection.datasets.dota import DOTADataset, LoadTile, source_labels
from rotated_atss.dota.classes import CLASSES
from rotated_atss.errors import UserError
from rotated_atss.io.png import encode_png
from rotated_atss.ops.boxes import obb_to_corners

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


def fault(root, **kwargs):
    """The one line that a wrong folder gets."""
    with pytest.raises(UserError) as caught:
        load(root, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- right folders -----------------------------------------------------------------------------------------------------


def test_sorted_with_boxes_classes_and_paths(folder):
    dataset = load(folder)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [info["img_id"] for info in infos] == ["a", "b", "c"]
    assert infos[1]["img_path"] == str(folder / "images" / "b.png")
    assert [each["bbox_label"] for each in infos[1]["instances"]] == [6, 0]
    corners = obb_to_corners(torch.tensor(infos[1]["instances"][0]["bbox"]))
    assert sorted(corners.round().tolist()) == [[10, 10], [10, 30], [50, 10], [50, 30]]
    assert dataset.get_cat_ids(1) == [6, 0]
    assert infos[0]["instances"] == []


def test_a_quadrilateral_becomes_its_smallest_rectangle(tmp_path):
    turned = [(50 + 20 * math.cos(t), 40 + 20 * math.sin(t)) for t in (0.3, 0.3 + math.pi / 2, 0.3 + math.pi, 5.0124)]
    text = " ".join(f"{x:.6f} {y:.6f}" for x, y in turned)
    (instance,) = load(write(tmp_path / "t", {"a": [f"{text} ship 0"]})).get_data_info(0)["instances"]
    cx, cy, w, h, _ = instance["bbox"]
    assert (cx, cy, w, h) == pytest.approx((50, 40, 20 * 2**0.5, 20 * 2**0.5), abs=0.01)


def test_tiles_without_objects_stay_unless_filtered(folder):
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
def test_difficult_objects(folder, options, expected):
    dataset = load(folder, **options)
    found = [
        [(each["bbox_label"], each["ignore_flag"]) for each in dataset.get_data_info(index)["instances"]]
        for index in range(3)
    ]
    assert found == expected


@pytest.mark.parametrize("version, last", [("v1.0", "helicopter"), ("v1.5", "container-crane"), ("v2.0", "helipad")])
def test_versions(tmp_path, version, last):
    dataset = load(write(tmp_path / "t", {"a": [f"{BOX} {last} 0"]}), classes=version)
    assert dataset.metainfo["classes"] == CLASSES[version]
    assert len(dataset.metainfo["palette"]) == len(CLASSES[version])
    assert dataset.get_cat_ids(0) == [len(CLASSES[version]) - 1]


def test_own_classes(tmp_path):
    root = write(tmp_path / "t", {"a": [f"{BOX} tree 0"]})
    names = tmp_path / "names.txt"
    names.write_text("house\ntree\n")
    for classes in (("house", "tree"), ["house", "tree"], "house,tree", str(names)):
        assert load(root, classes=classes).get_cat_ids(0) == [1]
    assert load(root, metainfo=dict(classes=("tree",))).get_cat_ids(0) == [0]
    assert load(root, classes="tree,").metainfo["classes"] == ("tree",)


def test_test_set_without_labels(folder):
    for path in (folder / "labelTxt").iterdir():
        path.unlink()
    (folder / "labelTxt").rmdir()
    dataset = load(folder, ann_file="", test_mode=True)
    assert len(dataset) == 3
    assert dataset.get_data_info(1)["instances"] == []


def test_the_splits_manifest_names_the_labels_of_the_full_images(folder, tmp_path):
    assert load(folder).metainfo["source_labels"] == []
    (tmp_path / "raw").mkdir()
    folders = [{"images": "x", "labels": str(tmp_path / "raw")}, {"images": "y", "labels": str(tmp_path / "gone")}]
    (folder / "manifest.json").write_text(json.dumps({"folders": [*folders, {"images": "z", "labels": None}]}))
    assert load(folder).metainfo["source_labels"] == [str(tmp_path / "raw")]
    assert source_labels(None) == source_labels(str(tmp_path)) == []


@pytest.mark.parametrize("text", ["{", "[1]", '{"folders": [3]}', '{"folders": 3}', "\x00"])
def test_a_file_that_is_no_manifest(folder, text):
    (folder / "manifest.json").write_text(text)
    assert "manifest.json: not a manifest of a split" in fault(folder)


def test_objects_without_area_are_dropped_counted_and_told_once(tmp_path):
    flat = ["5 5 9 9 5 5 9 9 ship 0", f"{BOX} ship 0", "5 5 5 5 5 5 5 5 plane 0"]
    root = write(tmp_path / "t", {"a": flat, "b": ["1 1 1 1 1 1 1 1 ship 0"]})
    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    from mmengine.logging import MMLogger

    MMLogger.get_current_instance().addHandler(handler)
    try:
        dataset = load(root)
    finally:
        MMLogger.get_current_instance().removeHandler(handler)
    assert [len(dataset.get_data_info(index)["instances"]) for index in (0, 1)] == [1, 0]
    assert told == [
        f"{root}/images/a.png: not named as a tile, so images are taken whole (raw ones want rotated-atss split)",
        f"dropped 3 objects without area, the first at {root / 'labelTxt' / 'a.txt'}:1",
    ]


def test_nothing_is_written_into_the_folder(folder):
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(folder)
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


# -- wrong folders -----------------------------------------------------------------------------------------------------


def test_missing_folders(folder, tmp_path):
    assert fault(tmp_path / "none") == f"{tmp_path / 'none' / 'images'}: no such folder"
    assert fault(folder, ann_file="labels") == f"{folder / 'labels'}: no such folder"
    (tmp_path / "bare" / "images").mkdir(parents=True)
    (tmp_path / "bare" / "labelTxt").mkdir()
    assert f"{tmp_path / 'bare' / 'images'}: no images here" in fault(tmp_path / "bare")


def test_image_without_label_and_label_without_image(folder):
    (folder / "labelTxt" / "b.txt").unlink()
    assert f"{folder / 'labelTxt'}: no label file for the image b.png" in fault(folder)
    (folder / "images" / "b.png").unlink()
    (folder / "labelTxt" / "z.txt").write_text("")
    assert f"{folder / 'images'}: no image for the label file z.txt" in fault(folder)


@pytest.mark.parametrize(
    "line, message",
    [
        ("1 2 3", "a label line has 9 or 10 fields, got 3"),
        (f"{BOX} car 0", "unknown class 'car'"),
        (f"{BOX} helipad 0", "unknown class 'helipad' (it is a class of DOTA v2.0: choose that version)"),
        ("1 2 3 4 5 6 7 x ship 0", "'x' is not a number"),
        ("1 2 3 4 5 6 7 nan ship 0", "'nan' is not finite"),
        (f"{BOX} ship yes", "the difficult flag must be 0, 1 or 2, got 'yes'"),
    ],
)
def test_malformed_lines_with_file_and_line(folder, line, message):
    (folder / "labelTxt" / "b.txt").write_text(f"imagesource:x\n{BOX} ship 0\n{line}\n")
    assert fault(folder).startswith(f"{folder / 'labelTxt' / 'b.txt'}:3: {message}")


@pytest.mark.parametrize(
    "classes, message",
    [
        ("ship", r"a single class is written as a tuple, \('ship',\)"),
        ((), "the class list is empty"),
        (("ship", "ship"), "listed twice"),
    ],
)
def test_class_lists(folder, classes, message):
    with pytest.raises(UserError, match=message):
        load(folder, classes=classes)


def test_unknown_treatment_of_difficult_objects(folder):
    assert fault(folder, difficult="hide") == (
        "unknown treatment 'hide' of difficult objects (choose keep, ignore, drop)"
    )


def test_nothing_left_after_filtering(tmp_path):
    root = write(tmp_path / "t", {"a": []})
    message = fault(root, filter_cfg=dict(filter_empty_gt=True))
    assert message.startswith(f"{root / 'labelTxt'}: no tile has an object, so none is left (filter_empty_gt")


# -- images ------------------------------------------------------------------------------------------------------------


def damaged(folder, kind):
    path = folder / "images" / ("b.png" if kind != "cut JPEG" else "b.jpg")
    if kind == "cut JPEG":
        (folder / "images" / "b.png").unlink()
        noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
        cv2.imwrite(str(path), noise)
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"no image" * 40}.get(kind, data[: len(data) // 2]))
    return path


@pytest.mark.parametrize("kind", ["empty", "text", "cut PNG", "cut JPEG"])
def test_unreadable_images(folder, kind):
    path = damaged(folder, kind)
    with pytest.raises(UserError) as caught:
        LoadTile()({"img_path": str(path)})
    assert str(caught.value) == f"{path}: not a readable image, or cut short (split again or remove the tile)"


def test_an_image_that_went_away(folder):
    with pytest.raises(UserError, match=r"gone.png: cannot be read: No such file or directory \(split again"):
        LoadTile()({"img_path": str(folder / "gone.png")})


@pytest.mark.parametrize(
    "options", [{}, {"to_float32": True}, {"color_type": "grayscale"}, {"imdecode_backend": "pillow"}]
)
@pytest.mark.parametrize("encode", [encode_png, lambda image: cv2.imencode(".png", image)[1].tobytes()])
def test_tiles_load_as_mmcv_loads_them(tmp_path, options, encode):
    path = tmp_path / "a.png"
    path.write_bytes(encode(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)))
    mine, theirs = (loader(**options)({"img_path": str(path)}) for loader in (LoadTile, LoadImageFromFile))
    assert mine.keys() == theirs.keys()
    assert mine["img_shape"] == theirs["img_shape"] == mine["ori_shape"] == (20, 30)
    assert mine["img"].dtype == theirs["img"].dtype
    assert np.array_equal(mine["img"], theirs["img"])


def test_pipeline_gives_oriented_boxes_of_difficult_objects_apart(folder):
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


# -- the user's mistake in a worker process ----------------------------------------------------------------------------


def test_a_workers_mistake_is_one_line(folder):
    from rotated_atss.detection.engine.errors import strip_worker_traceback

    path = damaged(folder, "cut PNG")
    dataset = load(folder, pipeline=[dict(type="mmdet.LoadTile")])
    loader = torch.utils.data.DataLoader(dataset, num_workers=1, collate_fn=list)
    with pytest.raises(UserError) as caught, strip_worker_traceback():
        list(loader)
    assert str(caught.value) == f"{path}: not a readable image, or cut short (split again or remove the tile)"
