"""SVG charts of the report: curves of classes, and the reliability diagram."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rotated_atss.analysis.evaluation.report import ALL_CLASSES
from rotated_atss.report.axes import Axes, svg
from rotated_atss.report.html import Html, element, render
from rotated_atss.report.numbers import count, interval, ratio

Curve = Mapping[str, Sequence[float]]
Curves = Mapping[str, Curve]


@dataclass(frozen=True)
class Axis:
    """What an axis of :func:`curve_chart` shows.

    Attributes:
        field: Field of the curves.
        label: Text at the axis; the name of the field by default.
        mark: Threshold to mark with a line.
    """

    field: str
    label: str = ""
    mark: float | None = None


def curve_chart(curves: Curves, x: Axis, y: Axis, title: str, baseline: Curves | None = None) -> Html:
    """Draw one line per class, thin and gray, and that of all classes together on top.

    ``report.js`` highlights chosen classes and shows values; ``data-series`` is the position in ``curves``.

    Args:
        curves: Lists of numbers by class and field.
        x: What the x axis shows.
        y: What the y axis shows, from 0 to 1.
        title: Name of the chart for screen readers.
        baseline: Curves of another run, drawn dashed where their class is chosen.

    Example:
        >>> curve = {"recall": [0.0, 1.0], "precision": [1.0, 0.5]}
        >>> chart = curve_chart({"ship": curve}, Axis("recall"), Axis("precision"), "curves")
        >>> '<path class="curve" data-series="0" d="M56 10L466 152"><title>ship</title></path>' in chart
        True
    """
    axes = Axes(x_range=_limits([*curves.values(), *(baseline or {}).values()], x.field))
    lines = [_line(axes, curves[name], x, y, index, name) for index, name in _overall_last(curves)]
    dashed = [
        _line(axes, baseline[name], x, y, index, f"{name}, baseline", dashed=True)
        for index, name in enumerate(curves)
        if baseline and name in baseline
    ]
    marker = element("circle", class_="marker", r=5, cx=0, cy=0, visibility="hidden")
    return svg(
        axes, axes.frame(x.label or x.field, y.label or y.field), _mark(axes, x.mark), lines, dashed, marker,
        label=title, class_="chart curves", data_x=x.field, data_y=y.field,
        data_x_range="{} {}".format(*axes.x_range), data_plot=" ".join(f"{value:g}" for value in axes.plot),
    )  # fmt: skip


def reliability_chart(bins: Sequence[Mapping[str, Any]], title: str) -> Html:
    """Draw precision against mean score per bin, with the gap to the diagonal, above the number of detections.

    Args:
        bins: Bins of ``calibration`` in ``report.json``.
        title: Name of the chart for screen readers.

    Example:
        >>> bins = [{"from": 0.5, "to": 1.0, "detections": 8, "mean_score": 0.8, "precision": 0.5}]
        >>> reliability_chart(bins, "calibration").count('<circle class="point"')
        1
    """
    axes = Axes(height=400, margins=(56, 10, 14, 126))
    diagonal = element(
        "line", x1=axes.x(0), y1=axes.y(0), x2=axes.x(1), y2=axes.y(1), class_="diagonal"
    )  # fmt: skip
    most = max((each["detections"] for each in bins), default=0)
    points = [_reliability(axes, each) for each in bins]
    columns = [_column(axes, each, most) for each in bins]
    label = element("text", "detections", class_="axis", transform="translate(13 363) rotate(-90)")
    return svg(axes, axes.frame("score", "precision"), diagonal, points, columns, label, label=title)


def _limits(curves: Iterable[Curve], field: str) -> tuple[float, float]:
    """Return the range of an axis: 0 to 1, wider if scores are, and without the scores below a high lowest one."""
    values = [value for curve in curves for value in curve[field]]
    low, high = min(values, default=0.0), max([1.0, *values])
    if field != "score" or 0 <= low < 0.3:
        return 0.0, high
    return min(math.floor(low * 10) / 10, high - 0.1), high


def _overall_last(curves: Curves) -> list[tuple[int, str]]:
    """Return the numbered classes in the order of drawing."""
    return sorted(enumerate(curves), key=lambda item: item[1] == ALL_CLASSES)


def _line(axes: Axes, curve: Curve, x: Axis, y: Axis, index: int, name: str, dashed: bool = False) -> Html:
    class_ = "curve baseline" if dashed else "curve overall" if name == ALL_CLASSES else "curve"
    return element(
        "path",
        element("title", name),
        class_=f"{class_} point" if len(curve[x.field]) == 1 else class_,
        data_series=index,
        d=_path(axes, curve[x.field], curve[y.field]) or None,
    )


def _path(axes: Axes, xs: Sequence[float], ys: Sequence[float]) -> str:
    """Return the ``d`` attribute of a line; a single point becomes a short one, which its round ends make visible."""
    return axes.path([xs[0]] * 2, [ys[0]] * 2) if len(xs) == 1 else axes.path(xs, ys)


def _mark(axes: Axes, value: float | None) -> Html | None:
    if value is None or not axes.x_range[0] <= value <= axes.x_range[1]:
        return None
    x, (_, top, right, bottom) = axes.x(value), axes.plot
    on_left = x > right - 110
    text = element(
        "text", f"threshold {ratio(value)}", x=f"{x - 5 if on_left else x + 5:.1f}", y=f"{bottom - 8:.1f}",
        class_="note end" if on_left else "note",
    )  # fmt: skip
    line = element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=top, y2=bottom, class_="threshold")
    return render(line, text)


def _reliability(axes: Axes, each: Mapping[str, Any]) -> Html | None:
    if each["mean_score"] is None or each["precision"] is None:
        return None
    x, y = axes.x(each["mean_score"]), axes.y(each["precision"])
    gap = element(
        "line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=f"{y:.1f}", y2=f"{axes.y(each['mean_score']):.1f}", class_="gap"
    )
    text = f"scores {interval(each['from'], each['to'])}: precision {ratio(each['precision'])}"
    return render(gap, element("circle", element("title", text), class_="point", cx=f"{x:.1f}", cy=f"{y:.1f}", r=5))


def _column(axes: Axes, each: Mapping[str, Any], most: int) -> Html | None:
    """Draw the column of detections of a bin below the diagram."""
    if not each["detections"]:
        return None
    left, right, base = axes.x(each["from"] or 0), axes.x(1 if each["to"] is None else each["to"]), axes.height - 8
    height = 44 * each["detections"] / most
    column = element(
        "rect", element("title", f"{count(each['detections'])} detections"), class_="column",
        x=f"{left + 2:.1f}", width=f"{max(0, right - left - 4):.1f}", y=f"{base - height:.1f}", height=f"{height:.1f}",
    )  # fmt: skip
    label = element(
        "text",
        _brief(each["detections"]),
        class_="tick x small",
        x=f"{(left + right) / 2:.1f}",
        y=f"{base - height - 5:.1f}",
    )
    return render(column, label)


def _brief(number: int) -> str:
    """Return a count in at most four characters."""
    for limit, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= limit:
            return f"{number / limit:.1f}{unit}" if number < 10 * limit else f"{number / limit:.0f}{unit}"
    return str(number)
