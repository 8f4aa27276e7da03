"""Convert an evaluation report to the content of ``report.json``, which docs/report.md describes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rotated_atss import __version__
from rotated_atss.analysis.evaluation.confusion import matrix_names
from rotated_atss.analysis.evaluation.counts import Counts
from rotated_atss.analysis.evaluation.curves import ScoreCurve, select_points
from rotated_atss.analysis.evaluation.error_kinds import KINDS
from rotated_atss.analysis.evaluation.groups import UNITS, Group
from rotated_atss.analysis.evaluation.image_table import best_and_worst
from rotated_atss.analysis.evaluation.report import IOU_THRESHOLD, EvaluationReport
from rotated_atss.io.json_values import replace_nonfinite

FORMAT = "rotated-atss-report"
FORMAT_VERSION = 1
# Values of the JSON field score_threshold_rule: the report chose the score threshold by F1, or the user gave it.
BEST_F1, GIVEN = "best F1 over all classes", "given"


def report_to_json(report: EvaluationReport) -> dict[str, Any]:
    """Convert a report to plain values for ``json.dump``.

    Numbers that are undefined, such as the precision without detections, become None.

    Example:
        >>> from rotated_atss.analysis.evaluation.ap_values import from_task1_result
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.report import ReportSettings, build_report
        >>> from rotated_atss.dota.labels import Labels
        >>> from rotated_atss.dota.task1_evaluation import evaluate_detections
        >>> import numpy as np
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([0]), line_numbers=np.array([1]))
        >>> labels = {"P1": ship}
        >>> ap = from_task1_result(evaluate_detections({}, labels, classes=["ship"]))
        >>> report = build_report(from_task1({}, labels, ["ship"]), ap, ReportSettings("v1.0", (0.5,)))
        >>> summary = report_to_json(report)["summary"]
        >>> summary["recall"], summary["precision"]
        (0.0, None)
    """
    best, worst = best_and_worst(report.images)
    return replace_nonfinite(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "created_by": f"rotated-atss {__version__}",
            "kind": report.data.kind,
            "settings": _settings_to_json(report),
            "inputs": {"detections": report.settings.detections, "labels": list(report.settings.labels)},
            "summary": {
                "images": len(report.data.images),
                **_counts_to_json(report.counts),
                **report.ap.mean,
            },
            "classes": _classes_to_json(report),
            "curves": {name: _curve_to_json(curve) for name, curve in report.curves.items()},
            "confusion": {
                "classes": matrix_names(report.data.classes),
                "matrix": report.confusion.matrix.tolist(),
                "score_threshold": report.score_threshold,
                "iou_threshold": IOU_THRESHOLD,
            },
            "errors": _errors_to_json(report),
            "groups": {name: [_group_to_json(group) for group in groups] for name, groups in report.groups.items()},
            "group_units": UNITS,
            "calibration": _calibration_to_json(report),
            "images": [{"image": row.image, **_counts_to_json(row.counts)} for row in report.images],
            "best_images": best,
            "worst_images": worst,
            "assignment": report.settings.assignment,
        }
    )


def _settings_to_json(report: EvaluationReport) -> dict[str, Any]:
    return {
        "dataset": report.settings.dataset,
        "metric": report.data.rule.metric,
        "difficult": report.data.rule.difficult,
        "iou_thresholds": list(report.settings.iou_thresholds),
        "iou_threshold": IOU_THRESHOLD,
        "score_threshold": report.score_threshold,
        "score_threshold_rule": BEST_F1 if report.settings.score_threshold is None else GIVEN,
    }


def _counts_to_json(counts: Counts) -> dict[str, Any]:
    names = ("objects", "ignored", "detections", "tp", "fp", "fn", "precision", "recall", "f1")
    return {name: getattr(counts, name) for name in names}


def _classes_to_json(report: EvaluationReport) -> list[dict[str, Any]]:
    """Return one row per class.

    The counts apply to the score threshold of the report. Precision, recall and F1 instead apply to the score threshold
    at which this class has its highest F1: ``_best_f1_to_json``, unpacked last, overwrites the values from the counts.
    """
    return [
        {"name": name, **report.ap.per_class[name], **_counts_to_json(counts), **_best_f1_to_json(report.curves[name])}
        for name, counts in zip(report.data.classes, report.class_counts)
    ]


def _best_f1_to_json(curve: ScoreCurve) -> dict[str, float | None]:
    """Return the score threshold with the highest F1, and the precision, recall and F1 there, None where undefined."""
    if curve.best_index is None:
        # There is no true positive, so no threshold has the highest F1, and precision depends on the threshold. Recall
        # and F1 are 0 at every threshold, or undefined if there are no objects.
        recall_and_f1 = 0.0 if curve.num_objects else None
        return {"precision": None, "recall": recall_and_f1, "f1": recall_and_f1, "best_score_threshold": None}
    return {
        "precision": float(curve.precision[curve.best_index]),
        "recall": float(curve.recall[curve.best_index]),
        "f1": float(curve.f1[curve.best_index]),
        "best_score_threshold": float(curve.scores[curve.best_index]),
    }


def _curve_to_json(curve: ScoreCurve) -> dict[str, list[float]]:
    """Return selected points of a curve, or none if the class has no objects, because recall is then undefined."""
    points = select_points(curve) if curve.num_objects else np.empty(0, np.int64)
    columns = {"precision": curve.precision, "recall": curve.recall, "score": curve.scores, "f1": curve.f1}
    return {name: values[points].tolist() for name, values in columns.items()}


def _errors_to_json(report: EvaluationReport) -> dict[str, Any]:
    def by_kind(counts: list[int], costs: list[float]) -> dict[str, Any]:
        return {kind: {"count": count, "ap50_cost": cost} for kind, count, cost in zip(KINDS, counts, costs)}

    table = report.errors
    per_class = zip(report.data.classes, table.counts.tolist(), table.costs.tolist())
    return {
        "kinds": list(KINDS),
        # AP50 of all classes is a mean over classes, and so is its loss by errors
        "all": by_kind(table.total_counts.tolist(), table.mean_costs.tolist()),
        "classes": {name: by_kind(counts, costs) for name, counts, costs in per_class},
    }


def _group_to_json(group: Group) -> dict[str, Any]:
    high = None if math.isinf(group.high) else group.high
    return {"from": group.low, "to": high, "objects": group.objects, "AP50": group.ap, "recall": group.recall}


def _calibration_to_json(report: EvaluationReport) -> dict[str, Any]:
    calibration = report.calibration
    edges = calibration.edges.tolist()
    columns = (calibration.counts.tolist(), calibration.mean_scores.tolist(), calibration.precisions.tolist())
    bins = [
        {"from": low, "to": high, "detections": count, "mean_score": score, "precision": precision}
        for low, high, count, score, precision in zip(edges, edges[1:], *columns)
    ]
    return {"bins": bins, "expected_calibration_error": calibration.expected_error}
