"""Section on the calibration of scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rotated_atss.report.charts import reliability_chart
from rotated_atss.report.html import Html, element
from rotated_atss.report.numbers import format_interval, format_ratio, format_signed_ratio
from rotated_atss.report.sections.context import Context, section
from rotated_atss.report.tables import count_cell, header, placeholder, ratio_cell, row_header, table


def calibration_section(context: Context) -> Html:
    """Return the reliability diagram, a table of its values, and the expected calibration error.

    Example:
        >>> bins = [{"from": 0.5, "to": 1.0, "detections": 8, "mean_score": 0.75, "precision": 0.5}]
        >>> calibration = {"bins": bins, "expected_calibration_error": 0.25}
        >>> "Expected calibration error: 0.2500" in calibration_section(Context({"calibration": calibration}))
        True
    """
    calibration = context.report["calibration"]
    bins, error = calibration["bins"], calibration["expected_calibration_error"]
    if not any(score_bin["detections"] for score_bin in bins):
        return section(context, "calibration", "Calibration of scores", placeholder("No detections."))
    note = (
        "Detections are grouped into bins by score. Each point shows the mean score and the precision of a bin. "
        "Scores are calibrated if the points lie on the diagonal. Scores are too high where points lie below it."
    )
    error_html = element("b", f"Expected calibration error: {format_ratio(error, 4)}")
    if context.baseline:
        baseline_error = context.baseline["calibration"]["expected_calibration_error"]
        error_html = element("b", error_html, f" (baseline {format_ratio(baseline_error, 4)})")
    content = element(
        "div",
        element("figure", reliability_chart(bins, "Reliability diagram: precision by score")),
        table("Calibration per bin of scores", _head(), [_row(score_bin) for score_bin in bins], class_="groups"),
        class_="pair",
    )
    return section(
        context, "calibration", "Calibration of scores", element("p", note), element("p", error_html), content
    )


def _head() -> list[list[Html]]:
    names = ("Mean score", "Precision", "Gap", "Detections")
    return [[header("Scores", number=False, sort=False), *(header(name, sort=False) for name in names)]]


def _row(score_bin: dict[str, Any]) -> Iterator[Html]:
    mean_score, precision = score_bin["mean_score"], score_bin["precision"]
    gap = None if mean_score is None or precision is None else precision - mean_score
    yield row_header(format_interval(score_bin["from"], score_bin["to"]))
    yield ratio_cell(mean_score)
    yield ratio_cell(precision)
    yield element("td", format_signed_ratio(gap), class_="number")
    yield count_cell(score_bin["detections"])
