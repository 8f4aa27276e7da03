"""Count true positives, false positives and missed objects, and compute precision, recall and F1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rotated_atss.analysis.evaluation.data import EvaluationData
from rotated_atss.analysis.evaluation.matching import Matches


@dataclass(frozen=True)
class Counts:
    """Counts at a score threshold; a ratio whose denominator is 0 is None.

    Attributes:
        objects: Number of objects that the metric does not ignore.
        ignored: Number of objects that the metric ignores.
        detections: Number of detections at or above the threshold, that is, true positives, false positives and
            detections that the metric ignores.
        tp: Number of true positives.
        fp: Number of false positives.

    Example:
        >>> counts = Counts(objects=4, ignored=0, detections=3, tp=2, fp=1)
        >>> counts.fn, counts.precision, counts.recall, counts.f1
        (2, 0.6666666666666666, 0.5, 0.5714285714285714)
    """

    objects: int
    ignored: int
    detections: int
    tp: int
    fp: int

    @property
    def fn(self) -> int:
        """Number of objects without a true positive."""
        return self.objects - self.tp

    @property
    def precision(self) -> float | None:
        """Share of true positives among the detections that are not ignored."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        """Share of objects with a true positive."""
        return self.tp / self.objects if self.objects else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; 0 if there is no true positive."""
        # F1 is 2 tp / (2 tp + fn + fp), and tp + fn is the number of objects
        denominator = self.objects + self.tp + self.fp
        return 2 * self.tp / denominator if denominator else None


def count_by_class(data: EvaluationData, matches: Matches, above_threshold: np.ndarray) -> list[Counts]:
    """Count the objects and detections of each class.

    Args:
        data: Detections and objects.
        matches: Matches of the metric.
        above_threshold: (N,) bool, whether a detection is at or above the score threshold.

    Example::

        count_by_class(data, matches, data.detections.scores >= 0.5)[0].precision
    """
    return _count_by_group(
        data.objects.labels, data.detections.labels, len(data.classes), data, matches, above_threshold
    )


def count_by_image(data: EvaluationData, matches: Matches, above_threshold: np.ndarray) -> list[Counts]:
    """Count the objects and detections of each image.

    Args:
        data: Detections and objects.
        matches: Matches of the metric.
        above_threshold: (N,) bool, whether a detection is at or above the score threshold.

    Example::

        count_by_image(data, matches, data.detections.scores >= 0.5)[0].fn
    """
    return _count_by_group(
        data.objects.image_index, data.detections.image_index, len(data.images), data, matches, above_threshold
    )


def _count_by_group(
    object_groups: np.ndarray,
    detection_groups: np.ndarray,
    num_groups: int,
    data: EvaluationData,
    matches: Matches,
    above_threshold: np.ndarray,
) -> list[Counts]:
    """Count objects and detections per group, for example per class or per image.

    Args:
        object_groups: (G,) int64, index of the group of each object.
        detection_groups: (N,) int64, index of the group of each detection.
        num_groups: Number of groups.
        data: Detections and objects.
        matches: Matches of the metric.
        above_threshold: (N,) bool, whether a detection is at or above the score threshold.
    """

    def count(groups: np.ndarray) -> list[int]:
        return np.bincount(groups, minlength=num_groups).tolist()

    columns = zip(
        count(object_groups[~data.objects.ignored]),
        count(object_groups[data.objects.ignored]),
        count(detection_groups[above_threshold]),
        count(detection_groups[above_threshold & matches.true_positives]),
        count(detection_groups[above_threshold & matches.false_positives]),
    )
    return [
        Counts(objects=objects, ignored=ignored, detections=detections, tp=tp, fp=fp)
        for objects, ignored, detections, tp, fp in columns
    ]
