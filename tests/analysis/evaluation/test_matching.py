"""Matches of all detections equal a slow reference, and give the AP of the evaluators."""

import numpy as np
import pytest

from rotated_atss.analysis.evaluation.data import EvaluationData
from rotated_atss.analysis.evaluation.matching import Matcher, average_precisions
from rotated_atss.analysis.evaluation.overlaps import find_overlaps
from rotated_atss.analysis.evaluation.report import EvaluationReport
from rotated_atss.dota.task1_evaluation import IOU_THRESHOLDS, evaluate_detections
from tests.analysis.evaluation.samples import (
    CLASSES,
    RULES,
    coco_report,
    random_boxes,
    rows_of,
    task1_report,
    to_coco,
    to_task1,
)
from tests.references.slow_evaluation import iou, slow_match


def states(report: EvaluationReport) -> np.ndarray:
    matches = report.matches
    return np.where(matches.true_positives, "tp", np.where(matches.false_positives, "fp", "ignored"))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rule", ["dota", "coco", "horizontal"])
def test_matches_equal_the_slow_reference(rule: str, seed: int) -> None:
    dets, objects = random_boxes(seed, oriented=rule != "horizontal", crowds=rule == "horizontal")
    report = coco_report(dets, objects) if rule == "horizontal" else task1_report(dets, objects, **RULES[rule])
    expected, matched = slow_match(dets, objects, 0.5, "dota" if rule == "dota" else "coco")
    rows, gt_rows = rows_of(report.data, dets, objects)
    assert states(report)[rows].tolist() == expected
    assert report.matches.gt_index[rows].tolist() == [-1 if index < 0 else gt_rows[index] for index in matched]
    assert {"tp", "fp", "ignored"} >= set(expected) >= {"tp", "fp"}


@pytest.mark.parametrize("rule", RULES)
def test_average_precision_is_that_of_evaluate(rule: str) -> None:
    dets, objects = random_boxes(7)
    detections, labels = to_task1(dets, objects)
    result = evaluate_detections(detections, labels, classes=CLASSES, **RULES[rule])
    report = task1_report(dets, objects, **RULES[rule])
    matcher = Matcher(report.data, report.overlaps)
    for threshold in IOU_THRESHOLDS:
        ours = average_precisions(report.data, matcher.match(threshold))
        np.testing.assert_array_equal(ours, [each.ap_by_iou[threshold] for each in result.per_class.values()])


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_of_horizontal_boxes_is_that_of_faster_coco_eval(seed: int) -> None:
    pytest.importorskip("faster_coco_eval")
    from rotated_atss.coco.bbox_evaluation import evaluate_boxes

    dets, objects = random_boxes(seed, oriented=False, crowds=True)
    instances, rows = to_coco(dets, objects)
    result = evaluate_boxes(instances, rows, max_dets=(1, 10, 100))
    report = coco_report(dets, objects)
    matcher = Matcher(report.data, report.overlaps)
    by_iou = np.stack([average_precisions(report.data, matcher.match(each)) for each in IOU_THRESHOLDS])
    expected = [[result.per_class[name][1], result.ap75_per_class[name], result.per_class[name][0]] for name in CLASSES]
    ours = np.nan_to_num(np.stack([by_iou[0], by_iou[5], by_iou.mean(axis=0)], axis=1), nan=-1.0)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_detections_beyond_the_limit_of_coco_are_left_out() -> None:
    from rotated_atss.analysis.evaluation.from_coco import from_coco

    dets, objects = random_boxes(1, oriented=False)
    data = from_coco(*to_coco(dets, objects), max_dets=1)
    groups = list(zip(data.detections.labels.tolist(), data.detections.image_index.tolist()))
    assert len(set(groups)) == len(groups)
    best = {(CLASSES.index(det.name), int(det.image[1:])): det.score for det in sorted(dets, key=lambda det: det.score)}
    assert dict(zip(groups, data.detections.scores.tolist())) == best


def test_overlaps_are_all_pairs_of_any_class(report: EvaluationReport) -> None:
    again = find_overlaps(report.data, workers=3)
    for name in ("det_index", "gt_index", "ious"):
        np.testing.assert_array_equal(getattr(again, name), getattr(report.overlaps, name))


@pytest.mark.parametrize("oriented", [True, False])
def test_overlaps_equal_the_slow_reference(oriented: bool) -> None:
    dets, objects = random_boxes(2, oriented=oriented, crowds=not oriented)
    report = task1_report(dets, objects) if oriented else coco_report(dets, objects)
    rows, gt_rows = rows_of(report.data, dets, objects)
    expected = np.array([[iou(det, obj) for obj in objects] for det in dets])
    ours = np.zeros_like(expected)
    position, gt_position = np.argsort(rows), np.argsort(gt_rows)
    ours[position[report.overlaps.det_index], gt_position[report.overlaps.gt_index]] = report.overlaps.ious
    np.testing.assert_allclose(ours, np.where(expected >= 0.1, expected, 0), atol=1e-9)


def test_empty_inputs() -> None:
    data = task1_report([], []).data
    assert isinstance(data, EvaluationData)
    assert (len(data.detections), len(data.objects), len(find_overlaps(data))) == (0, 0, 0)
