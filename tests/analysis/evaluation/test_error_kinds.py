"""Kinds of errors equal a slow reference, and their costs are AP with the errors fixed by hand."""

import numpy as np
import pytest

from rotated_atss.analysis.evaluation.error_kinds import EXPLAINING_KINDS, KINDS, find_missed
from rotated_atss.analysis.evaluation.report import EvaluationReport
from tests.analysis.evaluation.samples import (
    CLASSES,
    RULES,
    coco_report,
    corners,
    random_boxes,
    rows_of,
    task1_report,
)
from tests.references.slow_evaluation import Box, slow_error_kinds, slow_match

SHIP = corners(50, 50, 40, 10, 30)


def kinds_of(report: EvaluationReport) -> list[str]:
    return [KINDS[kind] if kind >= 0 else "" for kind in report.error_kinds.kind.tolist()]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rule", ["dota", "coco", "horizontal"])
def test_kinds_equal_the_slow_reference(rule: str, seed: int) -> None:
    dets, objects = random_boxes(seed, oriented=rule != "horizontal", crowds=rule == "horizontal")
    report = coco_report(dets, objects) if rule == "horizontal" else task1_report(dets, objects, **RULES[rule])
    states, _ = slow_match(dets, objects, 0.5, "dota" if rule == "dota" else "coco")
    expected, targets = slow_error_kinds(dets, objects, states, 0.5)
    if rule == "horizontal":
        assert "angle" not in kinds_of(report)
    rows, gt_rows = rows_of(report.data, dets, objects)
    assert np.array(kinds_of(report))[rows].tolist() == expected
    assert report.error_kinds.target[rows].tolist() == [-1 if index < 0 else gt_rows[index] for index in targets]


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("plane", (50, 50, 40, 10, 30), "classification"),
        ("ship", (50, 50, 40, 10, 75), "angle"),
        ("ship", (50, 50, 40, 10, 210), ""),  # turned by half a turn: the same rectangle
        ("ship", (50, 50, 10, 40, 120), ""),  # sides exchanged
        ("ship", (65, 58, 40, 10, 30), "localization"),
        ("ship", (65, 58, 40, 10, 70), "localization"),
        ("ship", (300, 300, 40, 10, 30), "background"),
        ("plane", (300, 300, 40, 10, 30), "background"),
        ("plane", (50, 50, 40, 10, 75), "background"),  # of both class and location
    ],
)
def test_kind_of_one_detection(name: str, shape: tuple, expected: str) -> None:
    report = task1_report([Box("P1", name, corners(*shape), 0.5)], [Box("P1", "ship", SHIP)])
    assert kinds_of(report) == [expected]
    missed = report.errors.total_counts[KINDS.index("missed")]
    assert missed == (expected == "background")


def test_the_second_detection_of_an_object_is_a_duplicate() -> None:
    dets = [Box("P1", "ship", SHIP, score) for score in (0.9, 0.8)]
    report = task1_report(dets, [Box("P1", "ship", SHIP)], score=0.1)
    assert kinds_of(report) == ["", "duplicate"]


def test_ignored_objects_explain_no_error() -> None:
    det = Box("P1", "plane", SHIP, 0.9)
    assert kinds_of(task1_report([det], [Box("P1", "ship", SHIP, ignored=True)])) == ["background"]


def test_every_false_positive_has_one_kind_and_every_miss_is_explained_or_missed(report: EvaluationReport) -> None:
    assert ((report.error_kinds.kind >= 0) == report.matches.false_positives).all()
    assert "missed" not in kinds_of(report)
    above = report.above_threshold
    missed = find_missed(report.data, report.matches, report.error_kinds, report.score_threshold)
    explained = np.zeros(len(missed), bool)
    explained[report.error_kinds.target[np.isin(report.error_kinds.kind, EXPLAINING_KINDS) & above]] = True
    found = np.zeros(len(missed), bool)
    found[report.matches.gt_index[report.matches.true_positives & above]] = True
    np.testing.assert_array_equal(missed, ~report.data.objects.ignored & ~explained & ~found)
    assert missed.sum() == report.errors.total_counts[-1]


def test_costs_of_fixed_errors() -> None:
    """Four ships: one found, one with a wrong class, one turned, one missed; one detection too many of each kind."""
    places = [50, 250, 450, 650]
    objects = [Box("P1", "ship", corners(x, 50, 40, 10, 30)) for x in places] + [Box("P1", "plane", SHIP)]
    dets = [
        Box("P1", "ship", corners(300, 300, 40, 10, 0), 0.95),  # background
        Box("P1", "ship", corners(50, 50, 40, 10, 30), 0.9),  # found
        Box("P1", "ship", corners(50, 50, 40, 10, 31), 0.85),  # duplicate
        Box("P1", "bridge", corners(250, 50, 40, 10, 30), 0.8),  # classification
        Box("P1", "ship", corners(450, 50, 40, 10, 75), 0.7),  # angle
    ]
    report = task1_report(dets, objects, score=0.1, dataset="v1.5", metric="area")
    costs = dict(zip(KINDS, report.errors.costs[CLASSES.index("ship")]))
    assert report.ap.per_class["ship"]["AP50"] == pytest.approx(1 / 4 * 1 / 2)
    assert costs == pytest.approx(
        {
            "classification": 1 / 4 * 1 / 2 + 1 / 4 * 2 / 4 - 1 / 8,  # ranks: -, +, -, +, -
            "localization": 0,
            "angle": 1 / 4 * 1 / 2 + 1 / 4 * 2 / 4 - 1 / 8,  # ranks: -, +, -, +
            "duplicate": 0,
            "background": 1 / 4 - 1 / 8,
            "missed": 1 / 3 * 1 / 2 - 1 / 8,  # three objects remain
        }
    )
    planes = report.errors.costs[CLASSES.index("plane")]
    assert planes.tolist() == [0, 0, 0, 0, 0, 1]  # all of its objects are missed
    assert np.isnan(report.errors.costs[CLASSES.index("bridge")]).all()
    np.testing.assert_allclose(report.errors.mean_costs, np.mean([list(costs.values()), planes], axis=0))


def test_a_fixed_detection_replaces_one_with_a_lower_score_and_gives_way_to_a_higher() -> None:
    """The turned detections of two found objects: each object keeps its detection with the highest score."""
    objects = [Box("P1", "ship", corners(x, 50, 40, 10, 30)) for x in (50, 250)]
    dets = [
        Box("P1", "ship", corners(50, 50, 40, 10, 75), 0.9),
        Box("P1", "ship", corners(50, 50, 40, 10, 30), 0.8),
        Box("P1", "ship", corners(250, 50, 40, 10, 30), 0.7),
        Box("P1", "ship", corners(250, 50, 40, 10, 75), 0.6),
    ]
    report = task1_report(dets, objects, dataset="v1.5", metric="area")
    assert report.ap.mean["AP50"] == pytest.approx(2 / 3)
    assert dict(zip(KINDS, report.errors.mean_costs))["angle"] == pytest.approx(1 / 3)


def test_no_fix_lowers_the_average_precision(report: EvaluationReport) -> None:
    costs = report.errors.costs[~np.isnan(report.errors.costs)]
    assert (costs >= -1e-12).all()
    assert (costs > 0.01).any()
