"""The COCO dataset: records, filters and errors, compared with MMDetection's dataset where both apply."""

import logging

import pytest

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")

from mmdet.datasets import CocoDataset
from mmengine.registry import DefaultScope

from rotated_atss.detection.datasets import loading as _registers  # noqa: F401
from rotated_atss.detection.datasets.coco import CocoInstancesDataset
from rotated_atss.errors import UserError
from tests.detection.coco_samples import ANN_FILE, CLASSES, build_dataset, instances_json, write_instances

PIPELINE = [dict(type="LoadCocoImage"), dict(type="LoadAnnotations", with_bbox=True), dict(type="PackDetInputs")]


@pytest.fixture(autouse=True)
def mmdet_scope():
    """Look up the transforms of a pipeline in MMDetection's registry, as load_config does."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


@pytest.fixture
def warnings(monkeypatch):
    """Log lines of the dataset."""
    lines = []
    monkeypatch.setattr(
        "rotated_atss.detection.datasets.log.print_log",
        lambda text, logger=None, level=logging.INFO: lines.append(text),
    )
    return lines


def dataset(root, **changes):
    return build_dataset(root, CocoInstancesDataset, **changes)


def summarize(dataset):
    """Everything in the records that training uses."""
    return [
        (info["img_path"], info["img_id"], info["width"], info["height"],
         [(each["bbox"], each["bbox_label"], each["ignore_flag"]) for each in info["instances"]])
        for info in dataset
    ]  # fmt: skip


def test_records_contain_sizes_corner_boxes_and_flags(coco_folder, warnings):
    records = {info["img_id"]: info for info in dataset(coco_folder)}
    assert [(number, info["width"], info["height"]) for number, info in records.items()] == [
        (1, 96, 64), (2, 64, 96), (3, 64, 64), (5, 128, 96),
    ]  # fmt: skip
    instances = {
        number: [(each["bbox"], each["bbox_label"], each["ignore_flag"]) for each in info["instances"]]
        for number, info in records.items()
    }
    assert instances == {
        1: [([8, 8, 48, 40], 0, 0), ([60, 20, 90, 60], 1, 0)],
        2: [([4, 30, 44, 70], 1, 1), ([30, 8, 60, 28], 0, 0)],
        3: [],
        5: [([90, 40, 128, 80], 0, 0), ([8, 8, 56, 48], 1, 0)],
    }
    assert records[5]["img_path"] == str(coco_folder / "images" / "i5.png")
    dropped, clipped = warnings
    assert dropped.endswith("dropped 1 box without area inside the image, the first is annotation 6 of i5.png")
    assert clipped.endswith("clipped 1 box beyond the image, the first is annotation 5 of i5.png")
    assert dataset(coco_folder).metainfo["cat_ids"] == [4, 9]
    assert dataset(coco_folder).get_cat_ids(1) == [1, 0]


def test_pipeline_separates_crowd_boxes(coco_folder, warnings):
    samples = dataset(coco_folder, pipeline=PIPELINE)
    sample = samples[1]["data_samples"]
    assert sample.gt_instances.bboxes.tensor.tolist() == [[30, 8, 60, 28]]
    assert sample.gt_instances.labels.tolist() == [0]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[4, 30, 44, 70]]
    empty = samples[2]["data_samples"]
    assert len(empty.gt_instances) == 0
    assert empty.img_id == 3


@pytest.mark.parametrize("filter_cfg", [None, dict(filter_empty_gt=True, min_size=65)])
def test_records_equal_mmdetection_without_clipping(coco_folder, warnings, filter_cfg):
    """MMDetection orders labels as the file does, whatever the config, and leaves clipping to resizing."""
    content = instances_json()
    content["annotations"][4]["bbox"][2] = 38  # ends at the border of the image
    content["categories"].reverse()
    write_instances(coco_folder, content)
    records, expected = (
        summarize(build_dataset(coco_folder, dataset_class, filter_cfg=filter_cfg))
        for dataset_class in (CocoInstancesDataset, CocoDataset)
    )
    assert records == expected


def test_records_of_real_samples_equal_mmdetection(warnings, shared_data):
    options = dict(
        ann_file="annotations/instances_train2017.json", data_prefix=dict(img="images/train2017"), metainfo=None,
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
    )  # fmt: skip
    root = shared_data("coco_tiny")
    records, expected = (
        summarize(build_dataset(root, dataset_class, **options))
        for dataset_class in (CocoInstancesDataset, CocoDataset)
    )
    assert records == expected
    assert len(records) == 30


def test_filter_applies_to_training_only(coco_folder, warnings):
    def kept(**filter_cfg):
        return [info["img_id"] for info in dataset(coco_folder, filter_cfg=filter_cfg)]

    assert kept(filter_empty_gt=True) == [1, 2, 5]
    assert kept(min_size=65) == [5]
    assert kept() == [1, 2, 3, 5]
    assert len(dataset(coco_folder, filter_cfg=dict(filter_empty_gt=True), test_mode=True)) == 4
    with pytest.raises(UserError, match=r"instances.json: no image is left to train on .*min_size.*999"):
        kept(min_size=999)


def test_subset_of_the_categories_warns_about_the_others(coco_folder, warnings):
    blue_only = dataset(coco_folder, metainfo=dict(classes=("blue",)))
    assert [len(info["instances"]) for info in blue_only] == [1, 1, 0, 1]
    assert blue_only.metainfo["cat_ids"] == [9]
    assert warnings[-1].endswith("1 category not among the classes of the config: red")


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(metainfo=None), r"80 of 80 classes of the config are not in this file \(person, bicycle, car, ...\)"),
        (dict(metainfo=dict(classes="red")), "are not distinct names"),
        (dict(ann_file="ann/gone.json"), "ann/gone.json: no such file"),
        (dict(data_prefix=dict(img="gone")), "gone: no such folder of images"),
    ],
)
def test_mismatched_settings_raise(coco_folder, changes, message):
    settings = {"ann_file": ANN_FILE, "data_prefix": dict(img="images"), "metainfo": dict(classes=CLASSES)}
    with pytest.raises(UserError, match=message):
        CocoInstancesDataset(data_root=str(coco_folder), pipeline=[], **{**settings, **changes})


def test_file_without_annotations_is_for_testing_only(coco_folder, warnings):
    content = instances_json()
    del content["annotations"]
    write_instances(coco_folder, content)
    assert [len(info["instances"]) for info in dataset(coco_folder, test_mode=True)] == [0] * 4
    with pytest.raises(UserError, match=r"instances\.json: has no annotations to train on"):
        dataset(coco_folder)


def test_real_samples_load_completely(shared_data, warnings):
    root = shared_data("coco_tiny")
    settings = dict(ann_file="annotations/instances_train2017.json", data_prefix=dict(img="images/train2017"))
    train2017 = dataset(root, pipeline=PIPELINE, metainfo=None, **settings)
    samples = [each["data_samples"] for each in train2017]
    counts = [(len(sample.gt_instances), len(sample.ignored_instances)) for sample in samples]
    assert len(counts) == 32
    assert sum(num_gt for num_gt, _ in counts) == 284
    assert sum(num_crowd for _, num_crowd in counts) == 4
    assert counts.count((0, 0)) == 2
    assert not warnings
