"""Precision, recall and F1 over the score threshold, and the threshold of the highest F1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_POINTS = 200


@dataclass(frozen=True)
class Curve:
    """Counts over the score threshold: one point per distinct score, in descending order.

    Attributes:
        scores: (K,) float64; a detection counts if its score is at least this value.
        num_tp: (K,) int64, true positives.
        num_fp: (K,) int64, false positives.
        num_objects: Number of objects that count.
    """

    scores: np.ndarray
    num_tp: np.ndarray
    num_fp: np.ndarray
    num_objects: int

    @property
    def precision(self) -> np.ndarray:
        """True positives per detection, (K,)."""
        return self.num_tp / (self.num_tp + self.num_fp)

    @property
    def recall(self) -> np.ndarray:
        """True positives per object, (K,); NaN without objects."""
        return self.num_tp / self.num_objects if self.num_objects else np.full(len(self.scores), np.nan)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall, (K,); NaN without objects."""
        total = self.num_tp + self.num_fp + self.num_objects
        return 2 * self.num_tp / total if self.num_objects else np.full(len(self.scores), np.nan)

    @property
    def best(self) -> int | None:
        """Index of the point of the highest F1, the one with the highest score on ties; None without any match."""
        return int(np.argmax(self.f1)) if self.num_objects and self.num_tp.any() else None


def build_curve(scores: np.ndarray, true_positives: np.ndarray, false_positives: np.ndarray, num_objects: int) -> Curve:
    """Count true and false positives at each distinct score.

    Args:
        scores: (N,) scores in any order.
        true_positives: (N,) bool.
        false_positives: (N,) bool; detections that are neither are ignored.
        num_objects: Number of objects that count.

    Example:
        >>> hits = np.array([True, False, True])
        >>> curve = build_curve(np.array([0.9, 0.8, 0.8]), hits, ~hits, num_objects=4)
        >>> curve.scores.tolist(), curve.recall.tolist(), curve.f1.round(3).tolist(), curve.best
        ([0.9, 0.8], [0.25, 0.5], [0.4, 0.571], 1)
    """
    counted = np.flatnonzero(true_positives | false_positives)
    order = counted[np.argsort(-scores[counted], kind="stable")]
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(order) else order  # of each distinct score
    num_tp, num_fp = np.cumsum(true_positives[order]), np.cumsum(false_positives[order])
    return Curve(ranked[last], num_tp[last], num_fp[last], num_objects)


def best_threshold(curve: Curve) -> float:
    """Return the score threshold of the highest F1; the lowest score if nothing is matched, 0 without detections.

    Example:
        >>> none = np.zeros(2, bool)
        >>> best_threshold(build_curve(np.array([0.9, 0.8]), none, ~none, num_objects=1))
        0.8
    """
    if not len(curve.scores):
        return 0.0
    return float(curve.scores[-1 if curve.best is None else curve.best])


def thin(curve: Curve, max_points: int = MAX_POINTS) -> np.ndarray:
    """Return the indices of at most ``max_points`` points: evenly spaced ones, with the first, the last and the best.

    Example:
        >>> hits = np.array([True] * 3 + [False] * 97)
        >>> thin(build_curve(np.linspace(1, 0, 100), hits, ~hits, num_objects=3), max_points=5).tolist()
        [0, 2, 33, 66, 99]
    """
    size = len(curve.scores)
    if size <= max_points:
        return np.arange(size)
    kept = np.linspace(0, size - 1, max_points - 1).round().astype(np.int64)
    return np.union1d(kept, [0 if curve.best is None else curve.best])
