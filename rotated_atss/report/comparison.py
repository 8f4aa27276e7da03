"""Compare an evaluation report (new) with a baseline (old); a difference is the new value minus the old value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SUMMARY_FIELDS = (
    "images", "objects", "ignored", "detections", "AP50", "AP75", "AP50_95", "precision", "recall", "f1",
    "tp", "fp", "fn",
)  # fmt: skip
CLASS_FIELDS = (*SUMMARY_FIELDS[1:], "best_score_threshold")  # without "images"
IMAGE_FIELDS = ("objects", "ignored", "detections", "tp", "fp", "fn", "precision", "recall", "f1")
ERROR_FIELDS = ("count", "ap50_cost")
GROUP_FIELDS = ("objects", "AP50", "recall")
# If one of these settings differs between the runs, differences of AP and counts are not due to the detector alone.
COMPARED_SETTINGS = ("dataset", "metric", "difficult", "iou_thresholds", "iou_threshold", "score_threshold")

MIN_SHOWN_CHANGE = 0.0005
"""Smallest difference that is not 0.000 when it is shown with three decimals."""

Values = Mapping[str, Any]
"""An object in ``report.json`` that maps fields to values."""
Changes = dict[str, float | None]
"""Differences by field."""


@dataclass(frozen=True)
class Comparison:
    """Differences between a report and a baseline.

    A difference is None if one of the two values is undefined. Classes, groups and images are left out if only one of
    the two reports contains them.

    Attributes:
        summary: Differences of the whole evaluation, ``summary[field]``.
        classes: Differences per class, ``classes[class_name][field]``.
        errors: Differences per kind of error, for all classes together, ``errors[kind][field]``.
        class_errors: Differences per class and kind of error, ``class_errors[class_name][kind][field]``.
        groups: Differences per group of objects, ``groups[property][(from, to)][field]``.
        images: Differences per image, ``images[image_id][field]``.
        different_settings: Settings in :data:`COMPARED_SETTINGS` that differ: name, new value, value of the baseline.
        only_new: Names of the ``classes`` and ids of the ``images`` that only the report has.
        only_baseline: Names of the ``classes`` and ids of the ``images`` that only the baseline has.
    """

    summary: Changes
    classes: dict[str, Changes]
    errors: dict[str, Changes]
    class_errors: dict[str, dict[str, Changes]]
    groups: dict[str, dict[tuple[Any, Any], Changes]]
    images: dict[str, Changes]
    different_settings: list[tuple[str, Any, Any]]
    only_new: dict[str, list[str]]
    only_baseline: dict[str, list[str]]


def compare_reports(report: dict[str, Any], baseline: dict[str, Any]) -> Comparison:
    """Subtract the numbers of a baseline from the numbers of a report.

    Args:
        report: Content of a ``report.json``.
        baseline: Content of the ``report.json`` of another run.

    Example:
        >>> errors = {"kinds": [], "all": {}, "classes": {}}
        >>> other_fields = {"summary": {}, "errors": errors, "groups": {}, "images": [], "settings": {}}
        >>> report = {**other_fields, "classes": [{"name": "ship", "AP50": 0.75}]}
        >>> baseline = {**other_fields, "classes": [{"name": "ship", "AP50": 0.5}]}
        >>> compare_reports(report, baseline).classes["ship"]["AP50"]
        0.25
    """
    new_classes, old_classes = _index_by(report["classes"], "name"), _index_by(baseline["classes"], "name")
    new_images, old_images = _index_by(report["images"], "image"), _index_by(baseline["images"], "image")
    new_errors, old_errors = report["errors"], baseline["errors"]
    return Comparison(
        summary=subtract(report["summary"], baseline["summary"], SUMMARY_FIELDS),
        classes=_subtract_all(new_classes, old_classes, CLASS_FIELDS),
        errors=_subtract_all(new_errors["all"], old_errors["all"], ERROR_FIELDS),
        class_errors={
            name: _subtract_all(kinds, old_errors["classes"][name], ERROR_FIELDS)
            for name, kinds in new_errors["classes"].items()
            if name in old_errors["classes"]
        },
        groups={
            object_property: _subtract_all(
                _index_by_limits(new_groups),
                _index_by_limits(baseline["groups"].get(object_property, ())),
                GROUP_FIELDS,
            )
            for object_property, new_groups in report["groups"].items()
        },
        images=_subtract_all(new_images, old_images, IMAGE_FIELDS),
        different_settings=[
            (name, report["settings"].get(name), baseline["settings"].get(name))
            for name in COMPARED_SETTINGS
            if report["settings"].get(name) != baseline["settings"].get(name)
        ],
        only_new={"classes": _only_in(new_classes, old_classes), "images": _only_in(new_images, old_images)},
        only_baseline={"classes": _only_in(old_classes, new_classes), "images": _only_in(old_images, new_images)},
    )


def subtract(new: Values, old: Values, fields: Iterable[str]) -> Changes:
    """Subtract the old value of each field from the new value.

    The difference is None if one of the two values is None or missing.

    Example:
        >>> subtract({"AP50": 0.75, "AP75": None}, {"AP50": 0.5, "AP75": 0.25}, ["AP50", "AP75"])
        {'AP50': 0.25, 'AP75': None}
    """
    differences: Changes = {}
    for field in fields:
        is_undefined = new.get(field) is None or old.get(field) is None
        differences[field] = None if is_undefined else new[field] - old[field]
    return differences


def largest_changes(changes: Mapping[str, Changes], field: str, limit: int, *, sign: int) -> list[str]:
    """Return the names of the classes, or ids of the images, whose ratio changed most, the largest change first.

    Changes below :data:`MIN_SHOWN_CHANGE` are left out.

    Args:
        changes: Differences by field, for each class name or image id.
        field: Field of the ratio.
        limit: Maximum number of names or ids.
        sign: 1 for increases, -1 for decreases.

    Example:
        >>> largest_changes({"a": {"f1": 0.1}, "b": {"f1": -0.2}, "c": {"f1": 0.3}}, "f1", 1, sign=1)
        ['c']
    """
    # positive if the change has the given sign
    changes_in_direction = {key: sign * (fields[field] or 0) for key, fields in changes.items()}
    shown = [key for key, change in changes_in_direction.items() if change >= MIN_SHOWN_CHANGE]
    return sorted(shown, key=lambda key: -changes_in_direction[key])[:limit]


def _index_by(rows: Iterable[Values], key: str) -> dict[str, Values]:
    return {row[key]: row for row in rows}


def _index_by_limits(groups: Iterable[Values]) -> dict[tuple[Any, Any], Values]:
    return {(group["from"], group["to"]): group for group in groups}


def _subtract_all(new: Mapping[Any, Values], old: Mapping[Any, Values], fields: Iterable[str]) -> dict[Any, Changes]:
    return {key: subtract(values, old[key], fields) for key, values in new.items() if key in old}


def _only_in(names: Iterable[str], other_names: Mapping[str, Any]) -> list[str]:
    return [name for name in names if name not in other_names]
