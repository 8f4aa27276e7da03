"""The DOTA metric: predictions on tiles to Task1 files, average precision on full images and the submission."""

import json
import logging
import zipfile

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData

from rotated_atss.detection.evaluation.dota_metric import DOTAMetric
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.datasets import DATASETS
from rotated_atss.dota.detections import read_task1_folder
from rotated_atss.dota.labels import read_labels, write_labels
from rotated_atss.dota.submission_check import check_submission
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import poly_to_obb
from rotated_atss.tiling.tile_results import read_labels_of_images

NAMES = CLASSES["v1.0"]
TILES = {f"P{i}__128__{x}___{y}": (f"P{i}", x, y) for i in (1, 2, 3) for x in (0, 96, 172) for y in (0, 72)}


@pytest.fixture
def labels(tmp_path):
    """Objects of three classes on two images of 300 x 200 pixels, one of them difficult; an image without any."""
    draw = np.random.default_rng(0)
    for image in ("P1", "P2"):
        columns, rows = np.meshgrid(np.arange(30, 290, 60), np.arange(30, 190, 50))
        center = np.stack((columns, rows), -1).reshape(-1, 1, 2)
        angle = draw.uniform(0, np.pi, len(center))
        axes = np.stack(
            [np.stack([np.cos(angle), np.sin(angle)], -1), np.stack([-np.sin(angle), np.cos(angle)], -1)], 1
        )
        polygons = center + np.array([[-18, -7], [18, -7], [18, 7], [-18, 7]]) @ axes
        names = [("plane", "ship", "helicopter")[index % 3] for index in range(len(center))]
        difficult = [int(index == 4) for index in range(len(center))]
        write_labels(tmp_path / "labels" / f"{image}.txt", polygons, names, difficult)
    write_labels(tmp_path / "labels" / "P3.txt", np.empty((0, 8)), [], [])
    return tmp_path / "labels"


def perfect_samples(folder, drop=()):
    """Detections of a perfect detector: each object on every tile that contains its center."""
    samples = []
    for number, (tile, (image, x, y)) in enumerate(TILES.items()):
        labels = read_labels(folder / f"{image}.txt")
        kept = [i for i in range(len(labels)) if i not in drop]
        boxes = poly_to_obb(torch.from_numpy(labels.polygons[kept]))
        boxes[:, :2] -= torch.tensor([x, y])
        inside = ((boxes[:, :2] >= 0) & (boxes[:, :2] < 128)).all(1)
        classes = torch.tensor([NAMES.index(labels.names[i]) for i in kept], dtype=torch.int64)[inside]
        pred = InstanceData(
            bboxes=boxes[inside].float(), scores=torch.full((int(inside.sum()),), 0.9 - number / 1000), labels=classes
        )
        samples.append({"img_id": tile, "pred_instances": pred})
    return samples


def empty_samples():
    empty = InstanceData(bboxes=torch.zeros(0, 5), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64))
    return [{"img_id": tile, "pred_instances": empty} for tile in TILES]


def evaluate(samples, source_labels=(), **settings):
    metric = DOTAMetric(**settings)
    metric.dataset_meta = {"classes": NAMES, "source_label_folders": list(source_labels)}
    for start in range(0, len(samples), 4):
        metric.process({}, samples[start : start + 4])
    return metric.evaluate(len(samples))


@pytest.fixture
def log():
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def test_perfect_detector_reaches_ap_1_and_writes_all_files(labels, tmp_path, log):
    out = tmp_path / "merged"
    metrics = evaluate(
        perfect_samples(labels), labels=[str(labels)], out_dir=str(out), submission=str(tmp_path / "submission.zip")
    )
    assert metrics == pytest.approx({"dota/AP50": 1, "dota/AP75": 1, "dota/AP50_95": 1})
    assert sorted(path.name for path in out.iterdir()) == sorted([f"Task1_{name}.txt" for name in NAMES] + ["ap.json"])
    merged = read_task1_folder(out, NAMES)
    assert {name: len(each) for name, each in merged.items() if len(each)} == {
        "plane": 14,
        "ship": 14,
        "helicopter": 12,
    }
    result = json.loads((out / "ap.json").read_text())
    assert result["AP50"] == pytest.approx(1)
    assert result["images"] == 3
    assert result["per_class"]["plane"]["objects"] == 14
    assert result["per_class"]["bridge"]["AP50"] is None
    assert any(line.startswith("on merged full images\nclass") and "plane" in line for line in log)


def test_report_of_the_merged_detections_with_pictures_of_the_full_images(labels, tmp_path, log):
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "P1.png"), np.full((200, 300, 3), 90, np.uint8))
    metric = DOTAMetric(labels=[str(labels)], out_dir=str(tmp_path / "merged"), report_dir=str(tmp_path / "report"))
    metric.dataset_meta = {"classes": NAMES, "source_image_folders": [str(tmp_path / "images"), str(tmp_path / "gone")]}
    metric.process({}, perfect_samples(labels, drop=[0]))
    metrics = metric.evaluate(len(TILES))
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["summary"]["AP50"] == metrics["dota/AP50"]
    assert (report["summary"]["fn"], report["summary"]["images"]) == (2, 3)
    assert report["inputs"] == {"detections": str(tmp_path / "merged"), "labels": [str(labels)]}
    assert any(line.startswith(f"1 of 3 images found in {tmp_path / 'images'}") for line in log)
    assert f"report: {tmp_path / 'report' / 'index.html'}" in log
    assert [path.name for path in (tmp_path / "report" / "viewer").glob("*.html")] == ["P1.html"]


