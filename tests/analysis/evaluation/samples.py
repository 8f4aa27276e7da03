"""Synthetic evaluations: oriented and horizontal boxes on a few images, with errors of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rotated_atss.analysis.evaluation.ap_values import from_coco_result, from_task1_result
from rotated_atss.analysis.evaluation.data import EvaluationData
from rotated_atss.analysis.evaluation.from_task1 import from_task1
from rotated_atss.analysis.evaluation.report import EvaluationReport, ReportSettings, build_report
from rotated_atss.coco.instances import CocoImage, Instances
from rotated_atss.dota.detections import Detections
from rotated_atss.dota.labels import Labels
from rotated_atss.dota.task1_evaluation import evaluate_detections
from tests.references.slow_evaluation import Box

CLASSES = ("ship", "plane", "harbor", "bridge")  # no object is a bridge


def corners(cx, cy, w, h, degrees):
    angle = np.deg2rad(degrees)
    offsets = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return tuple((offsets @ turn + [cx, cy]).ravel().tolist())


def random_boxes(
    seed: int, oriented: bool = True, images: int = 4, crowds: bool = False
) -> tuple[list[Box], list[Box]]:
    """Return detections and objects: most detections are objects with an error of a random kind."""
    rng = np.random.default_rng(seed)
    objects, dets = [], []
    for _ in range(int(rng.integers(8, 30))):
        image, name = f"P{rng.integers(images)}", str(rng.choice(CLASSES[:3]))
        shape = np.array([*rng.uniform(0, 120, 2), *rng.uniform(8, 60, 2), rng.uniform(-90, 90) * oriented])
        ignored = bool(rng.random() < 0.15)
        objects.append(Box(image, name, corners(*shape), ignored=ignored, crowd=crowds and ignored))
        for _ in range(int(rng.integers(0, 3))):
            noise = rng.choice([0.02, 0.15, 0.5]) * np.array([*shape[2:4], *shape[2:4], 60 * oriented])
            other = shape + noise * rng.uniform(-1, 1, 5)
            wrong = str(rng.choice(CLASSES)) if rng.random() < 0.3 else name
            dets.append(Box(image, wrong, corners(*other), score=0.0))
    for _ in range(5):
        shape = [*rng.uniform(0, 120, 2), *rng.uniform(8, 60, 2), rng.uniform(-90, 90) * oriented]
        dets.append(Box(f"P{rng.integers(images)}", str(rng.choice(CLASSES)), corners(*shape), score=0.0))
    scores = rng.permutation(len(dets)) / len(dets) + 0.001
    return [det._replace(score=float(score)) for det, score in zip(dets, scores)], objects


def to_task1(dets: list[Box], objects: list[Box], images: int = 4) -> tuple[dict[str, Detections], dict[str, Labels]]:
    """Convert boxes to Task1 detections and labels."""
    detections = {}
    for name in {det.name for det in dets}:
        rows = [det for det in dets if det.name == name]
        polygons = np.array([row.corners for row in rows])
        detections[name] = Detections.from_ids([row.image for row in rows], [row.score for row in rows], polygons)
    labels = {}
    for image in [f"P{number}" for number in range(images)]:
        rows = [obj for obj in objects if obj.image == image]
        labels[image] = Labels(
            np.array([row.corners for row in rows]).reshape(-1, 8), tuple(row.name for row in rows),
            np.array([row.ignored for row in rows], np.int64), np.arange(1, len(rows) + 1),
        )  # fmt: skip
    return detections, labels


def to_coco(dets: list[Box], objects: list[Box], images: int = 4) -> tuple[Instances, list[dict]]:
    """Convert horizontal boxes to COCO instances and results."""

    def row(box: Box) -> dict:
        x1, y1, _, _, x2, y2, _, _ = box.corners
        bbox = [x1, y1, x2 - x1, y2 - y1]
        return {"image_id": int(box.image[1:]) + 1, "category_id": CLASSES.index(box.name) + 1, "bbox": bbox}

    entries = [
        {**row(box), "id": number, "area": box.shape.area, "iscrowd": int(box.crowd)}
        for number, box in enumerate(objects, 1)
    ]
    listed = [CocoImage(number + 1, f"P{number}.png", 300, 300) for number in range(images)]
    categories = dict(enumerate(CLASSES, 1))
    return Instances(Path("a.json"), listed, categories, entries), [{**row(box), "score": box.score} for box in dets]


def task1_report(dets: list[Box], objects: list[Box], score: float | None = None, **rules) -> EvaluationReport:
    """Build the report of boxes on oriented boxes."""
    detections, labels = to_task1(dets, objects)
    result = evaluate_detections(detections, labels, classes=CLASSES, **rules)
    settings = ReportSettings(result.dataset, result.iou_thresholds, score_threshold=score)
    return build_report(from_task1(detections, labels, CLASSES, **rules), from_task1_result(result), settings)


def coco_report(dets: list[Box], objects: list[Box], score: float | None = None) -> EvaluationReport:
    """Build the report of horizontal boxes by COCO's rules."""
    pytest.importorskip("faster_coco_eval")
    from rotated_atss.analysis.evaluation.from_coco import from_coco
    from rotated_atss.coco.bbox_evaluation import evaluate_boxes

    instances, rows = to_coco(dets, objects)
    ap = from_coco_result(evaluate_boxes(instances, rows))
    return build_report(from_coco(instances, rows), ap, ReportSettings("COCO", (0.5, 0.75), score_threshold=score))


def rows_of(data: EvaluationData, dets: list[Box], objects: list[Box]) -> tuple[list[int], list[int]]:
    """Return the row of each detection and of each object in the tables of a report."""
    by_score = {score: row for row, score in enumerate(data.detections.scores.tolist())}
    centers = _centers(data.objects.polygons)
    by_center = {center: number for number, center in enumerate(centers)}
    return (
        [by_score[det.score] for det in dets],
        [by_center[center] for center in _centers(np.array([obj.corners for obj in objects]))],
    )


def _centers(polygons: np.ndarray) -> list[tuple[float, ...]]:
    """Return the centers of polygons, which do not depend on the order of the corners."""
    return [tuple(row) for row in polygons.reshape(-1, 4, 2).mean(axis=1).round(6).tolist()]


RULES = {
    "dota": dict(dataset="v1.0"),
    "area": dict(dataset="v1.5", metric="area"),
    "coco": dict(dataset="v1.0", metric="coco"),
    "soda-a": dict(dataset="soda-a"),
    "hrsid": dict(dataset="hrsid"),
}
