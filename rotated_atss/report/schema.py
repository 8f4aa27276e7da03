"""Check the structure of a ``report.json``, so that no page is built from a damaged or unrelated file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from rotated_atss.analysis.evaluation.report_json import FORMAT, FORMAT_VERSION
from rotated_atss.coco.json_file import is_finite_number
from rotated_atss.errors import UserError, quote

# Names of the types of values. Error messages contain them. A count is a non-negative integer.
NUMBER, COUNT, TEXT = "a number", "a count", "text"

_APS = {"AP50?": NUMBER, "AP75?": NUMBER, "AP50_95?": NUMBER}
_RATES = {"precision?": NUMBER, "recall?": NUMBER, "f1?": NUMBER}
_MATCHES = {"tp": COUNT, "fp": COUNT, "fn": COUNT}
_COUNTS = {"objects": COUNT, "ignored": COUNT, "detections": COUNT}
_RANGE = {"from?": NUMBER, "to?": NUMBER}
_ERROR = {"count": COUNT, "ap50_cost?": NUMBER}

# The field "without" is the number of objects that have no positives.
_ASSIGNED_GROUPS = [{**_RANGE, "objects": COUNT, "positives_per_object?": NUMBER, "without": COUNT}]
_ASSIGNER = {
    "positives": COUNT, "positives_per_object?": NUMBER, "deviation?": NUMBER, "without": COUNT,
    "by_size??": _ASSIGNED_GROUPS, "by_aspect??": _ASSIGNED_GROUPS, "by_angle??": _ASSIGNED_GROUPS,
}  # fmt: skip

# Structure of a report.json. A report may contain additional keys.
# - "key?": the value can be null.
# - "key??": the value can be null, or the key can be missing.
# - "*": any key.
# - [item]: a list of any length, in which all items have the structure of `item`.
STRUCTURE: dict[str, Any] = {
    "kind": TEXT,
    "created_by": TEXT,
    "settings": {
        "iou_threshold": NUMBER, "score_threshold?": NUMBER,
        "dataset??": TEXT, "metric??": TEXT, "difficult??": TEXT, "score_threshold_rule??": TEXT,
    },
    "inputs": {},  # any object
    "summary": {"images": COUNT, **_COUNTS, **_APS, **_RATES, **_MATCHES},
    "classes": [{"name": TEXT, **_COUNTS, **_APS, **_RATES, "best_score_threshold?": NUMBER, **_MATCHES}],
    "curves": {"*": {"precision": [NUMBER], "recall": [NUMBER], "score": [NUMBER], "f1": [NUMBER]}},
    "confusion": {"classes": [TEXT], "matrix": [[COUNT]], "score_threshold?": NUMBER, "iou_threshold": NUMBER},
    "errors": {"kinds": [TEXT], "all": {"*": _ERROR}, "classes": {"*": {"*": _ERROR}}},
    "group_units??": {"*": TEXT},
    "groups": {"*": [{**_RANGE, "objects": COUNT, "AP50?": NUMBER, "recall?": NUMBER}]},
    "calibration": {
        "bins": [{**_RANGE, "detections": COUNT, "mean_score?": NUMBER, "precision?": NUMBER}],
        "expected_calibration_error?": NUMBER,
    },
    "images": [{"image": TEXT, **_COUNTS, **_MATCHES, **_RATES}],
    "best_images": [TEXT],
    "worst_images": [TEXT],
    "assignment??": {"objects": COUNT, "assigners": {"*": _ASSIGNER}},
}  # fmt: skip


def check_report(report: Any, where: object = "report.json") -> None:
    """Check that a value has the structure of a report.

    Args:
        report: Content of a ``report.json``.
        where: File to name in errors.

    Raises:
        UserError: The value is not a report, has another format version, or a field is missing or has a wrong type.

    Example:
        >>> check_report({"format": "coco"})
        Traceback (most recent call last):
        rotated_atss.errors.UserError: report.json: not a report of rotated-atss, got format 'coco' (give a report.json)
    """
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        got = f"format {quote(report.get('format'))}" if isinstance(report, dict) else type(report).__name__
        raise UserError(f"not a report of rotated-atss, got {got}", where=where, hint="give a report.json")
    version = report.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):  # in Python, True == 1
        hint = f"this package reads version {FORMAT_VERSION}: run the evaluation again"
        raise UserError(f"unsupported format_version, got {quote(version)}", where=where, hint=hint)
    # _find_inconsistencies needs a valid structure. It is a generator, so it starts only after _find_problems has found
    # nothing.
    problem = next(chain(_find_problems(report, STRUCTURE, ""), _find_inconsistencies(report)), "")
    if problem:
        raise UserError(problem, where=where, hint="run the evaluation again")


def _find_problems(value: Any, expected: Any, path: str) -> Iterator[str]:
    """Yield a description of each difference between a value and its expected structure.

    Args:
        value: The value.
        expected: Its structure, a part of :data:`STRUCTURE`.
        path: Path of the value in the report, such as ``classes[0].name``.
    """
    if isinstance(expected, str):
        if not _has_type(value, expected):
            yield f"{path} is not {expected}, got {quote(value)}"
    elif isinstance(expected, list):
        if not isinstance(value, list):
            yield f"{path} is not a list, got {quote(value)}"
            return
        for index, item in enumerate(value):
            yield from _find_problems(item, expected[0], f"{path}[{index}]")
    elif not isinstance(value, dict):
        yield f"{path} is not an object, got {quote(value)}"
    else:
        yield from _find_problems_of_keys(value, expected, path)


def _find_problems_of_keys(value: dict[str, Any], expected: dict[str, Any], path: str) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for key, expected_item in expected.items():
        name = key.rstrip("?")
        if key == "*":
            for any_key, item in value.items():
                yield from _find_problems(item, expected_item, f"{prefix}{any_key}")
        elif name not in value:
            if not key.endswith("??"):
                yield f"{prefix}{name} is missing"
        elif not (key.endswith("?") and value[name] is None):
            yield from _find_problems(value[name], expected_item, f"{prefix}{name}")


def _has_type(value: Any, expected: str) -> bool:
    """Return whether a value has the expected type: ``NUMBER``, ``COUNT`` or ``TEXT``.

    A float without a fraction, such as 3.0, is a count. A boolean has none of these types.
    """
    if expected == TEXT:
        return isinstance(value, str)
    is_number = is_finite_number(value) and not isinstance(value, bool)
    return is_number and (expected == NUMBER or (value >= 0 and value == int(value)))


def _find_inconsistencies(report: dict[str, Any]) -> Iterator[str]:
    """Yield a description of each contradiction between fields of a report with a valid structure."""
    size = len(report["confusion"]["classes"])
    if [len(row) for row in report["confusion"]["matrix"]] != [size] * size:
        yield f"confusion.matrix is not {size} x {size}"
    for name, curve in report["curves"].items():
        # The additional keys of a curve can have values that are not lists.
        lists = [values for values in curve.values() if isinstance(values, list)]
        if len({len(values) for values in lists}) > 1:
            yield f"curves.{name} has lists of different lengths"
    for kind in report["errors"]["kinds"]:
        if kind not in report["errors"]["all"]:
            yield f"errors.all.{kind} is missing"
