"""From predictions on tiles to Task1 files, average precision on full images and the submission."""

import json
import logging
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData

from rotated_atss.detection.evaluation.dota_metric import DOTAMetric, labels_of_images
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import read_task1_folder
from rotated_atss.dota.labels import read_labels, write_labels
from rotated_atss.dota.submission_check import check_submission
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import poly_to_obb

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
        turn = np.stack(
            [np.stack([np.cos(angle), np.sin(angle)], -1), np.stack([-np.sin(angle), np.cos(angle)], -1)], 1
        )
        polygons = center + np.array([[-18, -7], [18, -7], [18, 7], [-18, 7]]) @ turn
        names = [("plane", "ship", "helicopter")[index % 3] for index in range(len(center))]
        difficult = [int(index == 4) for index in range(len(center))]
        write_labels(tmp_path / "labels" / f"{image}.txt", polygons, names, difficult)
    write_labels(tmp_path / "labels" / "P3.txt", np.empty((0, 8)), [], [])
    return tmp_path / "labels"


def perfect_samples(folder, drop=()):
    """What a perfect detector finds on the tiles: each object on every tile that holds its centre."""
    samples = []
    for number, (tile, (image, x, y)) in enumerate(TILES.items()):
        truth = read_labels(folder / f"{image}.txt")
        kept = [i for i in range(len(truth)) if i not in drop]
        boxes = poly_to_obb(torch.from_numpy(truth.polygons[kept]))
        boxes[:, :2] -= torch.tensor([x, y])
        inside = ((boxes[:, :2] >= 0) & (boxes[:, :2] < 128)).all(1)
        classes = torch.tensor([NAMES.index(truth.names[i]) for i in kept], dtype=torch.int64)[inside]
        pred = InstanceData(
            bboxes=boxes[inside].float(), scores=torch.full((int(inside.sum()),), 0.9 - number / 1000), labels=classes
        )
        samples.append({"img_id": tile, "pred_instances": pred})
    return samples


def nothing():
    empty = InstanceData(bboxes=torch.zeros(0, 5), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64))
    return [{"img_id": tile, "pred_instances": empty} for tile in TILES]


def evaluate(samples, source_labels=(), **settings):
    metric = DOTAMetric(**settings)
    metric.dataset_meta = {"classes": NAMES, "source_labels": list(source_labels)}
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


def test_a_perfect_detector(labels, tmp_path, log):
    out = tmp_path / "merged"
    found = evaluate(
        perfect_samples(labels), labels=[str(labels)], out_dir=str(out), submission=str(tmp_path / "submission.zip")
    )
    assert found == pytest.approx({"dota/AP50": 1, "dota/AP75": 1, "dota/AP50_95": 1})
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
    assert result["per_class"]["plane"]["npos"] == 14
    assert result["per_class"]["bridge"]["AP50"] is None
    assert any(line.startswith("on merged full images\nclass") and "plane" in line for line in log)


def test_the_submission_holds_every_class_at_full_precision(labels, tmp_path):
    evaluate(perfect_samples(labels), submission=str(tmp_path / "s.zip"))
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert sorted(archive.namelist()) == sorted(f"Task1_{name}.txt" for name in NAMES)
        assert archive.read("Task1_bridge.txt") == b""
        scores = {line.split()[1] for line in archive.read("Task1_ship.txt").decode().splitlines()}
    assert {float(score) for score in scores} <= {round(0.9 - number / 1000, 3) for number in range(len(TILES))}
    findings = check_submission(tmp_path / "s.zip", NAMES, ["P1", "P2", "P3"])
    assert [finding for finding in findings if finding.level == "error"] == []


def test_labels_are_those_of_the_manifest_unless_given(labels, log):
    for settings in (dict(source_labels=[str(labels)]), dict(source_labels=["gone"], labels=str(labels))):
        assert evaluate(perfect_samples(labels), **settings)["dota/AP50"] == pytest.approx(1)


def test_without_labels_files_but_no_figures(labels, tmp_path, log):
    assert evaluate(perfect_samples(labels), out_dir=str(tmp_path / "out")) == {}
    assert len(list((tmp_path / "out").iterdir())) == 15
    assert not (tmp_path / "out" / "ap.json").exists()
    assert log[-1].startswith("no labels of the full images are known: nothing is evaluated")


def test_no_detections_at_all(labels, tmp_path):
    found = evaluate(nothing(), labels=[str(labels)], out_dir=str(tmp_path / "out"))
    assert found["dota/AP50"] == 0
    assert (tmp_path / "out" / "Task1_ship.txt").read_bytes() == b""


@pytest.mark.parametrize("version, missed", [("v1.0", False), ("v1.5", True), ("v2.0", True)])
def test_difficult_objects_by_version(labels, version, missed):
    settings = dict(labels=[str(labels)], version=version, metric="area")
    found = evaluate(perfect_samples(labels, drop=(4,)), **settings)["dota/AP50"]
    assert (found < 0.99) == missed
    ignored = evaluate(perfect_samples(labels, drop=(4,)), difficult="ignore", **settings)["dota/AP50"]
    assert ignored == pytest.approx(1)


def test_an_image_without_label_file(labels, tmp_path):
    (labels / "P2.txt").unlink()
    with pytest.raises(UserError) as caught:
        evaluate(nothing(), labels=[str(labels)], out_dir=str(tmp_path / "o"))
    assert str(caught.value) == f"{labels}: no label file for the image P2 (name its folder with --labels)"
    assert (tmp_path / "o" / "Task1_ship.txt").is_file()  # what was detected is not lost


def test_labels_from_several_folders(labels, tmp_path):
    (tmp_path / "more").mkdir()
    (labels / "P2.txt").rename(tmp_path / "more" / "P2.txt")
    found = labels_of_images([str(labels), str(tmp_path / "more")], ["P1", "P2", "P3"], NAMES)
    assert [len(found[image]) for image in ("P1", "P2", "P3")] == [20, 20, 0]


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(version="v3"), "unknown version 'v3' in DOTAMetric (choose from v1.0, v1.5, v2.0)"),
        (dict(metric="coco"), "unknown metric 'coco' in DOTAMetric (choose from voc07, area)"),
        (dict(difficult="keep"), "unknown rule for difficult objects 'keep' in DOTAMetric (choose from ignore, count)"),
        (dict(iou_threshold=10), "the IoU threshold of DOTAMetric lies between 0 and 1, not at 10"),
        (dict(labels=["/no/such"]), "/no/such: no such folder of labels"),
    ],
)
def test_settings_are_checked_before_the_test_and_not_after(settings, message):
    with pytest.raises(UserError) as caught:
        DOTAMetric(**settings)
    assert str(caught.value) == message
