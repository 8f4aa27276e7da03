"""The confusion matrix: a slow reference, sums, and equality with scikit-learn on the pairs."""

import numpy as np
import pytest

from rotated_atss.analysis.evaluation.ap_values import from_task1_result
from rotated_atss.analysis.evaluation.confusion import matrix_names
from rotated_atss.analysis.evaluation.from_task1 import from_task1
from rotated_atss.analysis.evaluation.report import EvaluationReport, ReportSettings, build_report
from rotated_atss.analysis.evaluation.report_json import report_to_json
from rotated_atss.analysis.evaluation.tables import tables_from_json
from rotated_atss.dota.labels import Labels
from rotated_atss.dota.task1_evaluation import evaluate_detections
from tests.analysis.evaluation.samples import CLASSES, corners, random_boxes, task1_report
from tests.references.slow_evaluation import Box, iou, slow_match

SHIP = corners(50, 50, 40, 10, 30)


@pytest.mark.parametrize("seed", range(5))
def test_matrix_equals_the_slow_reference(seed: int) -> None:
    dets, objects = random_boxes(seed)
    report = task1_report(dets, objects, score=0.4)
    states, _ = slow_match(dets, objects, 0.5, "dota")
    kept = [det for det, state in zip(dets, states) if state != "ignored" and det.score >= 0.4]
    counted = [obj for obj in objects if not obj.ignored]
    names = [*CLASSES, "background"]
    expected = np.zeros((5, 5), int)
    while True:  # the pair of highest IoU among those that are left
        pairs = [(iou(det, obj), det, obj) for det in kept for obj in counted]
        best, det, obj = max(pairs, key=lambda pair: pair[0], default=(0.0, None, None))
        if best <= 0.5:
            break
        expected[names.index(obj.name), names.index(det.name)] += 1
        kept.remove(det)
        counted.remove(obj)
    for det in kept:
        expected[-1, names.index(det.name)] += 1
    for obj in counted:
        expected[names.index(obj.name), -1] += 1
    np.testing.assert_array_equal(report.confusion.matrix, expected)


def test_rows_are_objects_and_columns_are_detections(report: EvaluationReport) -> None:
    matrix, counts = report.confusion.matrix, report.class_counts
    assert matrix[:-1].sum(axis=1).tolist() == [row.objects for row in counts]
    assert matrix[:, :-1].sum(axis=0).tolist() == [row.tp + row.fp for row in counts]
    assert matrix[-1, -1] == 0


def test_pairs_give_the_matrix_of_scikit_learn(report: EvaluationReport) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    pairs = report.confusion
    assert len(set(pairs.det_index.tolist())) == len(set(pairs.gt_index.tolist())) == len(pairs.gt_index)
    expected = metrics.confusion_matrix(
        report.data.objects.labels[pairs.gt_index], report.data.detections.labels[pairs.det_index],
        labels=range(len(CLASSES)),
    )  # fmt: skip
    np.testing.assert_array_equal(pairs.matrix[:-1, :-1], expected)


def test_a_class_named_background_is_not_the_extra_row() -> None:
    square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
    labels = {"P1": Labels(square, ("background",), np.array([0]), np.array([1]))}
    classes = ["ship", "background"]
    ap = from_task1_result(evaluate_detections({}, labels, classes=classes))
    content = report_to_json(build_report(from_task1({}, labels, classes), ap, ReportSettings("v1.0", (0.5,))))
    assert content["confusion"]["classes"] == ["ship", "background", "(background)"]
    assert content["confusion"]["matrix"] == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert tables_from_json(content)["confusion"].splitlines()[0] == "object,ship,background,(background)"
    assert len(set(matrix_names(["(background)", "background"]))) == 3


def test_of_equal_ious_the_same_class_comes_first() -> None:
    dets = [Box("P1", "plane", SHIP, 0.9), Box("P1", "ship", SHIP, 0.8)]
    matrix = task1_report(dets, [Box("P1", "ship", SHIP)], score=0.1).confusion.matrix
    assert (matrix[0, 0], matrix[-1, 1], matrix.sum()) == (1, 1, 2)
