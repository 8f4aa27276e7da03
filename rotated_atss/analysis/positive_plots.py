"""The report of :mod:`rotated_atss.analysis.positive_counts` as one picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

MOST_POSITIVES_SHOWN = 20
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # told apart by the colour-blind
GROUPS = (
    ("size", "square root of the object's area, px"),
    ("aspect", "long side / short side"),
    ("angle", "direction of the long side, degrees"),
)


def plot_report(report: dict[str, Any], title: str = "") -> bytes:
    """A PNG file: positives an object by size, aspect ratio and angle, objects with none, positives a level.

    Args:
        report: Of :func:`rotated_atss.analysis.positive_counts.summarize`, with objects.
        title: Line above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15.6, 8.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    figure.suptitle(f"{title}\n{report['objects']} objects")
    for axis, (key, label) in zip(axes[0], GROUPS):
        if f"by_{key}" in next(iter(report["assigners"].values())):
            _group_bars(axis, report, key, label)
            _claim(axis, report)
        else:
            axis.set_axis_off()
    _none_bars(axes[1, 0], report)
    _level_bars(axes[1, 1], report)
    _distribution_bars(axes[1, 2], report)
    # below the axes: within them it would cover bars
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLORS) + 1)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _bars(axis: Any, rows: dict[str, list[float]], ticks: list[str], xlabel: str, ylabel: str) -> None:
    width = 0.8 / len(rows)
    for index, (name, values) in enumerate(rows.items()):
        places = [place + (index - (len(rows) - 1) / 2) * width for place in range(len(values))]
        axis.bar(places, values, width, label=name, color=COLORS[index % len(COLORS)])
    axis.set_xticks(range(len(ticks)), ticks, fontsize=8)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.set_ylim(bottom=0, top=max(1.0, axis.get_ylim()[1]))
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)


def _rows(report: dict[str, Any], values: Callable[[dict[str, Any]], list[float]]) -> dict[str, list[float]]:
    return {name: values(summary) for name, summary in report["assigners"].items()}


def _ticks(report: dict[str, Any], key: str) -> list[str]:
    groups = next(iter(report["assigners"].values()))[f"by_{key}"]
    if key == "angle":
        return [f"{g['from']}..\n({g['objects']})" for g in groups]
    ranges = [f"{g['from']}+" if g["to"] is None else f"{g['from']}\nto {g['to']}" for g in groups]
    return [f"{text}\n({g['objects']})" for text, g in zip(ranges, groups)]


def _group_bars(axis: Any, report: dict[str, Any], key: str, label: str) -> None:
    rows = _rows(report, lambda s: [g["positives_per_object"] for g in s[f"by_{key}"]])
    _bars(axis, rows, _ticks(report, key), f"{label} (objects)", "positives an object (mean)")


def _none_bars(axis: Any, report: dict[str, Any]) -> None:
    rows = _rows(report, lambda s: [100 * g["without"] / g["objects"] for g in s["by_size"]])
    _bars(axis, rows, _ticks(report, "size"), f"{GROUPS[0][1]} (objects)", "objects without positives, %")
    if not any(map(any, rows.values())):
        axis.text(0.5, 0.5, "none", transform=axis.transAxes, ha="center", va="center")


def _level_bars(axis: Any, report: dict[str, Any]) -> None:
    rows = _rows(report, lambda s: [100 * count / max(1, s["positives"]) for count in s["by_level"].values()])
    strides = list(next(iter(report["assigners"].values()))["by_level"])
    _bars(axis, rows, strides, "level, by its stride in px", "share of the positives, %")


def _distribution_bars(axis: Any, report: dict[str, Any]) -> None:
    rows = _rows(report, lambda s: _merged_tail([100 * n / report["objects"] for n in s["objects_by_positives"]]))
    longest = max(map(len, rows.values()))
    ticks = [str(number) for number in range(longest)]
    if longest > MOST_POSITIVES_SHOWN:
        ticks[-1] += "+"
    _bars(axis, rows, ticks, "positives of an object", "share of the objects, %")


def _merged_tail(shares: list[float]) -> list[float]:
    """The last bar stands for all that would follow it."""
    head, tail = shares[:MOST_POSITIVES_SHOWN], shares[MOST_POSITIVES_SHOWN:]
    return [*head, sum(tail)] if tail else head


def _claim(axis: Any, report: dict[str, Any]) -> None:
    """The paper's 0.2 k L as a line, where the assigners make the same claim."""
    claims = {summary["expected_per_object"] for summary in report["assigners"].values()} - {None}
    if len(claims) == 1:
        claim = next(iter(claims))
        axis.axhline(claim, color="grey", linestyle="--", label="0.2 k L")
        axis.set_ylim(top=max(axis.get_ylim()[1], 1.05 * claim))
