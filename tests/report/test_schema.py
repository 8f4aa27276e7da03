"""A report with a missing, mistyped or contradictory field is an error of one line that names the field."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from rotated_atss.errors import UserError
from rotated_atss.report.schema import check_report
from tests.report.example import example_report

REPORT = example_report(images=3)
for _curve in REPORT["curves"].values():
    _curve.update({field: values[:2] for field, values in _curve.items()})  # copied often
OPTIONAL = {"group_units", "dataset", "metric", "difficult", "score_threshold_rule", "iou_thresholds", "assignment"}
FREE = ("inputs", "group_units")  # any content


def test_an_example_survives_json() -> None:
    assert check_report(json.loads(json.dumps(REPORT))) is None


def fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every field, of the first item of every list."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, inner in items:
        if (*path, key)[0] not in FREE:
            yield (*path, key)
            yield from fields(inner, (*path, key))


def error_of(report: dict[str, Any]) -> str:
    """Return the message of the check; empty if it accepts the report."""
    try:
        check_report(report)
    except UserError as error:
        return str(error)
    return ""


def container(report: dict[str, Any], path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        report = report[key]
    return report


REQUIRED = [
    path for path in fields(REPORT)
    if isinstance(path[-1], str) and path[-1] not in OPTIONAL and path[:-1] not in (("curves",), ("groups",))
    and path[:-1] != ("errors", "classes") and not (path[:2] == ("errors", "classes") and len(path) == 4)
]  # fmt: skip


def test_missing_fields() -> None:
    assert len(REQUIRED) > 100
    for path in REQUIRED:
        report = copy.deepcopy(REPORT)
        del container(report, path)[path[-1]]
        error = error_of(report)
        assert error.startswith("report.json: "), path
        assert path[0] == "format" or path[-1] in error


def test_mistyped_fields() -> None:
    for path in fields(REPORT):
        if not OPTIONAL & set(path):
            report = copy.deepcopy(REPORT)
            container(report, path)[path[-1]] = True
            error = error_of(report)
            assert error.startswith("report.json: "), path
            assert "\n" not in error


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("summary", "AP50"), float("nan"), "summary.AP50 is not a number, got 'nan'"),
        (("summary", "tp"), -1, "summary.tp is not a count, got '-1'"),
        (("summary", "tp"), 1.5, "summary.tp is not a count, got '1.5'"),
        (("classes", 0, "name"), None, "classes[0].name is not text, got 'None'"),
        (("format_version",), 2, "unsupported format_version, got '2'"),
        (("confusion", "matrix", 0), [1], "confusion.matrix is not 16 x 16"),
        (("curves", "plane", "f1"), [0.5], "curves.plane has lists of different lengths"),
        (("errors", "kinds"), ["other"], "errors.all.other is missing"),
    ],
)
def test_messages(path: tuple[Any, ...], value: Any, message: str) -> None:
    report = copy.deepcopy(REPORT)
    container(report, path)[path[-1]] = value
    with pytest.raises(UserError) as caught:
        check_report(report, "a/report.json")
    assert str(caught.value).startswith(f"a/report.json: {message} (")


@pytest.mark.parametrize("value", [None, [], "text", {}, {"format": "coco"}])
def test_other_content(value: Any) -> None:
    with pytest.raises(UserError, match=r"report\.json: not a report of rotated-atss"):
        check_report(value)
