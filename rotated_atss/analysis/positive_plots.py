"""Plot the report returned by :func:`rotated_atss.analysis.positive_counts.summarize`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rotated_atss.analysis.plotting import COLORS, new_figure, to_png, write_none
from rotated_atss.errors import count_of

MAX_POSITIVES_SHOWN = 20  # all boxes with this number of positives or more share one bar
# key of the report without by_, and label of the axis
GROUPS = (
    ("size", "square root of the box area, px"),
    ("aspect", "long side / short side"),
    ("angle", "direction of the long side, degrees"),
)


def plot_report(report: dict[str, Any], title: str = "") -> bytes:
    r"""Plot a report of positives per ground-truth box by size, aspect ratio and angle.

    Further axes show the percentage of boxes without positives, and the positives per level.

    Args:
        report: Report of :func:`rotated_atss.analysis.positive_counts.summarize` with at least one box.
        title: First line of the figure's title.

    Returns:
        A PNG file.

    Example:
        >>> import torch
        >>> from rotated_atss.analysis.positive_counts import BoxShapes, PositiveCounts, summarize
        >>> from rotated_atss.analysis.positive_plots import plot_report
        >>> shapes, counts = BoxShapes(oriented=False), PositiveCounts(strides=[8])
        >>> shapes.add(torch.tensor([[0.0, 0, 32, 8]]))
        >>> counts.add(torch.tensor([0, 0, -1]), level_sizes=[3], num_gts=1)
        >>> plot_report(summarize(shapes, {"atss": counts}))[:4]  # doctest: +SKIP
        b'\x89PNG'
    """
    figure = new_figure(figsize=(15.6, 8.4), layout="constrained")
    axes = figure.subplots(2, 3)
    figure.suptitle(f"{title}\n{count_of(report['objects'], 'ground-truth box')}")
    for axis, (key, label) in zip(axes[0], GROUPS):
        if f"by_{key}" in next(iter(report["assigners"].values())):
            _group_bars(axis, report, key, label)
            _expected_line(axis, report)
        else:
            axis.set_axis_off()
    _without_positives_bars(axes[1, 0], report)
    _level_bars(axes[1, 1], report)
    _distribution_bars(axes[1, 2], report)
    # the legend is below the axes, where it covers no bars
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLORS) + 1
    )  # and the expected number
    return to_png(figure, dpi=110)


def _bars(axis: Any, values_by_assigner: dict[str, list[float]], ticks: list[str], xlabel: str, ylabel: str) -> None:
    """Draw one group of bars per tick, with one bar per assigner."""
    width = 0.8 / len(values_by_assigner)
    for index, (name, values) in enumerate(values_by_assigner.items()):
        shift = (index - (len(values_by_assigner) - 1) / 2) * width
        positions = [position + shift for position in range(len(values))]
        axis.bar(positions, values, width, label=name, color=COLORS[index % len(COLORS)])
    axis.set_xticks(range(len(ticks)), ticks, fontsize=8)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.set_ylim(bottom=0, top=max(1.0, axis.get_ylim()[1]))  # an axis up to 0 would have no ticks
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)


def _by_assigner(report: dict[str, Any], values: Callable[[dict[str, Any]], list[float]]) -> dict[str, list[float]]:
    """Apply a function to the summary of each assigner."""
    return {name: values(summary) for name, summary in report["assigners"].items()}


def _ticks(report: dict[str, Any], key: str) -> list[str]:
    groups = next(iter(report["assigners"].values()))[f"by_{key}"]  # the same groups for all assigners
    if key == "angle":
        return [f"{group['from']}..\n({group['objects']})" for group in groups]
    ranges = [f"{group['from']}+" if group["to"] is None else f"{group['from']}\nto {group['to']}" for group in groups]
    return [f"{text}\n({group['objects']})" for text, group in zip(ranges, groups)]


def _group_bars(axis: Any, report: dict[str, Any], key: str, label: str) -> None:
    means = _by_assigner(report, lambda summary: [group["positives_per_object"] for group in summary[f"by_{key}"]])
    _bars(axis, means, _ticks(report, key), f"{label} (number of boxes)", "positives per box (mean)")


def _without_positives_bars(axis: Any, report: dict[str, Any]) -> None:
    shares = _by_assigner(
        report, lambda summary: [100 * group["without"] / group["objects"] for group in summary["by_size"]]
    )
    _bars(axis, shares, _ticks(report, "size"), f"{GROUPS[0][1]} (number of boxes)", "boxes without positives, %")
    if not any(map(any, shares.values())):
        write_none(axis)


def _level_bars(axis: Any, report: dict[str, Any]) -> None:
    shares = _by_assigner(
        report, lambda summary: [100 * count / max(1, summary["positives"]) for count in summary["by_level"].values()]
    )
    strides = list(next(iter(report["assigners"].values()))["by_level"])
    _bars(axis, shares, strides, "stride of the level, px", "positives, %")


def _distribution_bars(axis: Any, report: dict[str, Any]) -> None:
    shares = _by_assigner(
        report,
        lambda summary: _merge_tail([100 * count / report["objects"] for count in summary["objects_by_positives"]]),
    )
    num_bars = max(map(len, shares.values()))
    ticks = [str(positives) for positives in range(num_bars)]
    if num_bars > MAX_POSITIVES_SHOWN:
        ticks[-1] += "+"
    _bars(axis, shares, ticks, "positives per box", "boxes, %")


def _merge_tail(percentages: list[float]) -> list[float]:
    """Replace the percentages from MAX_POSITIVES_SHOWN positives on with their sum."""
    head, tail = percentages[:MAX_POSITIVES_SHOWN], percentages[MAX_POSITIVES_SHOWN:]
    return [*head, sum(tail)] if tail else head


def _expected_line(axis: Any, report: dict[str, Any]) -> None:
    """Draw the paper's 0.2 k L as a line, unless assigners with different k are compared."""
    expected = {summary["expected_per_object"] for summary in report["assigners"].values()} - {None}
    if len(expected) == 1:
        (value,) = expected
        axis.axhline(value, color="gray", linestyle="--", label="0.2 k L")
        axis.set_ylim(top=max(axis.get_ylim()[1], 1.05 * value))
