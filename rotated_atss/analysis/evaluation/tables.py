"""Format an evaluation report as CSV tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from rotated_atss.analysis.evaluation.error_kinds import KINDS
from rotated_atss.analysis.evaluation.report import EvaluationReport
from rotated_atss.dota.matching import find_best_objects
from rotated_atss.io.text_table import format_csv

DetectionState = Literal["tp", "fp", "ignored"]

_CORNERS = [f"{axis}{corner}" for corner in range(1, 5) for axis in "xy"]


def tables_from_json(content: dict[str, Any]) -> dict[str, str]:
    """Format the tables of a report as CSV.

    Values that are null in the JSON, because they are undefined, become empty fields.

    Args:
        content: Content of a ``report.json``.

    Returns:
        CSV text of each table, by table name. The tables are ``classes``, ``images``, ``confusion``, ``errors``,
        ``groups`` and ``curves``.

    Example:
        >>> empty = dict(classes=[], images=[], errors={"kinds": [], "classes": {}, "all": {}}, groups={}, curves={})
        >>> content = {**empty, "confusion": {"classes": ["ship", "background"], "matrix": [[3, 1], [2, 0]]}}
        >>> print(tables_from_json(content)["confusion"].strip())
        object,ship,background
        ship,3,1
        background,2,0
    """
    confusion, errors = content["confusion"], content["errors"]
    errors_by_class = {**errors["classes"], "": errors["all"]}  # rows that count all classes have an empty class name
    error_rows = [
        (class_name, kind, error["count"], error["ap50_cost"])
        for class_name, errors_by_kind in errors_by_class.items()
        for kind, error in errors_by_kind.items()
    ]
    group_columns = ("from", "to", "objects", "AP50", "recall")
    group_rows = [
        (property_name, *(group[column] for column in group_columns))
        for property_name, groups in content["groups"].items()
        for group in groups
    ]
    curve_columns = ("score", "precision", "recall", "f1")
    curve_rows = [
        (class_name, *point)
        for class_name, curve in content["curves"].items()
        for point in zip(*(curve[column] for column in curve_columns))
    ]
    matrix_rows = [(class_name, *counts) for class_name, counts in zip(confusion["classes"], confusion["matrix"])]
    return {
        "classes": _format_dicts(content["classes"]),
        "images": _format_dicts(content["images"]),
        "confusion": format_csv(("object", *confusion["classes"]), matrix_rows),
        "errors": format_csv(("class", "kind", "count", "ap50_cost"), error_rows),
        "groups": format_csv(("property", *group_columns), group_rows),
        "curves": format_csv(("class", *curve_columns), curve_rows),
    }


def detections_table(report: EvaluationReport) -> str:
    """Format all detections of a report as CSV, including those below its score threshold.

    Columns:

    - ``image``, ``class``, ``score``;
    - ``state``: ``tp``, ``fp`` or ``ignored``;
    - ``error``: kind of error if the detection is a false positive, otherwise empty;
    - ``iou``: IoU with the object that :func:`object_ious` selects;
    - ``object``: number of this object in its image, counted from 0 in the order of the labels; empty if no object is
      selected;
    - ``x1`` to ``y4``: corners in pixels.

    Example:
        >>> from rotated_atss.analysis.evaluation.ap_values import from_task1_result
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.report import ReportSettings, build_report
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> from rotated_atss.dota.task1_evaluation import evaluate_detections
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([0]), line_numbers=np.array([1]))
        >>> labels = {"P1": ship}
        >>> detections = {"ship": Detections.from_ids(["P1"], np.array([0.9]), square)}
        >>> ap = from_task1_result(evaluate_detections(detections, labels, classes=["ship"]))
        >>> report = build_report(from_task1(detections, labels, ["ship"]), ap, ReportSettings("v1.0", (0.5,)))
        >>> detections_table(report).splitlines()[1]
        'P1,ship,0.9,tp,,1.0,0,0.0,0.0,10.0,0.0,10.0,10.0,0.0,10.0'
    """
    data, detections = report.data, report.data.detections
    ious, gt_index = object_ious(report)
    states = detection_states(report)
    kinds = [KINDS[kind] if kind >= 0 else "" for kind in report.error_kinds.kind.tolist()]
    # Objects are sorted by image, so the number of an object in its image is its index minus the index of the image's
    # first object.
    first_of_image = np.searchsorted(data.objects.image_index, np.arange(len(data.images)))
    numbers_in_image = gt_index - first_of_image[detections.image_index]
    object_column = [number if gt >= 0 else "" for number, gt in zip(numbers_in_image.tolist(), gt_index.tolist())]
    columns = (
        (data.images[index] for index in detections.image_index.tolist()),
        (data.classes[label] for label in detections.labels.tolist()),
        detections.scores.tolist(),
        states,
        kinds,
        ious.round(4).tolist(),
        object_column,
        *detections.polygons.T.tolist(),
    )
    header = ("image", "class", "score", "state", "error", "iou", "object", *_CORNERS)
    return format_csv(header, zip(*columns))


def detection_states(report: EvaluationReport) -> list[DetectionState]:
    """Return ``tp``, ``fp`` or ``ignored`` for each detection of a report.

    Example::

        detection_states(report)
    """
    names: tuple[DetectionState, ...] = ("tp", "fp", "ignored")
    states = np.where(report.matches.true_positives, 0, np.where(report.matches.false_positives, 1, 2))
    return [names[state] for state in states.tolist()]


def object_ious(report: EvaluationReport) -> tuple[np.ndarray, np.ndarray]:
    """Select the object to show with each detection of a report, and return the IoU and the index of this object.

    This is the matched object or, if the detection is an error, the object to which the error is attributed
    (:mod:`rotated_atss.analysis.evaluation.error_kinds`). For all other detections, it is the object of any class with
    the highest IoU.

    Returns:
        ious: (N,) float64; 0 if no object has an IoU of at least 0.1.
        gt_index: (N,) int64, index of the object; -1 if no object has an IoU of at least 0.1.

    Example::

        ious, gt_index = object_ious(report)
    """
    overlaps = report.overlaps
    attributed = np.where(report.matches.gt_index >= 0, report.matches.gt_index, report.error_kinds.target)
    best = find_best_objects(overlaps.det_index, overlaps.gt_index, overlaps.ious, len(attributed))
    gt_index = np.where(attributed >= 0, attributed, best.gt_index)
    pairs = overlaps.take(overlaps.gt_index == gt_index[overlaps.det_index])
    ious = np.zeros(len(gt_index))
    ious[pairs.det_index] = pairs.ious
    return ious, gt_index


def _format_dicts(rows: Sequence[dict[str, Any]]) -> str:
    return format_csv(tuple(rows[0]), [tuple(row.values()) for row in rows]) if rows else ""
