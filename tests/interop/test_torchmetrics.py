"""Average precision as a metric of torchmetrics, compared with ``evaluate`` on files of the same data."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest
import torch

from rotated_atss.cli import main
from rotated_atss.dota.ap_result import result_to_json
from rotated_atss.dota.classes import CLASSES as CLASSES_BY_VERSION
from rotated_atss.dota.detections import Detections, read_task1_folder, write_task1_folder
from rotated_atss.dota.folders import list_label_files
from rotated_atss.dota.labels import read_labels, write_labels
from rotated_atss.dota.task1_evaluation import evaluate_detections
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import obb_to_poly

pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")

from rotated_atss.interop.torchmetrics import OrientedAveragePrecision

CLASSES = ["plane", "ship", "harbor"]
DOTA_CLASSES = CLASSES_BY_VERSION["v1.0"]


def random_images(seed: int, count: int) -> tuple[list[dict], list[dict]]:
    """Return detections and ground truth of images: shifted copies of the objects, misses and false positives."""
    rng = np.random.default_rng(seed)
    preds, target = [], []
    for _ in range(count):
        number = int(rng.integers(0, 12))
        boxes = np.column_stack(
            (rng.uniform(50, 450, (number, 2)), rng.uniform(10, 60, (number, 2)), rng.uniform(-1.5, 1.5, number))
        )
        labels = rng.integers(0, 2, number)  # no object is a harbor
        target.append({"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(labels),
                       "difficult": torch.from_numpy(rng.integers(0, 3, number))})  # fmt: skip
        kept = rng.random(number) < 0.8
        noise = rng.normal(size=(number, 5)) * [2, 2, 2, 2, 0.05]
        extra = np.column_stack((rng.uniform(50, 450, (3, 2)), rng.uniform(10, 60, (3, 2)), rng.uniform(-1.5, 1.5, 3)))
        found = np.concatenate(((boxes + noise)[kept], extra))
        found_labels = np.concatenate((labels[kept], rng.integers(0, 3, 3)))
        scores = torch.from_numpy(rng.random(len(found)).astype(np.float32))
        preds.append({"boxes": torch.from_numpy(found), "scores": scores, "labels": torch.from_numpy(found_labels)})
    return preds, target


def compute(preds: list[dict], target: list[dict], batch: int = 4, **options: object) -> dict[str, float]:
    metric = OrientedAveragePrecision(CLASSES, **options)
    for start in range(0, len(preds), batch):
        metric.update(preds[start : start + batch], target[start : start + batch])
    return {name: value.item() for name, value in metric.compute().items()}


@pytest.mark.parametrize(
    "options", [[], ["--metric", "area"], ["--dota-version", "v1.5"]], ids=["voc07", "area", "count"]
)
def test_values_are_those_of_evaluate(tmp_path, options):
    preds, target = random_images(seed=3, count=20)
    columns = {name: ([], [], []) for name in CLASSES}
    for index, (pred, gt) in enumerate(zip(preds, target)):
        names = [CLASSES[label] for label in gt["labels"]]
        (tmp_path / "labelTxt").mkdir(exist_ok=True)
        write_labels(
            tmp_path / "labelTxt" / f"P{index:02}.txt", obb_to_poly(gt["boxes"]).numpy(), names, gt["difficult"]
        )
        for polygon, score, label in zip(obb_to_poly(pred["boxes"]).tolist(), pred["scores"].tolist(), pred["labels"]):
            for column, value in zip(columns[CLASSES[label]], (f"P{index:02}", score, polygon)):
                column.append(value)
    found = {name: Detections.from_ids(ids, np.array(s), np.array(p)) for name, (ids, s, p) in columns.items()}
    write_task1_folder(tmp_path / "found", found)
    arguments = ["evaluate", "--detections", tmp_path / "found", "--labels", tmp_path / "labelTxt", "--classes",
                 ",".join(CLASSES), "--json", tmp_path / "ap.json", "--quiet", *options]  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    expected = json.loads((tmp_path / "ap.json").read_text())
    metric = options[1] if "area" in options else "voc07"
    values = compute(preds, target, metric=metric, difficult="count" if "v1.5" in options else "ignore", per_class=True)
    assert 0.2 < values["AP50"] < 0.95
    assert set(values) == {
        f"{key}{name}" for key in ("AP50", "AP75", "AP50_95") for name in ("", *map("/{}".format, CLASSES))
    }
    for name in ("AP50", "AP75", "AP50_95"):
        assert values[name] == pytest.approx(expected[name], abs=1e-7)
        for class_name in ("plane", "ship"):
            assert values[f"{name}/{class_name}"] == pytest.approx(expected["per_class"][class_name][name], abs=1e-7)
        assert math.isnan(values[f"{name}/harbor"])


def test_real_detections(shared_data):
    folder = shared_data("dota_eval", "nine_images")
    found = read_task1_folder(folder / "merged_detections", DOTA_CLASSES)
    labels = {path.stem: read_labels(path, DOTA_CLASSES) for path in list_label_files(folder / "labelTxt")}
    metric = OrientedAveragePrecision(DOTA_CLASSES)
    for image, of_image in labels.items():
        rows = {name: each.take(each.image_ids == image) for name, each in found.items()}
        pred = {
            "boxes": np.concatenate([each.polygons for each in rows.values()]),
            "scores": np.concatenate([each.scores for each in rows.values()]),
            "labels": np.repeat(np.arange(len(DOTA_CLASSES)), [len(each) for each in rows.values()]),
        }
        gt = [DOTA_CLASSES.index(name) for name in of_image.names]
        metric.update([pred], [{"boxes": of_image.polygons, "labels": gt, "difficult": of_image.difficult}])
    # equal scores are ranked in the order of the images
    ordered = {name: each.take(np.argsort(each.image_ids, kind="stable")) for name, each in found.items()}
    expected = evaluate_detections(ordered, labels, classes=DOTA_CLASSES)
    assert result_to_json(metric.evaluate()) == result_to_json(expected)
    assert metric.compute()["AP50"].item() == pytest.approx(expected.ap50)
    assert 0.3 < expected.ap50 < 1


def test_polygons_give_the_values_of_their_boxes():
    preds, target = random_images(seed=1, count=6)
    as_polygons = [
        [{**entry, "boxes": obb_to_poly(entry["boxes"])} for entry in entries] for entries in (preds, target)
    ]
    assert compute(*as_polygons) == compute(preds, target) == compute(preds, target, batch=1)


def test_iou_thresholds_and_missing_difficult_flags():
    preds, target = random_images(seed=2, count=6)
    values = compute(preds, [{key: gt[key] for key in ("boxes", "labels")} for gt in target], iou_thresholds=[0.5, 0.6])
    assert list(values) == ["AP50", "AP50_95"]
    assert values["AP50"] == compute(preds, target, difficult="count")["AP50"]
    assert values["AP50_95"] < values["AP50"]


def test_forward_returns_the_values_of_the_batch():
    preds, target = random_images(seed=6, count=8)
    metric = OrientedAveragePrecision(CLASSES)
    for rows in (slice(0, 5), slice(5, 8)):
        values = {name: value.item() for name, value in metric(preds[rows], target[rows]).items()}
        assert values == compute(preds[rows], target[rows])
    assert {name: value.item() for name, value in metric.compute().items()} == compute(preds, target)


def test_reset_pickle_and_no_images():
    metric = OrientedAveragePrecision(CLASSES)
    preds, target = random_images(seed=4, count=3)
    metric.update(preds, target)
    assert pickle.loads(pickle.dumps(metric)).compute() == metric.compute()
    metric.reset()
    metric.update([], [])
    assert all(value.isnan() for value in metric.compute().values())
    nothing = {"boxes": torch.zeros(0, 5), "scores": torch.zeros(0), "labels": torch.zeros(0)}
    metric.update([nothing], [nothing])
    assert all(value.isnan() for value in metric.compute().values())


@pytest.mark.parametrize(
    "pred, gt, match",
    [
        ({"scores": None}, {}, r"preds\[0\] must have boxes, labels, scores, got boxes, labels"),
        ({"boxes": torch.zeros(1, 4)}, {}, r"preds\[0\]: boxes must be \(N, 5\) or \(N, 8\), got \(1, 4\)"),
        ({"scores": torch.zeros(2)}, {}, r"preds\[0\]: scores must have shape \(1,\), one value per box, got \(2,\)"),
        ({"labels": torch.tensor([3])}, {}, r"preds\[0\]: labels must lie between 0 and 2, got 3"),
        ({}, {"labels": torch.tensor([-1])}, r"target\[0\]: labels must lie between 0 and 2, got -1"),
        ({}, {"labels": None}, r"target\[0\] must have boxes, labels, got boxes"),
    ],
)
def test_malformed_input_leaves_the_states_unchanged(pred, gt, match):
    box = torch.tensor([[10.0, 10, 8, 4, 0]])
    good = {"boxes": box, "scores": torch.tensor([0.5]), "labels": torch.tensor([0])}
    metric = OrientedAveragePrecision(CLASSES)
    bad = [{key: value for key, value in {**good, **changes}.items() if value is not None} for changes in (pred, gt)]
    del bad[1]["scores"]
    with pytest.raises(ValueError, match=match):
        metric.update([bad[0]], [bad[1]])
    metric.update([good], [good])
    assert metric.compute()["AP50"] == 1
    with pytest.raises(ValueError, match="preds and target must have one entry per image, got 1 and 0"):
        metric.update([good], [])


@pytest.mark.parametrize(
    "options, match",
    [
        ({"metric": "voc12"}, "metric must be one of voc07, area, coco, got 'voc12'"),
        ({"difficult": "drop"}, "difficult must be one of ignore, count, got 'drop'"),
        ({"iou_thresholds": [50]}, r"iou_thresholds must lie between 0 and 1, got \[50\]"),
        ({"class_names": "ship"}, "class_names must be a sequence of distinct names, got 'ship'"),
    ],
)
def test_settings_are_checked(options, match):
    with pytest.raises(UserError, match=match):
        OrientedAveragePrecision(**{"class_names": CLASSES, **options})


def update_in_process(rank: int, folder: str) -> None:
    """Evaluate the images of one of three processes, the second of which has none."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=3)
    torch.set_num_threads(1)
    preds, target = random_images(seed=5, count=9)
    rows = (slice(0, 4), slice(0, 0), slice(4, 9))[rank]
    metric = OrientedAveragePrecision(CLASSES)
    if preds[rows]:
        metric.update(preds[rows], target[rows])
    values = {name: value.item() for name, value in metric.compute().items()}
    metric.update(preds[:1], target[:1])  # after the states of this process are restored
    with open(f"{folder}/{rank}.json", "w", encoding="utf-8") as file:
        json.dump([values, len(metric.evaluate().per_class), metric.evaluate().images], file)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_give_the_values_of_one_process(tmp_path):
    torch.multiprocessing.start_processes(update_in_process, args=(str(tmp_path),), nprocs=3, start_method="fork")
    expected = compute(*random_images(seed=5, count=9))
    for rank, images in enumerate((5, 1, 6)):
        values, _, own = json.loads((tmp_path / f"{rank}.json").read_text())
        assert values == expected
        assert own == images
