"""Plot the report returned by :func:`rotated_atss.analysis.positive_counts.summarize`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rotated_atss.analysis.plotting import COLORS, mark_empty, new_figure, to_png
from rotated_atss.errors import count_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_POSITIVES_SHOWN = 20  # boxes with this number of positives or more share one bar
# The properties by which boxes are grouped: key in the report without the prefix "by_", and label of the x axis.
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
    for ax, (key, label) in zip(axes[0], GROUPS):
        if f"by_{key}" in next(iter(report["assigners"].values())):
            _plot_groups(ax, report, key, label)
            _plot_expected(ax, report)
        else:  # horizontal boxes have no angles
            ax.set_axis_off()
    _plot_without_positives(axes[1, 0], report)
    _plot_levels(axes[1, 1], report)
    _plot_distribution(axes[1, 2], report)
    # The legend is below the axes, where it covers no bars. It is a single row, with a column for each color and one
    # more for the line of the expected positives.
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(COLORS) + 1)
    return to_png(figure, dpi=110)


def _plot_bars(
    ax: Axes, values_by_assigner: dict[str, list[float]], ticks: list[str], xlabel: str, ylabel: str
) -> None:
    """Plot one group of bars per tick, with one bar per assigner."""
    bar_width = 0.8 / len(values_by_assigner)
    for index, (name, values) in enumerate(values_by_assigner.items()):
        shift = (index - (len(values_by_assigner) - 1) / 2) * bar_width  # the group of bars is centered at the tick
        positions = [position + shift for position in range(len(values))]
        ax.bar(positions, values, bar_width, label=name, color=COLORS[index % len(COLORS)])
    ax.set_xticks(range(len(ticks)), ticks, fontsize=8)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.set_ylim(bottom=0, top=max(1.0, ax.get_ylim()[1]))  # if all values are 0, the axis still needs ticks
    ax.grid(axis="y", alpha=0.3)
    ax.set_axisbelow(True)


def _values_by_assigner(
    report: dict[str, Any], get_values: Callable[[dict[str, Any]], list[float]]
) -> dict[str, list[float]]:
    """Return the values that a function computes from the summary of each assigner."""
    return {name: get_values(summary) for name, summary in report["assigners"].items()}


def _group_ticks(report: dict[str, Any], key: str) -> list[str]:
    """Return a label per group: its interval and its number of boxes.

    For angles, the label has only the lower limit of the interval, because there are many groups.
    """
    groups = next(iter(report["assigners"].values()))[f"by_{key}"]  # all assigners have the same groups
    if key == "angle":
        return [f"{group['from']}..\n({group['objects']})" for group in groups]
    ranges = [f"{group['from']}+" if group["to"] is None else f"{group['from']}\nto {group['to']}" for group in groups]
    return [f"{interval}\n({group['objects']})" for interval, group in zip(ranges, groups)]


def _plot_groups(ax: Axes, report: dict[str, Any], key: str, label: str) -> None:
    means = _values_by_assigner(
        report, lambda summary: [group["positives_per_object"] for group in summary[f"by_{key}"]]
    )
    _plot_bars(ax, means, _group_ticks(report, key), f"{label} (number of boxes)", "positives per box (mean)")


def _plot_without_positives(ax: Axes, report: dict[str, Any]) -> None:
    percentages = _values_by_assigner(
        report, lambda summary: [100 * group["without"] / group["objects"] for group in summary["by_size"]]
    )
    xlabel = f"{dict(GROUPS)['size']} (number of boxes)"
    _plot_bars(ax, percentages, _group_ticks(report, "size"), xlabel, "boxes without positives, %")
    if not any(map(any, percentages.values())):
        mark_empty(ax)


def _plot_levels(ax: Axes, report: dict[str, Any]) -> None:
    percentages = _values_by_assigner(
        report, lambda summary: [100 * count / max(1, summary["positives"]) for count in summary["by_level"].values()]
    )
    strides = list(next(iter(report["assigners"].values()))["by_level"])
    _plot_bars(ax, percentages, strides, "stride of the level, px", "positives, %")


def _plot_distribution(ax: Axes, report: dict[str, Any]) -> None:
    percentages = _values_by_assigner(
        report,
        lambda summary: _merge_tail([100 * count / report["objects"] for count in summary["objects_by_positives"]]),
    )
    num_bars = max(map(len, percentages.values()))
    ticks = [str(positives) for positives in range(num_bars)]
    if num_bars > MAX_POSITIVES_SHOWN:
        ticks[-1] += "+"
    _plot_bars(ax, percentages, ticks, "positives per box", "boxes, %")


def _merge_tail(percentages: list[float]) -> list[float]:
    """Replace the percentages from MAX_POSITIVES_SHOWN positives on with their sum."""
    head, tail = percentages[:MAX_POSITIVES_SHOWN], percentages[MAX_POSITIVES_SHOWN:]
    return [*head, sum(tail)] if tail else head


def _plot_expected(ax: Axes, report: dict[str, Any]) -> None:
    """Plot the number of positives per box that ATSS expects, as a horizontal line.

    For k candidates on each of L levels, this number is 0.2 k L. If assigners with different k are compared, the
    expected numbers differ and no line is plotted.
    """
    expected = {summary["expected_per_object"] for summary in report["assigners"].values()} - {None}
    if len(expected) == 1:
        (value,) = expected
        ax.axhline(value, color="gray", linestyle="--", label="0.2 k L")
        ax.set_ylim(top=max(ax.get_ylim()[1], 1.05 * value))
