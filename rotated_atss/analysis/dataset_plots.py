"""Plots of the report of :func:`rotated_atss.analysis.dataset_report.report_dataset`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rotated_atss.analysis.plotting import COLORS, new_figure, to_png, write_none
from rotated_atss.errors import count_of

MAX_CLASSES = 25  # the classes with the most objects are plotted
_BLUE, _ORANGE, _GREEN = COLORS[:3]


def plot_dataset(report: Mapping[str, Any], title: str = "") -> bytes:
    r"""Plot classes, sizes, shapes, directions, counts and anchor scales of a dataset.

    Args:
        report: The report.
        title: First line of the figure's title.

    Returns:
        A PNG file.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.analysis.dataset_objects import DatasetObjects
        >>> from rotated_atss.analysis.dataset_report import report_dataset
        >>> index = np.zeros(1, np.int64)
        >>> objects = DatasetObjects(("P1",), np.array([[640, 480]]), np.array([np.nan]), index, index, ("ship",),
        ...                          np.array([[0.0, 0, 32, 0, 32, 8, 0, 8]]), index)
        >>> plot_dataset(report_dataset(objects, None))[:4]  # doctest: +SKIP
        b'\x89PNG'
    """
    figure = new_figure(figsize=(19.2, 9.6), layout="constrained")
    axes = figure.subplots(2, 4)
    counts = f"{count_of(report['objects']['count'], 'object')} in {count_of(report['images']['count'], 'image')}"
    figure.suptitle(f"{title}\n{counts}" if title else counts)
    groups = report["groups"]
    classes = [row for row in report["classes"] if row["objects"]]
    _class_bars(axes[0, 0], classes)
    _class_sizes(axes[1, 0], classes)
    _group_bars(axes[0, 1], groups["size"], "square root of the area, px (from)")
    _group_bars(axes[1, 1], groups["extent"], "extent along x or y, px (from)")
    _mark_plans(axes[1, 1], groups["extent"], report["plans"])
    _group_bars(axes[0, 2], groups["aspect"], "long side / short side (from)")
    _group_bars(axes[1, 2], groups["angle"], "direction of the long side, degrees (from)")
    _count_bars(axes[0, 3], groups)
    _scale_lines(axes[1, 3], report["anchor_scales"])
    return to_png(figure)


def _class_bars(axis: Any, classes: Sequence[Mapping[str, Any]]) -> None:
    shown = classes[:MAX_CLASSES]
    if not _has_values(axis, shown):
        return
    positions, counts = range(len(shown)), [row["objects"] for row in shown]
    # bars start at 0.5, since a logarithmic axis has no 0 and a bar from 1 would hide a count of 1
    axis.barh(positions, [count - 0.5 for count in counts], left=0.5, color=_BLUE)
    axis.set_xscale("log")
    axis.set_xlim(0.5, 4 * max(counts))  # with room for the numbers beside the bars
    axis.xaxis.set_major_formatter("{x:g}")
    for position, count in zip(positions, counts):
        axis.text(1.1 * count, position, str(count), va="center", fontsize=8)
    _name_rows(axis, shown)
    more = f" (the first {MAX_CLASSES} of {len(classes)})" if len(classes) > MAX_CLASSES else ""
    axis.set_xlabel(f"objects per class{more}")


def _class_sizes(axis: Any, classes: Sequence[Mapping[str, Any]]) -> None:
    """Draw the 5% and 95% quantiles of the object size in each class as a line, and the median as a point."""
    shown = classes[:MAX_CLASSES]
    if not _has_values(axis, [row for row in shown if row["size"]]):
        return
    for position, row in enumerate(shown):
        if row["size"]:
            axis.plot([row["size"]["p5"], row["size"]["p95"]], [position, position], color=_BLUE, linewidth=3)
            axis.plot(row["size"]["median"], position, "o", color=_ORANGE)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.grid(axis="x", alpha=0.3)
    _name_rows(axis, shown)
    axis.set_xlabel("square root of the area, px: 5% to 95%, and median")


def _name_rows(axis: Any, classes: Sequence[Mapping[str, Any]]) -> None:
    axis.set_yticks(range(len(classes)), [row["name"] for row in classes], fontsize=8)
    axis.set_ylim(len(classes) - 0.4, -0.6)  # the first class on top


def _group_bars(axis: Any, groups: Sequence[Mapping[str, Any]], label: str) -> None:
    if not _has_values(axis, groups):
        return
    axis.bar(range(len(groups)), [group["count"] for group in groups], 0.9, color=_BLUE)
    _name_groups(axis, groups)
    axis.set_xlabel(label)
    axis.set_ylabel("objects")


def _mark_plans(axis: Any, groups: Sequence[Mapping[str, Any]], plans: Sequence[Mapping[str, Any]]) -> None:
    """Mark the extent up to which no object is cut, for the tiles of each plan."""
    for plan, color, style in zip(plans, (_ORANGE, _GREEN), ("--", "-")):
        overlap_px = plan["gap"] / min(plan["rates"])
        position = _position_among_bars(groups, overlap_px)
        share = f"{100 * plan['cut_share']:.2f}% cut"
        axis.axvline(position, color=color, linestyle=style, label=f"overlap of {overlap_px:.0f} px: {share}")
    if plans and groups:
        axis.set_ylim(top=1.25 * axis.get_ylim()[1])  # room for the legend above the bars
        axis.legend(fontsize=8)


def _position_among_bars(groups: Sequence[Mapping[str, Any]], value: float) -> float:
    """Return the coordinate of a value on an axis on which the bar of group i extends from i - 0.5 to i + 0.5."""
    for index, group in enumerate(groups):
        low, high = group["from"], group["to"]
        if high is not None and low <= value < high:
            return index - 0.5 + (value - low) / (high - low)
    return -0.5 if groups and value < groups[0]["from"] else len(groups) - 0.5


def _count_bars(axis: Any, groups: Mapping[str, Any]) -> None:
    """Draw how many images, and how many tiles if there is a plan, have a number of objects in each interval."""
    series = [("images", groups["objects_per_image"], _BLUE), ("tiles", groups.get("objects_per_tile"), _ORANGE)]
    series = [(name, intervals, color) for name, intervals, color in series if intervals]
    starts = sorted({interval["from"] for _, intervals, _ in series for interval in intervals})
    if not _has_values(axis, starts):
        return
    width = 0.9 / len(series)
    for index, (name, intervals, color) in enumerate(series):
        counts = {interval["from"]: interval["count"] for interval in intervals}
        shift = (index - (len(series) - 1) / 2) * width
        positions = [position + shift for position in range(len(starts))]
        axis.bar(positions, [counts.get(start, 0) for start in starts], width, color=color, label=name)
    _name_groups(axis, [{"from": start} for start in starts])
    axis.set_xlabel("objects per image or tile (from)")
    axis.set_ylabel("number")
    if len(series) == 2:
        axis.set_ylim(top=1.2 * axis.get_ylim()[1])
        axis.legend(fontsize=8)


def _scale_lines(axis: Any, fits: Sequence[Mapping[str, Any]]) -> None:
    if not _has_values(axis, fits):
        return
    scales = [fit["scale"] for fit in fits]
    axis.plot(scales, [fit["median_iou"] for fit in fits], "o-", color=_BLUE, label="median of the highest IoU")
    axis.plot(scales, [fit["above_half"] for fit in fits], "s--", color=_ORANGE, label="share of objects, IoU >= 0.5")
    axis.set_xscale("log", base=2)
    axis.set_xticks(scales, [f"{scale:g}" for scale in scales], fontsize=8)
    axis.minorticks_off()
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)
    axis.set_xlabel("anchor scale (side of a square prior / stride)")
    axis.legend(fontsize=8)


def _name_groups(axis: Any, groups: Sequence[Mapping[str, Any]]) -> None:
    axis.set_xticks(range(len(groups)), [f"{group['from']:g}" for group in groups], fontsize=8)
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)


def _has_values(axis: Any, values: Sequence[Any]) -> bool:
    """Return whether there are values to plot; otherwise write "none" into the axes."""
    if not values:
        axis.set_axis_off()
        write_none(axis)
    return bool(values)
