"""The COCO metric: twelve numbers, files, and the images and settings that it uses."""

import json

import pytest

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")
pytest.importorskip("faster_coco_eval")

import torch

from rotated_atss.detection.datasets.coco import CocoInstancesDataset
from rotated_atss.detection.evaluation.coco_metric import CocoBoxMetric
from rotated_atss.errors import UserError
from tests.detection.coco_samples import (
    CATEGORY_IDS,
    CLASSES,
    build_dataset,
    instances_json,
    write_instances,
)

LABELS = {CATEGORY_IDS[name]: label for label, name in enumerate(CLASSES)}


def metainfo(root, **changes):
    return build_dataset(root, CocoInstancesDataset, **changes).metainfo


def perfect_samples(shift=0.0):
    """Test results with every object detected, moved by ``shift`` pixels."""
    content = instances_json()
    for image in content["images"]:
        entries = [each for each in content["annotations"] if each["image_id"] == image["id"] and not each["iscrowd"]]
        boxes = torch.tensor([each["bbox"] for each in entries], dtype=torch.float32).view(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        yield {
            "img_id": image["id"],
            "pred_instances": {
                "bboxes": boxes + shift,
                "scores": torch.linspace(0.9, 0.5, len(boxes)),
                "labels": torch.tensor([LABELS[each["category_id"]] for each in entries], dtype=torch.int64),
            },
        }


def evaluate(metric, samples, meta):
    metric.dataset_meta = meta
    samples = list(samples)
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def test_twelve_numbers_and_two_files(coco_folder, tmp_path):
    meta = metainfo(coco_folder)
    metric = CocoBoxMetric(out_dir=str(tmp_path / "out"), per_class=True)
    values = evaluate(metric, perfect_samples(), meta)
    assert list(values)[:4] == ["coco/AP", "coco/AP50", "coco/AP75", "coco/AP_small"]
    assert len(values) == 12
    # every object is detected but the blue box without area, which nothing overlaps and COCO counts
    assert values["coco/AP_medium"] == pytest.approx(1)
    assert values["coco/AR_100"] == pytest.approx((1 + 2 / 3) / 2)
    rows = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(rows) == 6
    assert rows[0]["category_id"] == 4
    assert rows[0]["bbox"] == [8, 8, 40, 32]
    assert set(json.loads((tmp_path / "out" / "ap.json").read_text())["per_class"]) == set(CLASSES)
    shifted = evaluate(CocoBoxMetric(), perfect_samples(shift=12.0), meta)
    assert shifted["coco/AP75"] == 0
    assert list((tmp_path / "out").iterdir())


def test_report_with_pictures(coco_folder, tmp_path):
    metric = CocoBoxMetric(out_dir=str(tmp_path / "out"), report_dir=str(tmp_path / "report"), max_dets=(1, 10, 50))
    values = evaluate(metric, perfect_samples(), metainfo(coco_folder))
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["summary"]["AP50"] == values["coco/AP50"]
    assert (report["kind"], report["inputs"]["detections"]) == ("coco", str(tmp_path / "out" / "results.json"))
    assert [row["name"] for row in report["classes"]] == sorted(CLASSES, key=CATEGORY_IDS.get)
    assert len(list((tmp_path / "report" / "viewer").glob("*.html"))) == report["summary"]["images"]


def test_only_tested_images_are_evaluated(coco_folder):
    meta = metainfo(coco_folder)
    samples = [each for each in perfect_samples() if each["img_id"] == 1]
    assert evaluate(CocoBoxMetric(), samples, meta)["coco/AP"] == pytest.approx(1)
    other = dict(meta, ann_file="gone.json")
    assert evaluate(CocoBoxMetric(ann_file=meta["ann_file"]), samples, other)["coco/AP"] == pytest.approx(1)


def test_without_annotations_only_detections_are_written(coco_folder, tmp_path):
    content = instances_json()
    del content["annotations"]
    write_instances(coco_folder, content)
    meta = metainfo(coco_folder, test_mode=True)
    metric = CocoBoxMetric(out_dir=str(tmp_path / "out"))
    assert evaluate(metric, perfect_samples(), meta) == {}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.json"]


def test_invalid_settings_raise():
    with pytest.raises(UserError, match=r"gone\.json: no such file"):
        CocoBoxMetric(ann_file="gone.json")
    with pytest.raises(UserError, match="max_dets must be three positive integers in ascending order"):
        CocoBoxMetric(max_dets=(100,))
