"""Plot the statistics of a dataset that :func:`rotated_atss.analysis.dataset_report.report_dataset` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rotated_atss.analysis.plotting import COLORS, mark_empty, new_figure, to_png
from rotated_atss.errors import count_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CLASSES = 25  # of more classes, only the ones with the most objects are plotted
_BLUE, _ORANGE, _GREEN = COLORS[:3]


def plot_dataset(report: Mapping[str, Any], title: str = "") -> bytes:
    r"""Plot classes, sizes, shapes, directions, counts and anchor scales of a dataset.

    Args:
        report: Result of :func:`rotated_atss.analysis.dataset_report.report_dataset`.
        title: First line of the figure's title.

    Returns:
        A PNG file.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.analysis.dataset_objects import DatasetObjects
        >>> from rotated_atss.analysis.dataset_report import report_dataset
        >>> zero = np.zeros(1, np.int64)
        >>> objects = DatasetObjects(
        ...     image_names=("P1",), image_wh=np.array([[640, 480]]), ground_resolution=np.array([np.nan]),
        ...     image_index=zero, class_index=zero, class_names=("ship",),
        ...     polygons=np.array([[0.0, 0, 32, 0, 32, 8, 0, 8]]), difficult=zero,
        ... )
        >>> plot_dataset(report_dataset(objects, None))[:4]  # doctest: +SKIP
        b'\x89PNG'
    """
    figure = new_figure(figsize=(19.2, 9.6), layout="constrained")
    axes = figure.subplots(2, 4)
    counts = f"{count_of(report['objects']['count'], 'object')} in {count_of(report['images']['count'], 'image')}"
    figure.suptitle(f"{title}\n{counts}" if title else counts)
    histograms = report["groups"]  # a list of bins for each name, such as "size"
    classes = [row for row in report["classes"] if row["objects"]]  # sorted by number of objects
    _plot_class_counts(axes[0, 0], classes)
    _plot_class_sizes(axes[1, 0], classes)
    _plot_histogram(axes[0, 1], histograms["size"], "square root of the area, px (lower limit of the bin)")
    _plot_histogram(axes[1, 1], histograms["extent"], "extent along x or y, px (lower limit of the bin)")
    _mark_plans(axes[1, 1], histograms["extent"], report["plans"])
    _plot_histogram(axes[0, 2], histograms["aspect"], "long side / short side (lower limit of the bin)")
    _plot_histogram(axes[1, 2], histograms["angle"], "direction of the long side, degrees (lower limit of the bin)")
    _plot_objects_per_image(axes[0, 3], histograms)
    _plot_anchor_scales(axes[1, 3], report["anchor_scales"])
    return to_png(figure)


def _plot_class_counts(ax: Axes, classes: Sequence[Mapping[str, Any]]) -> None:
    shown = classes[:MAX_CLASSES]
    if _mark_if_empty(ax, shown):
        return
    positions, counts = range(len(shown)), [row["objects"] for row in shown]
    # bars start at 0.5, since a logarithmic axis has no 0 and a bar from 1 would hide a count of 1
    ax.barh(positions, [count - 0.5 for count in counts], left=0.5, color=_BLUE)
    ax.set_xscale("log")
    ax.set_xlim(0.5, 4 * max(counts))  # the factor leaves space for the numbers next to the bars
    ax.xaxis.set_major_formatter("{x:g}")
    for position, count in zip(positions, counts):
        ax.text(1.1 * count, position, str(count), va="center", fontsize=8)
    _label_rows(ax, shown)
    more = f" (the first {MAX_CLASSES} of {len(classes)})" if len(classes) > MAX_CLASSES else ""
    ax.set_xlabel(f"objects per class{more}")


def _plot_class_sizes(ax: Axes, classes: Sequence[Mapping[str, Any]]) -> None:
    """Plot the object sizes of each class: a line from the 5% to the 95% quantile, and a point at the median."""
    shown = classes[:MAX_CLASSES]
    if _mark_if_empty(ax, [row for row in shown if row["size"]]):
        return
    for position, row in enumerate(shown):
        if row["size"]:
            ax.plot([row["size"]["p5"], row["size"]["p95"]], [position, position], color=_BLUE, linewidth=3)
            ax.plot(row["size"]["median"], position, "o", color=_ORANGE)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.grid(axis="x", alpha=0.3)
    _label_rows(ax, shown)
    ax.set_xlabel("square root of the area, px: 5% to 95%, and median")


def _label_rows(ax: Axes, classes: Sequence[Mapping[str, Any]]) -> None:
    ax.set_yticks(range(len(classes)), [row["name"] for row in classes], fontsize=8)
    ax.set_ylim(len(classes) - 0.4, -0.6)  # the first class on top


def _plot_histogram(ax: Axes, bins: Sequence[Mapping[str, Any]], label: str) -> None:
    if _mark_if_empty(ax, bins):
        return
    ax.bar(range(len(bins)), [each["count"] for each in bins], width=0.9, color=_BLUE)
    _label_bins(ax, bins)
    ax.set_xlabel(label)
    ax.set_ylabel("objects")


def _mark_plans(ax: Axes, bins: Sequence[Mapping[str, Any]], plans: Sequence[Mapping[str, Any]]) -> None:
    """Mark the extent up to which no object is cut.

    The first plan has the default windows, and the second one, if any, the proposed windows. A plan has the window
    size, the overlap (``gap``) and the factors by which images are scaled (``rates``).
    """
    for plan, color, style in zip(plans, (_ORANGE, _GREEN), ("--", "-")):
        # The overlap is largest at the smallest scale, measured in pixels of the original image.
        overlap_px = plan["gap"] / min(plan["rates"])
        position = _bar_position(bins, overlap_px)
        share = f"{100 * plan['cut_share']:.2f}% cut"
        ax.axvline(position, color=color, linestyle=style, label=f"overlap of {overlap_px:.0f} px: {share}")
    if plans and bins:
        ax.set_ylim(top=1.25 * ax.get_ylim()[1])  # room for the legend above the bars
        ax.legend(fontsize=8)


def _bar_position(bins: Sequence[Mapping[str, Any]], value: float) -> float:
    """Return the x coordinate of a value in a bar chart in which bin i covers the coordinates from i - 0.5 to i + 0.5.

    A value below all bins is placed at the left end of the chart. A value above all bins, or in a last bin without an
    upper limit, is placed at the right end.
    """
    for index, each in enumerate(bins):
        low, high = each["from"], each["to"]
        if high is not None and low <= value < high:
            return index - 0.5 + (value - low) / (high - low)
    is_below_all = bool(bins) and value < bins[0]["from"]
    return -0.5 if is_below_all else len(bins) - 0.5


def _plot_objects_per_image(ax: Axes, histograms: Mapping[str, Any]) -> None:
    """Plot a histogram of the objects per image and, if there is a plan, of the objects per tile."""
    series = [
        ("images", histograms["objects_per_image"], _BLUE),
        ("tiles", histograms.get("objects_per_tile"), _ORANGE),
    ]
    series = [(name, bins, color) for name, bins, color in series if bins]
    # the two series can have different bins, so the x axis has the lower limits of the bins of both series
    lower_limits = sorted({each["from"] for _, bins, _ in series for each in bins})
    if _mark_if_empty(ax, lower_limits):
        return
    bar_width = 0.9 / len(series)
    for index, (name, bins, color) in enumerate(series):
        counts = {each["from"]: each["count"] for each in bins}
        shift = (index - (len(series) - 1) / 2) * bar_width  # puts the bars of the two series next to each other
        positions = [position + shift for position in range(len(lower_limits))]
        ax.bar(positions, [counts.get(lower, 0) for lower in lower_limits], bar_width, color=color, label=name)
    _label_bins(ax, [{"from": lower} for lower in lower_limits])
    ax.set_xlabel("objects per image or tile (lower limit of the bin)")
    ax.set_ylabel("number")
    if len(series) == 2:
        ax.set_ylim(top=1.2 * ax.get_ylim()[1])
        ax.legend(fontsize=8)


def _plot_anchor_scales(ax: Axes, fits: Sequence[Mapping[str, Any]]) -> None:
    if _mark_if_empty(ax, fits):
        return
    scales = [fit["scale"] for fit in fits]
    ax.plot(scales, [fit["median_iou"] for fit in fits], "o-", color=_BLUE, label="median of the highest IoU")
    ax.plot(scales, [fit["above_half"] for fit in fits], "s--", color=_ORANGE, label="share of objects, IoU >= 0.5")
    ax.set_xscale("log", base=2)
    ax.set_xticks(scales, [f"{scale:g}" for scale in scales], fontsize=8)
    ax.minorticks_off()
    ax.set_ylim(0, 1)
    ax.grid(alpha=0.3)
    ax.set_xlabel("anchor scale (side of a square prior / stride)")
    ax.legend(fontsize=8)


def _label_bins(ax: Axes, bins: Sequence[Mapping[str, Any]]) -> None:
    ax.set_xticks(range(len(bins)), [f"{each['from']:g}" for each in bins], fontsize=8)
    ax.grid(axis="y", alpha=0.3)
    ax.set_axisbelow(True)


def _mark_if_empty(ax: Axes, values: Sequence[Any]) -> bool:
    """Write "none" into the axes if there are no values to plot, and return whether that is the case."""
    if values:
        return False
    ax.set_axis_off()
    mark_empty(ax)
    return True
