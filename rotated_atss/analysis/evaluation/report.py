"""Compute all statistics of an evaluation report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rotated_atss.analysis.evaluation.ap_values import ApValues
from rotated_atss.analysis.evaluation.calibration import Calibration, build_calibration
from rotated_atss.analysis.evaluation.confusion import Confusion, build_confusion
from rotated_atss.analysis.evaluation.counts import Counts, count_by_class
from rotated_atss.analysis.evaluation.curves import ScoreCurve, best_threshold, build_curve
from rotated_atss.analysis.evaluation.data import EvaluationData
from rotated_atss.analysis.evaluation.error_costs import ErrorTable, build_error_table
from rotated_atss.analysis.evaluation.error_kinds import ErrorKinds, find_error_kinds
from rotated_atss.analysis.evaluation.groups import Group, build_groups
from rotated_atss.analysis.evaluation.image_table import ImageRow, build_image_table
from rotated_atss.analysis.evaluation.matching import Matcher, Matches
from rotated_atss.analysis.evaluation.overlaps import Overlaps, find_overlaps
from rotated_atss.errors import UserError

IOU_THRESHOLD = 0.5
"""IoU threshold of all statistics except AP75 and AP50_95."""
ALL_CLASSES = "all classes"
"""Key, among the class names, of the curve of all detections together."""


@dataclass(frozen=True)
class ReportSettings:
    """Settings and inputs of an evaluation.

    Attributes:
        dataset: Dataset whose rules apply; ``COCO`` for horizontal boxes.
        iou_thresholds: IoU thresholds of AP50_95.
        detections: Path of the folder or file with the detections, as the user gave it.
        labels: Paths of the label folders or of the annotation file, as the user gave them.
        score_threshold: Score threshold of the counts; None selects the threshold with the highest F1 over all classes.
        assignment: Statistics of the label assignment on the training set, as returned by
            :func:`rotated_atss.analysis.positive_counts.summarize`, or None.
    """

    dataset: str
    iou_thresholds: Sequence[float]
    detections: str = ""
    labels: Sequence[str] = ()
    score_threshold: float | None = None
    assignment: dict[str, Any] | None = None


@dataclass(frozen=True)
class EvaluationReport:
    """Statistics of an evaluation at IoU :data:`IOU_THRESHOLD`, and the matches from which they are computed.

    Attributes:
        settings: Settings and inputs of the evaluation.
        ap: AP of the same detections and objects, computed by the evaluation of DOTA or COCO.
        data: Detections and objects.
        overlaps: Overlapping pairs of detections and objects.
        matches: Matches of detections with objects, by the rules of the metric.
        error_kinds: Kinds of errors of the false positives.
        score_threshold: Score threshold of all counts.
        curves: Curves by class name; :data:`ALL_CLASSES` is the key of the curve of all detections together.
        confusion: Confusion matrix.
        errors: Counts and costs of the kinds of errors.
        groups: Groups of objects by property, such as size.
        calibration: Calibration of the scores.
        images: Counts per image.
    """

    settings: ReportSettings
    ap: ApValues
    data: EvaluationData
    overlaps: Overlaps = field(repr=False)
    matches: Matches = field(repr=False)
    error_kinds: ErrorKinds = field(repr=False)
    score_threshold: float
    curves: dict[str, ScoreCurve] = field(repr=False)
    confusion: Confusion
    errors: ErrorTable
    groups: dict[str, list[Group]]
    calibration: Calibration
    images: list[ImageRow] = field(repr=False)

    @property
    def above_threshold(self) -> np.ndarray:
        """Whether each detection is at or above the score threshold, (N,) bool."""
        return self.data.detections.scores >= self.score_threshold

    @property
    def class_counts(self) -> list[Counts]:
        """Counts of each class, in the order of the classes."""
        return count_by_class(self.data, self.matches, self.above_threshold)

    @property
    def counts(self) -> Counts:
        """Counts over all classes."""
        class_counts = self.class_counts
        return Counts(
            objects=sum(counts.objects for counts in class_counts),
            ignored=sum(counts.ignored for counts in class_counts),
            detections=sum(counts.detections for counts in class_counts),
            tp=sum(counts.tp for counts in class_counts),
            fp=sum(counts.fp for counts in class_counts),
        )


def build_report(data: EvaluationData, ap: ApValues, settings: ReportSettings, *, workers: int = 1) -> EvaluationReport:
    """Compute all statistics of a report.

    Args:
        data: Detections and objects.
        ap: AP of the same detections and objects.
        settings: Settings and inputs of the evaluation.
        workers: Number of threads. The result does not depend on it.

    Raises:
        UserError: The score threshold is not finite, or a class is named :data:`ALL_CLASSES`.

    Example:
        >>> from rotated_atss.analysis.evaluation.ap_values import from_task1_result
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> from rotated_atss.dota.task1_evaluation import evaluate_detections
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([0]), line_numbers=np.array([1]))
        >>> labels = {"P1": ship}
        >>> ships = Detections.from_ids(["P1", "P1"], np.array([0.9, 0.2]), np.vstack([square, square + 50]))
        >>> detections = {"ship": ships}
        >>> result = evaluate_detections(detections, labels, classes=["ship"])
        >>> settings = ReportSettings("v1.0", result.iou_thresholds)
        >>> report = build_report(from_task1(detections, labels, ["ship"]), from_task1_result(result), settings)
        >>> report.score_threshold, report.counts
        (0.9, Counts(objects=1, ignored=0, detections=1, tp=1, fp=0))
    """
    if ALL_CLASSES in data.classes:
        raise UserError(
            f"the class name {ALL_CLASSES!r} is reserved for the curve of all classes", hint="rename the class"
        )
    overlaps = find_overlaps(data, workers)
    matcher = Matcher(data, overlaps, IOU_THRESHOLD)
    matches = matcher.match(IOU_THRESHOLD)
    curves = _build_curves(data, matches)
    score_threshold = settings.score_threshold
    if score_threshold is None:
        score_threshold = best_threshold(curves[ALL_CLASSES])
    if not np.isfinite(score_threshold):
        raise UserError(f"the score threshold must be finite, got {score_threshold}")
    error_kinds = find_error_kinds(data, overlaps, matches)
    return EvaluationReport(
        settings=settings,
        ap=ap,
        data=data,
        overlaps=overlaps,
        matches=matches,
        error_kinds=error_kinds,
        score_threshold=score_threshold,
        curves=curves,
        confusion=build_confusion(data, overlaps, matches, score_threshold),
        errors=build_error_table(data, matches, error_kinds, score_threshold),
        groups=build_groups(data, matcher, matches, score_threshold),
        calibration=build_calibration(data.detections.scores, matches.true_positives, matches.false_positives),
        images=build_image_table(data, matches, score_threshold),
    )


def _build_curves(data: EvaluationData, matches: Matches) -> dict[str, ScoreCurve]:
    """Build the curve of each class and the curve of all classes together, by name."""

    def curve_of_rows(rows: slice, num_objects: int) -> ScoreCurve:
        true_positives, false_positives = matches.true_positives[rows], matches.false_positives[rows]
        return build_curve(data.detections.scores[rows], true_positives, false_positives, num_objects)

    objects_per_class = data.num_objects.tolist()
    curves = {
        name: curve_of_rows(rows, num_objects)
        for name, rows, num_objects in zip(data.classes, data.class_slices, objects_per_class)
    }
    return {**curves, ALL_CLASSES: curve_of_rows(slice(None), sum(objects_per_class))}
