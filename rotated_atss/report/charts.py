"""Draw the SVG charts of the report page: curves per class, and the reliability diagram."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rotated_atss.analysis.evaluation.report import ALL_CLASSES
from rotated_atss.report.axes import Axes, svg
from rotated_atss.report.html import Html, element, render
from rotated_atss.report.numbers import format_count, format_interval, format_ratio

Curve = Mapping[str, Sequence[float]]
"""A curve as one list per field, such as ``recall``, with the value of that field at each point."""

# Sizes in the reliability diagram, in SVG units. Below the plot area are the axis labels and, for each bin, a column
# that shows the number of detections.
_BOTTOM_MARGIN = 126  # between the plot area and the lower edge of the SVG
_MAX_COLUMN_HEIGHT = 44
_COLUMN_MARGIN = 8  # between the columns and the lower edge of the SVG


@dataclass(frozen=True)
class Axis:
    """What :func:`curve_chart` shows along one axis; :class:`Axes` has the coordinates of both axes.

    Attributes:
        field: Field of the curves, such as ``recall``.
        label: Text at the axis. If it is empty, the name of the field is shown.
        threshold: Value that a vertical line marks as a threshold, or None for no line. Used for the x axis only.
    """

    field: str
    label: str = ""
    threshold: float | None = None


def curve_chart(
    curves: Mapping[str, Curve], x: Axis, y: Axis, title: str, baseline: Mapping[str, Curve] | None = None
) -> Html:
    """Draw a thin gray line per class and, on top of them, a thick line for all classes together.

    ``report.js`` highlights classes that the reader chooses, and shows values at the pointer. It identifies a line by
    its attribute ``data-series``, the position of the class in ``curves``.

    Args:
        curves: Curve of each class, by class name.
        x: Values along the x axis.
        y: Values along the y axis, which extends from 0 to 1.
        title: Description of the chart for screen readers.
        baseline: Curves of another run, drawn as dashed lines. ``report.js`` shows a dashed line only while its class
            is highlighted.

    Example:
        >>> curve = {"recall": [0.0, 1.0], "precision": [1.0, 0.5]}
        >>> chart = curve_chart({"ship": curve}, Axis("recall"), Axis("precision"), "curves")
        >>> '<path class="curve" data-series="0" d="M56 10L466 152"><title>ship</title></path>' in chart
        True
    """
    baseline = baseline or {}
    axes = Axes(x_range=_x_range([*curves.values(), *baseline.values()], x.field))
    lines = [_curve_line(axes, curves[name], x, y, index, name) for index, name in _overall_last(curves)]
    dashed_lines = [
        _curve_line(axes, baseline[name], x, y, index, f"{name}, baseline", dashed=True)
        for index, name in enumerate(curves)
        if name in baseline
    ]
    marker = element("circle", class_="marker", r=5, cx=0, cy=0, visibility="hidden")
    return svg(
        axes, axes.frame(x.label or x.field, y.label or y.field), _threshold_line(axes, x.threshold),
        lines, dashed_lines, marker, label=title, class_="chart curves", data_x=x.field, data_y=y.field,
        data_x_range="{} {}".format(*axes.x_range), data_plot=" ".join(f"{value:g}" for value in axes.plot_area),
    )  # fmt: skip


def reliability_chart(bins: Sequence[Mapping[str, Any]], title: str) -> Html:
    """Draw a reliability diagram: precision over mean score per score bin, with the number of detections below.

    Args:
        bins: Bins of ``calibration`` in ``report.json``.
        title: Description of the chart for screen readers.

    Example:
        >>> bins = [{"from": 0.5, "to": 1.0, "detections": 8, "mean_score": 0.8, "precision": 0.5}]
        >>> reliability_chart(bins, "calibration").count('<circle class="point"')
        1
    """
    axes = Axes(height=400, margins=(56, 10, 14, _BOTTOM_MARGIN))
    diagonal = element(
        "line", x1=axes.x(0), y1=axes.y(0), x2=axes.x(1), y2=axes.y(1), class_="diagonal"
    )  # fmt: skip
    max_count = max((score_bin["detections"] for score_bin in bins), default=0)
    points = [_bin_point(axes, score_bin) for score_bin in bins]
    columns = [_count_column(axes, score_bin, max_count) for score_bin in bins]
    # this position is left of the columns, at about half of their maximum height
    label = element("text", "detections", class_="axis", transform="translate(13 363) rotate(-90)")
    return svg(axes, axes.frame("score", "precision"), diagonal, points, columns, label, label=title)


def _x_range(curves: Iterable[Curve], field: str) -> tuple[float, float]:
    """Return the range of the x axis.

    It usually is 0 to 1. The end is the highest value if that value is above 1. The start of an axis of scores is the
    lowest score, rounded down to a tenth, in two cases:

    - The lowest score is at least 0.3. With a start of 0, a large part of the chart would be empty.
    - The lowest score is negative. With a start of 0, points would lie outside the chart.
    """
    values = [value for curve in curves for value in curve[field]]
    low, high = min(values, default=0.0), max([1.0, *values])
    if field != "score" or 0 <= low < 0.3:
        return 0.0, high
    # the range must not be empty if all scores are 1
    return min(math.floor(low * 10) / 10, high - 0.1), high


def _overall_last(curves: Mapping[str, Curve]) -> list[tuple[int, str]]:
    """Return positions and names of the curves in drawing order: the curve of all classes together is drawn last."""
    return sorted(enumerate(curves), key=lambda item: item[1] == ALL_CLASSES)


def _curve_line(axes: Axes, curve: Curve, x: Axis, y: Axis, index: int, name: str, dashed: bool = False) -> Html:
    """Draw a curve; ``index`` is the position of its class, ``dashed`` marks a curve of the baseline."""
    class_ = "curve"
    if dashed:
        class_ = "curve baseline"
    elif name == ALL_CLASSES:
        class_ = "curve overall"
    return element(
        "path",
        element("title", name),
        class_=f"{class_} point" if len(curve[x.field]) == 1 else class_,
        data_series=index,
        d=_path(axes, curve[x.field], curve[y.field]) or None,
    )


def _path(axes: Axes, xs: Sequence[float], ys: Sequence[float]) -> str:
    """Return the ``d`` attribute of a curve. A single point becomes a line of length 0 with visible round ends."""
    return axes.path([xs[0]] * 2, [ys[0]] * 2) if len(xs) == 1 else axes.path(xs, ys)


def _threshold_line(axes: Axes, threshold: float | None) -> Html | None:
    """Draw a vertical line at a threshold, with a label; return None if the axis does not contain the threshold."""
    if threshold is None or not axes.x_range[0] <= threshold <= axes.x_range[1]:
        return None
    _, top, right, bottom = axes.plot_area
    x = axes.x(threshold)
    label_on_left = x > right - 110  # the label needs 110 units
    label = element(
        "text",
        f"threshold {format_ratio(threshold)}",
        x=f"{x - 5 if label_on_left else x + 5:.1f}",
        y=f"{bottom - 8:.1f}",
        class_="note end" if label_on_left else "note",
    )
    line = element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=top, y2=bottom, class_="threshold")
    return render(line, label)


def _bin_point(axes: Axes, score_bin: Mapping[str, Any]) -> Html | None:
    """Draw the point of a bin, and a line from it to the diagonal."""
    mean_score, precision = score_bin["mean_score"], score_bin["precision"]
    if mean_score is None or precision is None:
        return None
    x, y, diagonal_y = axes.x(mean_score), axes.y(precision), axes.y(mean_score)
    distance = element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=f"{y:.1f}", y2=f"{diagonal_y:.1f}", class_="gap")
    text = f"scores {format_interval(score_bin['from'], score_bin['to'])}: precision {format_ratio(precision)}"
    point = element("circle", element("title", text), class_="point", cx=f"{x:.1f}", cy=f"{y:.1f}", r=5)
    return render(distance, point)


def _count_column(axes: Axes, score_bin: Mapping[str, Any], max_count: int) -> Html | None:
    """Draw a column below the diagram whose height is the number of detections in a bin."""
    detections = score_bin["detections"]
    if not detections:
        return None
    # A limit of a bin can be None in report.json. The bin then extends to the edge of the plot area.
    left, right = axes.x(score_bin["from"] or 0), axes.x(1 if score_bin["to"] is None else score_bin["to"])
    gap = 2  # between a column and the borders of its bin
    base = axes.height - _COLUMN_MARGIN
    height = _MAX_COLUMN_HEIGHT * detections / max_count
    column = element(
        "rect", element("title", f"{format_count(detections)} detections"), class_="column",
        x=f"{left + gap:.1f}", width=f"{max(0, right - left - 2 * gap):.1f}",
        y=f"{base - height:.1f}", height=f"{height:.1f}",
    )  # fmt: skip
    label = element(
        "text",
        _format_short_count(detections),
        class_="tick x small",
        x=f"{(left + right) / 2:.1f}",
        y=f"{base - height - 5:.1f}",
    )
    return render(column, label)


def _format_short_count(number: int) -> str:
    """Format a count in few characters, such as ``1.2k``."""
    for limit, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= limit:
            return f"{number / limit:.1f}{unit}" if number < 10 * limit else f"{number / limit:.0f}{unit}"
    return str(number)
