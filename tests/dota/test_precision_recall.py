"""Precision and recall at score thresholds, compared with a count that tries every pair."""

from __future__ import annotations

import numpy as np
import pytest

from rotated_atss.dota.detections import Detections
from rotated_atss.dota.labels import Labels
from rotated_atss.dota.precision_recall import ScoreCounts, count_by_score
from rotated_atss.dota.task1_evaluation import evaluate_detections


def square(x, y, side=10.0):
    return np.array([x, y, x + side, y, x + side, y + side, x, y + side])


def iou_of_squares(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[5], b[5]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (2 * 100 - shared)


@pytest.fixture
def scenes():
    """Labels of three images with two classes, some difficult, and detections near them and elsewhere."""
    rng = np.random.default_rng(3)
    labels, found = {}, {"ship": [], "plane": []}
    for image in ("P1", "P2", "P3"):
        polygons = np.array([square(*rng.uniform(0, 200, 2)) for _ in range(8)])
        names = tuple(rng.choice(["ship", "plane"], 8))
        labels[image] = Labels(polygons, names, (rng.random(8) < 0.2).astype(int), np.arange(1, 9))
        for polygon, name in zip(polygons, names):
            for _ in range(rng.integers(0, 3)):
                score = float(rng.choice([0.0, 0.25, 0.5, 1.0, rng.random()]))
                found[name].append((image, score, polygon + np.tile(rng.uniform(-3, 3, 2), 4)))
        found["ship"].append((image, 0.3, square(*rng.uniform(0, 200, 2))))
    return labels, found


def counts_by_pairs(labels, found, name, threshold, ignore_difficult):
    """Count as in the definition: detections by descending score, each with its object of highest IoU."""
    rows = sorted((row for row in found[name] if row[1] >= threshold), key=lambda row: -row[1])
    taken, true, false = set(), 0, 0
    for image, _, polygon in rows:
        objects = [(iou_of_squares(polygon, each), index) for index, each in enumerate(labels[image].polygons)
                   if labels[image].names[index] == name]  # fmt: skip
        iou, index = max(objects, key=lambda pair: (pair[0], -pair[1]), default=(0.0, -1))
        if iou > 0.5 and ignore_difficult and labels[image].difficult[index]:
            continue
        if iou > 0.5 and (image, index) not in taken:
            taken.add((image, index))
            true += 1
        else:
            false += 1
    return true, false


@pytest.mark.parametrize("ignore_difficult", [True, False])
def test_counts_are_those_of_the_definition(scenes, ignore_difficult):
    labels, found = scenes
    detections = {
        name: Detections.from_ids([row[0] for row in rows], np.array([row[1] for row in rows]),
                                  np.array([row[2] for row in rows]))
        for name, rows in found.items()
    }  # fmt: skip
    counts = count_by_score(detections, labels, ignore_difficult=ignore_difficult, num_thresholds=5)
    assert sorted(counts) == ["plane", "ship"]
    for name, each in counts.items():
        expected = [
            counts_by_pairs(labels, found, name, threshold, ignore_difficult) for threshold in (0, 0.25, 0.5, 0.75, 1)
        ]
        assert list(zip(each.true_positives.tolist(), each.false_positives.tolist())) == expected
    rule = "ignore" if ignore_difficult else "count"
    result = evaluate_detections(detections, labels, difficult=rule)
    for name, each in counts.items():
        assert each.num_gt == result.per_class[name].npos
        assert each.recall[0] == pytest.approx(result.per_class[name].max_recall)


def test_classes_without_objects_have_no_curve_and_without_detections_recall_0():
    labels = {"P1": Labels(square(0, 0)[None], ("ship",), np.zeros(1, int), np.array([1]))}
    none = Detections.from_ids([], np.zeros(0), np.zeros((0, 8)))
    counts = count_by_score({"ship": none, "plane": none}, labels, ignore_difficult=True)
    assert list(counts) == ["ship"]
    assert not counts["ship"].recall.any()
    assert (counts["ship"].precision == 1).all()


def test_precision_without_detections_is_1():
    counts = ScoreCounts(np.array([2, 0]), np.array([2, 0]), 4)
    assert counts.precision.tolist() == [0.5, 1.0]
    assert counts.recall.tolist() == [0.5, 0.0]
