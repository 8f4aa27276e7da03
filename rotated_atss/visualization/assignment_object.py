"""Plot how ATSS selects the positives of one object: candidates on the image, their IoUs, and the steps in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.analysis.assignment_text import format_trace
from rotated_atss.analysis.assignment_trace import BELOW_THRESHOLD, CENTER_OUTSIDE, LOST, POSITIVE, AssignmentTrace
from rotated_atss.analysis.plotting import new_figure, to_png
from rotated_atss.errors import count_of
from rotated_atss.io.png import Image
from rotated_atss.visualization.level_style import (
    level_color,
    level_diameter,
    level_marker,
    plot_outline,
    plot_points,
    show_window,
)
from rotated_atss.visualization.text_boxes import ascii_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OTHER_OBJECTS_COLOR = "0.75"  # gray outlines; matplotlib reads a number in a string as a gray level
_FINEST_DIAMETER_PT = 6.5  # on the image, diameter of the markers of the finest level in points (1/72 inch)
_IOU_DIAMETER_PT = 5.5  # in the plot of IoUs, diameter of the markers of all levels in points
_COLUMN_INCHES = 7.8  # width of a column, which shows one trace
_ROWS_INCHES = (0.6, 7.6, 4.7, 1.75, 0.85)  # heights of title, picture, IoUs, text, legend, from top to bottom
# One (left, right, above, below) each for the picture, the IoUs and the text. Title and legend need no margins.
_MARGINS_INCHES = ((0.45, 0.45, 0.6, 0.1), (0.95, 0.3, 0.3, 0.6), (0.45, 0.1, 0.1, 0.0))
# These outcomes are candidates whose IoU reaches the threshold but which are not positive. Their signs are drawn over
# the markers.
_SIGNS = {CENTER_OUTSIDE: "x", LOST: "+"}
_MIN_HALF_SIDE_PX = 18.0  # the smallest part of an image that is shown has 36 x 36 px
_LEGEND_LABELS = {  # t is the threshold of the object
    POSITIVE: "filled: positive",
    BELOW_THRESHOLD: "hollow: candidate, IoU below t",
    CENTER_OUTSIDE: "crossed: IoU reaches t, center outside",
    LOST: "plus: lost to another object",
}


@dataclass(frozen=True)
class TracePanel:
    """A trace to plot, with the boxes to draw.

    Attributes:
        title: Title of the panel.
        trace: Trace of the object.
        compared_polygon: (4, 2) corners of the box that the assigner compares with the priors: the oriented box of the
            object, or its circumscribed horizontal box.
        polygon: (4, 2) corners of the oriented box of the object.
        best_prior: (4, 2) corners of the prior with the highest IoU; None without candidates.
    """

    title: str
    trace: AssignmentTrace
    compared_polygon: NDArray[np.float64]
    polygon: NDArray[np.float64]
    best_prior: NDArray[np.float64] | None = None


def plot_object(
    image_bgr: Image, panels: Sequence[TracePanel], strides: Sequence[int], *, others: Any = (), title: str = ""
) -> bytes:
    """Plot the traces of an object in columns, for example one for oriented and one for horizontal boxes.

    Args:
        image_bgr: (H, W, 3) uint8, BGR, at the input size of the network.
        panels: One or two traces of the same object.
        strides: Stride of each level in pixels.
        others: (N, 4, 2) corners of the other objects.
        title: Title of the figure.

    Returns:
        A PNG file.

    Example::

        plot_object(image, [TracePanel("obb", trace, polygon, polygon)], [8, 16, 32, 64, 128])
    """
    figure = new_figure(figsize=(_COLUMN_INCHES * len(panels), sum(_ROWS_INCHES)), dpi=100)
    title_y = 1 - 0.45 * _ROWS_INCHES[0] / sum(_ROWS_INCHES)
    figure.text(0.5, title_y, ascii_text(title), fontsize=15, ha="center", va="center", parse_math=False)
    window = crop_window(panels)
    # All columns get the same range of IoUs, so that they can be compared. It extends at least to 0.1.
    max_iou_per_panel = [float(panel.trace.iou.max()) for panel in panels if len(panel.trace.iou)]
    max_iou = max([0.1, *max_iou_per_panel])
    for column, panel in enumerate(panels):
        picture_ax, iou_ax, text_ax = _add_column(figure, column, len(panels))
        plot_candidates(picture_ax, image_bgr, panel, window, others)
        plot_ious(iou_ax, panel.trace, strides, max_iou)
        text_ax.set_axis_off()
        lines = "\n".join(format_trace(panel.trace, strides))
        text_ax.text(0, 1, lines, family="monospace", fontsize=10, va="top", linespacing=1.35)
    _add_legend(figure, panels, strides)
    return to_png(figure)


def _add_column(figure: Figure, column: int, num_columns: int) -> list[Axes]:
    """Add the axes of a column: picture, IoUs and text."""
    figure_width, figure_height = num_columns * _COLUMN_INCHES, sum(_ROWS_INCHES)
    top = _ROWS_INCHES[0]  # distance from the upper edge of the figure
    axes = []
    for row_height, (left, right, above, below) in zip(_ROWS_INCHES[1:4], _MARGINS_INCHES):
        x, y = column * _COLUMN_INCHES + left, figure_height - top - row_height + below
        width, height = _COLUMN_INCHES - left - right, row_height - above - below
        axes.append(figure.add_axes((
            x / figure_width, y / figure_height, width / figure_width, height / figure_height
        )))  # fmt: skip
        top += row_height
    return axes


def crop_window(panels: Sequence[TracePanel]) -> tuple[float, float, float, float]:
    """Return a square window centered on an object.

    The window contains the object and, on levels with positives, all candidates. Other candidates may be outside.

    Args:
        panels: Traces of the object.

    Returns:
        x_start, y_start, x_stop, y_stop in pixels.

    Example:
        >>> import torch
        >>> from rotated_atss.analysis.assignment_trace import trace_atss
        >>> priors = torch.tensor([[x, 40, 16, 16, 0] for x in (36.0, 44)])
        >>> trace = trace_atss(priors, [2], torch.tensor([[40.0, 40, 20, 10, 0]]), 0)
        >>> box = np.array([[30.0, 35], [50, 35], [50, 45], [30, 45]])
        >>> crop_window([TracePanel("obb", trace, box, box)])
        (22.0, 22.0, 58.0, 58.0)
    """
    corners = np.concatenate([panel.compared_polygon for panel in panels])
    center = (corners.min(0) + corners.max(0)) / 2
    # The reach is half the side of the window in pixels, before the margin. It starts at 0.75 times the longer side of
    # the object, so that the window is at least 1.5 times as large as the object.
    reach = 0.75 * float((corners.max(0) - corners.min(0)).max())
    for panel in panels:
        trace = panel.trace
        on_level_with_positives = np.isin(trace.level.numpy(), trace.level[trace.is_positive].numpy())
        offsets = np.abs(trace.prior_centers.double().numpy()[on_level_with_positives] - center)
        reach = max(reach, float(offsets.max(initial=0)))
    half_side = 1.08 * reach if reach > _MIN_HALF_SIDE_PX else _MIN_HALF_SIDE_PX  # the smallest window has no margin
    start, stop = center - half_side, center + half_side
    return float(start[0]), float(start[1]), float(stop[0]), float(stop[1])


def plot_candidates(ax: Axes, image_bgr: Image, panel: TracePanel, window: Sequence[float], others: Any = ()) -> None:
    """Plot an object on the image with its candidates (hollow) and positives (filled).

    Args:
        ax: Axes of matplotlib.
        image_bgr: (H, W, 3) uint8, BGR.
        panel: Trace and boxes of the object.
        window: Part of the image to show, as returned by :func:`crop_window`.
        others: (N, 4, 2) corners of the other objects.

    Example::

        plot_candidates(ax, image, panel, crop_window([panel]))
    """
    show_window(ax, image_bgr, window)
    for polygon in others:
        plot_outline(ax, polygon, color=_OTHER_OBJECTS_COLOR, width=0.8)
    # If the assigner compares the circumscribed horizontal box, the oriented box is drawn too, with a dashed outline.
    if not np.allclose(panel.compared_polygon, panel.polygon, atol=1e-3):
        plot_outline(ax, panel.polygon, width=1.4, dashed=True)
    plot_outline(ax, panel.compared_polygon, width=2.2)
    trace = panel.trace
    xy, levels = trace.prior_centers.double().numpy(), trace.level.numpy()
    if panel.best_prior is not None and len(trace.iou):
        level_of_best = int(levels[int(trace.iou.argmax())])
        plot_outline(ax, panel.best_prior, color=level_color(level_of_best), width=1.2)
    outcomes = np.array(trace.outcomes())
    for level in sorted(set(levels.tolist()), reverse=True):  # coarse levels first, so that small markers are on top
        for outcome in dict.fromkeys(outcomes[levels == level].tolist()):
            _plot_outcome(ax, xy[(levels == level) & (outcomes == outcome)], level, outcome)
    title = f"{panel.title}\n{count_of(int(trace.is_positive.sum()), 'positive')} of {count_of(len(xy), 'candidate')}"
    is_inside = ((xy > window[:2]) & (xy < window[2:])).all(1)
    if not is_inside.all():
        title += f"; {count_of(int((~is_inside).sum()), 'candidate')} outside this picture"
    ax.set_title(title, fontsize=12)


def plot_ious(ax: Axes, trace: AssignmentTrace, strides: Sequence[int], max_iou: float = 0.1) -> None:
    """Plot the IoU of every candidate, one row per level, and the threshold.

    Args:
        ax: Axes of matplotlib.
        trace: Trace of the object.
        strides: Stride of each level in pixels.
        max_iou: The x axis extends at least to this IoU.

    Example::

        plot_ious(ax, trace, [8, 16, 32, 64, 128])
    """
    levels, ious, outcomes = trace.level.numpy(), trace.iou.double().numpy(), np.array(trace.outcomes())
    ax.axvline(trace.mean, color="0.55", linewidth=1.2, linestyle=":")
    ax.axvline(trace.threshold, color="black", linewidth=1.6, linestyle="--")
    text_y = len(strides) - 0.38  # above the top row, which shows the coarsest level and has y = len(strides) - 1
    ax.text(trace.mean, text_y, "mean m ", ha="right", va="bottom", fontsize=11, color="0.4")
    ax.text(trace.threshold, text_y, f" t = m + v = {trace.threshold:.3f}", ha="left", va="bottom", fontsize=11)
    for level in range(len(strides)):
        on_level = np.flatnonzero(levels == level)
        # Markers of candidates with similar IoUs would hide each other, so they are moved up and down from their row.
        offset = _stack_offsets(ious[on_level], 0.012 * max(max_iou, trace.threshold))
        xy = np.stack((ious[on_level], level + offset), 1)
        for outcome in dict.fromkeys(outcomes[on_level].tolist()):
            _plot_outcome(ax, xy[outcomes[on_level] == outcome], level, outcome, scale_by_level=False)
    ax.set_yticks(range(len(strides)), [f"stride {stride}" for stride in strides])
    ax.set_ylim(-0.6, len(strides) - 0.4)
    ax.set_xlim(-0.02 * max_iou, 1.12 * max(max_iou, trace.threshold))
    ax.set_xlabel("IoU of the candidates with the object")
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


def _plot_outcome(ax: Axes, xy: NDArray[np.float64], level: int, outcome: str, *, scale_by_level: bool = True) -> None:
    """Plot candidates of one level and outcome; coarser levels get larger markers if ``scale_by_level``."""
    diameter = _FINEST_DIAMETER_PT * level_diameter(level) if scale_by_level else _IOU_DIAMETER_PT
    plot_points(ax, xy, level, diameter, filled=outcome == POSITIVE)
    if outcome in _SIGNS and len(xy):
        ax.plot(xy[:, 0], xy[:, 1], _SIGNS[outcome], color="black", markersize=diameter, markeredgewidth=1.6, zorder=6)


def _stack_offsets(values: NDArray[np.float64], min_distance: float) -> NDArray[np.float64]:
    """Return vertical offsets that separate points whose x values are closer than ``min_distance``.

    The first point of a group of close values has the offset 0. The other points of the group are placed alternately
    above and below the first one, further and further away. Offsets are limited to less than half the distance of 1
    between the rows of two levels.
    """
    order = np.argsort(values, kind="stable")
    offsets = np.zeros(len(values))
    rank_in_group = 0
    for previous, index in zip(order, order[1:]):
        is_same_group = values[index] - values[previous] < min_distance
        rank_in_group = rank_in_group + 1 if is_same_group else 0
        sign = 1 if rank_in_group % 2 else -1
        offsets[index] = sign * 0.11 * ((rank_in_group + 1) // 2)
    return np.clip(offsets, -0.45, 0.45)


def _add_legend(figure: Figure, panels: Sequence[TracePanel], strides: Sequence[int]) -> None:
    from matplotlib.lines import Line2D

    style: dict[str, Any] = dict(linestyle="none", markersize=9, markeredgecolor="black")
    handles: list[Any] = [
        Line2D([], [], marker=level_marker(level), color=level_color(level), **style) for level in range(len(strides))
    ]
    labels = [f"stride {stride}" for stride in strides]
    occurring_outcomes = {outcome for panel in panels for outcome in panel.trace.outcomes()}
    for outcome, label in _LEGEND_LABELS.items():
        if outcome in occurring_outcomes:
            face_color = "0.45" if outcome == POSITIVE else "none"
            circle = Line2D([], [], marker="o", markerfacecolor=face_color, markeredgewidth=1.2, **style)
            sign = Line2D([], [], linestyle="none", marker=_SIGNS.get(outcome, ""), markersize=9, color="black")
            handles.append((circle, sign))  # drawn over each other
            labels.append(label)
    if any(panel.best_prior is not None for panel in panels):
        handles.append(Line2D([], [], color="0.5", linewidth=1.4))
        labels.append("thin outline: prior of the highest IoU")
    num_columns, font_size = (5, 10.5) if len(panels) > 1 else (3, 9.5)
    figure.legend(handles, labels, loc="lower center", ncols=num_columns, fontsize=font_size, frameon=False)