def test_submission_contains_every_class_at_full_precision(labels, tmp_path):
    evaluate(perfect_samples(labels), submission=str(tmp_path / "s.zip"))
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert sorted(archive.namelist()) == sorted(f"Task1_{name}.txt" for name in NAMES)
        assert archive.read("Task1_bridge.txt") == b""
        scores = {line.split()[1] for line in archive.read("Task1_ship.txt").decode().splitlines()}
    assert {float(score) for score in scores} <= {round(0.9 - number / 1000, 3) for number in range(len(TILES))}
    findings = check_submission(tmp_path / "s.zip", NAMES, ["P1", "P2", "P3"])
    assert [finding for finding in findings if finding.level == "error"] == []


def test_labels_come_from_the_manifest_unless_given(labels, log):
    for settings in (dict(source_labels=[str(labels)]), dict(source_labels=["gone"], labels=str(labels))):
        assert evaluate(perfect_samples(labels), **settings)["dota/AP50"] == pytest.approx(1)


def test_notes_of_the_dataset_are_in_the_log_and_the_json(labels, tmp_path, log):
    metric = DOTAMetric(labels=[str(labels)], out_dir=str(tmp_path))
    metric.dataset_meta = {"classes": NAMES, "notes": ["AP is biased"]}
    metric.process({}, perfect_samples(labels))
    metric.evaluate(len(TILES))
    assert json.loads((tmp_path / "ap.json").read_text())["notes"] == ["AP is biased"]
    assert any(line.startswith("on merged") and line.endswith("\nAP is biased") for line in log)
    assert f"labels of the full images: {labels.resolve()}" in log


def test_without_labels_files_are_written_but_not_evaluated(labels, tmp_path, log):
    assert evaluate(perfect_samples(labels), out_dir=str(tmp_path / "out")) == {}
    assert len(list((tmp_path / "out").iterdir())) == 15
    assert not (tmp_path / "out" / "ap.json").exists()
    assert log[-1].startswith("no labels of the full images are available: nothing is evaluated")


def test_no_detections_have_ap_0(labels, tmp_path):
    metrics = evaluate(empty_samples(), labels=[str(labels)], out_dir=str(tmp_path / "out"))
    assert metrics["dota/AP50"] == 0
    assert (tmp_path / "out" / "Task1_ship.txt").read_bytes() == b""


@pytest.mark.parametrize("version, counted", [("v1.0", False), ("v1.5", True), ("v2.0", True)])
def test_version_determines_whether_difficult_objects_count(labels, version, counted):
    settings = dict(labels=[str(labels)], dataset=version, metric="area")
    ap50 = evaluate(perfect_samples(labels, drop=(4,)), **settings)["dota/AP50"]
    assert (ap50 < 0.99) == counted
    ignored = evaluate(perfect_samples(labels, drop=(4,)), difficult="ignore", **settings)["dota/AP50"]
    assert ignored == pytest.approx(1)


def test_image_without_label_file_raises_after_writing_detections(labels, tmp_path):
    (labels / "P2.txt").unlink()
    with pytest.raises(UserError) as caught:
        evaluate(empty_samples(), labels=[str(labels)], out_dir=str(tmp_path / "o"))
    assert str(caught.value) == f"{labels}: no label file for the image P2 (add its folder with --labels)"
    assert (tmp_path / "o" / "Task1_ship.txt").is_file()


def test_labels_are_read_from_several_folders(labels, tmp_path):
    (tmp_path / "more").mkdir()
    (labels / "P2.txt").rename(tmp_path / "more" / "P2.txt")
    labels_by_image = read_labels_of_images([str(labels), str(tmp_path / "more")], ["P1", "P2", "P3"], NAMES)
    assert [len(labels_by_image[image]) for image in ("P1", "P2", "P3")] == [20, 20, 0]


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(dataset="v3"), f"dataset of the evaluation must be one of {', '.join(DATASETS)}, got 'v3'"),
        (dict(metric="voc12"), "metric of the evaluation must be one of voc07, area, coco, got 'voc12'"),
        (dict(difficult="keep"), "difficult of the evaluation must be one of ignore, count, got 'keep'"),
        (dict(iou_threshold=10), "iou_threshold of the evaluation must be between 0 and 1, got 10"),
        (dict(labels=["/no/such"]), "/no/such: the label folder does not exist"),
    ],
)
def test_invalid_settings_raise_at_construction(settings, message):
    with pytest.raises(UserError) as caught:
        DOTAMetric(**settings)
    assert str(caught.value) == message


def test_missing_label_folders_of_the_manifest_are_reported_before_the_run(labels, log):
    for settings, expected in (({}, 1), ({"labels": [str(labels)]}, 0)):
        log.clear()
        DOTAMetric(**settings).dataset_meta = {"classes": NAMES, "missing_label_folders": ["raw/gone"]}
        assert len(log) == expected
        assert not expected or log[0].startswith("raw/gone: the label folder in the manifest")
