"""Curves equal those of scikit-learn."""

import numpy as np
import pytest

from rotated_atss.analysis.evaluation.curves import best_threshold, build_curve, select_points
from rotated_atss.analysis.evaluation.report import ALL_CLASSES, EvaluationReport


def random_hits(seed: int, size: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores with many ties, true positives and false positives; one in ten is ignored."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 60, size) / 60
    state = rng.choice(3, size, p=[0.5, 0.4, 0.1])
    return scores, state == 0, state == 1


@pytest.mark.parametrize("seed", range(3))
def test_precision_and_recall_are_those_of_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores, hits, misses = random_hits(seed)
    counted = hits | misses
    curve = build_curve(scores, hits, misses, num_objects=int(hits.sum()))
    precision, recall, thresholds = metrics.precision_recall_curve(hits[counted], scores[counted])
    np.testing.assert_allclose(curve.scores, thresholds[::-1])
    np.testing.assert_allclose(curve.precision, precision[:-1][::-1])
    np.testing.assert_allclose(curve.recall, recall[:-1][::-1])
    at_best = metrics.f1_score(hits[counted], scores[counted] >= best_threshold(curve))
    assert curve.f1[curve.best_index] == pytest.approx(at_best)
    everywhere = [metrics.f1_score(hits[counted], scores[counted] >= score) for score in thresholds]
    assert at_best == pytest.approx(max(everywhere))


def test_recall_is_of_all_objects() -> None:
    hits = np.array([True, True])
    assert build_curve(np.array([0.5, 0.4]), hits, ~hits, num_objects=8).recall.tolist() == [1 / 8, 2 / 8]


def test_without_objects_detections_or_matches() -> None:
    none, one = np.zeros(0, bool), np.ones(1, bool)
    empty = build_curve(np.empty(0), none, none, num_objects=3)
    assert (len(empty.scores), empty.best_index, best_threshold(empty), select_points(empty).tolist()) == (
        0,
        None,
        0.0,
        [],
    )
    no_objects = build_curve(np.array([0.5]), ~one, one, num_objects=0)
    assert no_objects.best_index is None
    assert np.isnan(no_objects.recall).all()
    assert np.isnan(no_objects.f1).all()
    no_match = build_curve(np.array([0.5, 0.2]), np.zeros(2, bool), np.ones(2, bool), num_objects=3)
    assert (no_match.best_index, best_threshold(no_match), no_match.f1.tolist()) == (None, 0.2, [0, 0])


def test_selected_points_include_first_last_and_best() -> None:
    rng = np.random.default_rng(0)
    hits = rng.random(5000) < np.linspace(1, 0, 5000)
    curve = build_curve(np.linspace(1, 0, 5000), hits, ~hits, num_objects=4000)
    points = select_points(curve)
    assert len(points) <= 200
    assert {0, 4999, curve.best_index} <= set(points.tolist())
    assert (np.diff(points) > 0).all()


def test_curve_of_all_classes_is_their_sum(report: EvaluationReport) -> None:
    curves = dict(report.curves)
    total = curves.pop(ALL_CLASSES)
    assert total.num_objects == sum(curve.num_objects for curve in curves.values())
    for point in range(0, len(total.scores), 3):
        above = [(curve.scores >= total.scores[point]).sum() - 1 for curve in curves.values()]
        counts = [curve.num_tp[last] for curve, last in zip(curves.values(), above) if last >= 0]
        assert total.num_tp[point] == sum(counts)
