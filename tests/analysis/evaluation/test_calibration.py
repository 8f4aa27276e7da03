"""Calibration equals that of scikit-learn."""

import math

import numpy as np
import pytest

from rotated_atss.analysis.evaluation.calibration import build_calibration
from rotated_atss.analysis.evaluation.report import EvaluationReport


@pytest.mark.parametrize("seed", range(3))
def test_bins_are_those_of_scikit_learn(seed: int) -> None:
    calibration_curve = pytest.importorskip("sklearn.calibration").calibration_curve
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.random(200) ** 2, np.linspace(0, 1, 11)])  # with all edges
    hits = rng.random(len(scores)) < scores
    calibration = build_calibration(scores, hits, ~hits)
    precision, mean_score = calibration_curve(hits, scores, n_bins=10)
    filled = calibration.counts > 0
    np.testing.assert_allclose(calibration.precisions[filled], precision)
    np.testing.assert_allclose(calibration.mean_scores[filled], mean_score)


def test_expected_error_is_the_mean_gap_per_detection() -> None:
    hits = np.array([True, False, False, True])
    calibration = build_calibration(np.array([0.95, 0.96, 0.15, 0.15]), hits, ~hits)
    assert calibration.expected_error == pytest.approx((2 * abs(0.5 - 0.955) + 2 * abs(0.5 - 0.15)) / 4)


def test_ignored_detections_and_scores_outside_the_bins() -> None:
    hits = np.array([True, False, False])
    calibration = build_calibration(np.array([1.5, -0.5, 0.5]), hits, np.array([False, True, False]))
    assert calibration.counts.tolist() == [1, *[0] * 8, 1]
    assert calibration.mean_scores[[0, -1]].tolist() == [-0.5, 1.5]
    assert math.isnan(build_calibration(np.empty(0), np.zeros(0, bool), np.zeros(0, bool)).expected_error)


def test_all_detections_are_in_a_bin(report: EvaluationReport) -> None:
    counted = report.matches.true_positives | report.matches.false_positives
    assert report.calibration.counts.sum() == counted.sum()
