"""Compute precision, recall and F1 as functions of the score threshold, and the threshold of the highest F1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_POINTS = 200
"""Largest number of points per curve in a report."""


@dataclass(frozen=True)
class ScoreCurve:
    """Counts as functions of the score threshold, with one point per distinct score, in descending order.

    Attributes:
        scores: (K,) float64, the score thresholds.
        num_tp: (K,) int64, true positives with at least this score.
        num_fp: (K,) int64, false positives with at least this score.
        num_objects: Number of objects that the metric does not ignore.
    """

    scores: np.ndarray
    num_tp: np.ndarray
    num_fp: np.ndarray
    num_objects: int

    @property
    def precision(self) -> np.ndarray:
        """Share of true positives among the detections that are not ignored, (K,)."""
        return self.num_tp / (self.num_tp + self.num_fp)

    @property
    def recall(self) -> np.ndarray:
        """Share of objects with a true positive, (K,); NaN if there are no objects."""
        return self.num_tp / self.num_objects if self.num_objects else np.full(len(self.scores), np.nan)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall, (K,); NaN if there are no objects."""
        # F1 is 2 tp / (2 tp + fp + fn), and tp + fn is the number of objects
        denominator = self.num_tp + self.num_fp + self.num_objects
        return 2 * self.num_tp / denominator if self.num_objects else np.full(len(self.scores), np.nan)

    @property
    def best_index(self) -> int | None:
        """Index of the point with the highest F1, the first one on ties; None if there is no true positive."""
        return int(np.argmax(self.f1)) if self.num_objects and self.num_tp.any() else None


def build_curve(
    scores: np.ndarray, true_positives: np.ndarray, false_positives: np.ndarray, num_objects: int
) -> ScoreCurve:
    """Count, for each distinct score, the true and false positives with this score or a higher one.

    Args:
        scores: (N,) scores in any order.
        true_positives: (N,) bool.
        false_positives: (N,) bool; detections that are neither true nor false positives are ignored.
        num_objects: Number of objects that the metric does not ignore.

    Example:
        >>> is_true = np.array([True, False, True])
        >>> curve = build_curve(np.array([0.9, 0.8, 0.8]), is_true, ~is_true, num_objects=4)
        >>> curve.scores.tolist(), curve.recall.tolist()
        ([0.9, 0.8], [0.25, 0.5])
        >>> curve.f1.round(3).tolist(), curve.best_index
        ([0.4, 0.571], 1)
    """
    counted = np.flatnonzero(true_positives | false_positives)
    order = counted[np.argsort(-scores[counted], kind="stable")]
    sorted_scores = scores[order]
    num_tp, num_fp = np.cumsum(true_positives[order]), np.cumsum(false_positives[order])
    # Of several detections with equal scores, only the last one becomes a point: its counts include all.
    differs_from_next = sorted_scores[1:] != sorted_scores[:-1]
    is_last = np.append(differs_from_next, True)[: len(order)]  # no detection follows the last one
    points = np.flatnonzero(is_last)
    return ScoreCurve(sorted_scores[points], num_tp[points], num_fp[points], num_objects)


def best_threshold(curve: ScoreCurve) -> float:
    """Return the score threshold of the highest F1.

    The threshold is the lowest score if no detection is a true positive, and 0 if there are no detections.

    Example:
        >>> none = np.zeros(2, bool)
        >>> best_threshold(build_curve(np.array([0.9, 0.8]), none, ~none, num_objects=1))
        0.8
    """
    if not len(curve.scores):
        return 0.0
    return float(curve.scores[-1 if curve.best_index is None else curve.best_index])


def select_points(curve: ScoreCurve, max_points: int = MAX_POINTS) -> np.ndarray:
    """Select at most ``max_points`` evenly spaced points of a curve, and return their indices.

    The selected points include the first point, the last point and the point of the highest F1.

    Example:
        >>> is_true = np.array([True] * 3 + [False] * 97)
        >>> select_points(build_curve(np.linspace(1, 0, 100), is_true, ~is_true, num_objects=3), max_points=5).tolist()
        [0, 2, 33, 66, 99]
    """
    num_points = len(curve.scores)
    if num_points <= max_points:
        return np.arange(num_points)
    # one place is left for the point of the highest F1
    evenly_spaced = np.linspace(0, num_points - 1, max_points - 1).round().astype(np.int64)
    return evenly_spaced if curve.best_index is None else np.union1d(evenly_spaced, [curve.best_index])
