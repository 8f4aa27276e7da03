"""What ATSS does for one object: candidates and positives over the image, their IoUs, and Algorithm 1 in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotated_atss.analysis.assignment_text import format_trace
from rotated_atss.analysis.assignment_trace import BELOW_THRESHOLD, CENTER_OUTSIDE, LOST, POSITIVE, AssignmentTrace
from rotated_atss.analysis.plotting import new_figure, to_png
from rotated_atss.errors import count_of
from rotated_atss.io.png import Image
from rotated_atss.visualization.level_style import level_color, level_diameter, plot_outline, plot_points, show_window
from rotated_atss.visualization.text_boxes import ascii_text

_OTHERS = "0.75"
_DIAMETER = 6.5  # points, of the finest level
_COLUMN_INCHES = 7.8
_ROWS_INCHES = (0.6, 7.6, 4.7, 1.75, 0.85)  # title, picture, IoUs, text, legend
# left, right, above and below: of the picture, the IoUs and the text
_MARGINS_INCHES = ((0.45, 0.45, 0.6, 0.1), (0.95, 0.3, 0.3, 0.6), (0.45, 0.1, 0.1, 0.0))
_SIGNS = {CENTER_OUTSIDE: "x", LOST: "+"}  # over the marker of a candidate above the threshold that is not positive
_MEANING = {
    POSITIVE: "filled: positive",
    BELOW_THRESHOLD: "hollow: candidate, IoU below t",
    CENTER_OUTSIDE: "crossed: IoU reaches t, center outside",
    LOST: "plus: lost to another object",
}


@dataclass(frozen=True)
class TracePanel:
    """A trace to plot.

    Attributes:
        title: Title of the panel.
        trace: The trace.
        compared: (4, 2) corners of the box that the assigner compares with the priors: the object's oriented box or its
            circumscribed horizontal box.
        polygon: (4, 2) corners of the object.
        best_prior: (4, 2) corners of the prior of highest IoU; None without candidates.
    """

    title: str
    trace: AssignmentTrace
    compared: NDArray[np.float64]
    polygon: NDArray[np.float64]
    best_prior: NDArray[np.float64] | None = None


def plot_object(
    image_bgr: Image, panels: Sequence[TracePanel], strides: Sequence[int], *, others: Any = (), title: str = ""
) -> bytes:
    """Plot the traces of an object, one column per way of comparing boxes.

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
    height = 1 - 0.45 * _ROWS_INCHES[0] / sum(_ROWS_INCHES)
    figure.text(0.5, height, ascii_text(title), fontsize=15, ha="center", va="center", parse_math=False)
    window = crop_window(panels)
    highest = max([0.1, *(float(panel.trace.iou.max()) for panel in panels if len(panel.trace.iou))])
    for column, panel in enumerate(panels):
        picture, strips, text = _column_axes(figure, column, len(panels))
        plot_candidates(picture, image_bgr, panel, window, others)
        plot_ious(strips, panel.trace, strides, highest)
        text.set_axis_off()
        lines = "\n".join(format_trace(panel.trace, strides))
        text.text(0, 1, lines, family="monospace", fontsize=10, va="top", linespacing=1.35)
    _add_legend(figure, panels, strides)
    return to_png(figure)


def _column_axes(figure: Any, column: int, columns: int) -> list[Any]:
    """Add the axes of a column: picture, IoUs and text."""
    figure_width, figure_height = columns * _COLUMN_INCHES, sum(_ROWS_INCHES)
    top = _ROWS_INCHES[0]
    axes = []
    for inches, (left, right, above, below) in zip(_ROWS_INCHES[1:4], _MARGINS_INCHES):
        x, y = column * _COLUMN_INCHES + left, figure_height - top - inches + below
        width, height = _COLUMN_INCHES - left - right, inches - above - below
        axes.append(figure.add_axes((
            x / figure_width, y / figure_height, width / figure_width, height / figure_height
        )))  # fmt: skip
        top += inches
    return axes


def crop_window(panels: Sequence[TracePanel]) -> tuple[float, float, float, float]:
    """Return the square around an object that shows it and the candidates of the levels with positives.

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
    corners = np.concatenate([panel.compared for panel in panels])
    center = (corners.min(0) + corners.max(0)) / 2
    reach = [16.0, 0.75 * float((corners.max(0) - corners.min(0)).max())]
    for panel in panels:
        trace = panel.trace
        shown = np.isin(trace.level.numpy(), trace.level[trace.is_positive].numpy())
        offsets = np.abs(trace.prior_centers.double().numpy()[shown] - center)
        reach += [float(offsets.max())] if offsets.size else []
    half = 1.08 * max(reach) if max(reach) > 18 else 18.0  # a margin of 8%, and no window below 36 px
    return float(center[0] - half), float(center[1] - half), float(center[0] + half), float(center[1] + half)


def plot_candidates(axis: Any, image_bgr: Image, panel: TracePanel, window: Sequence[float], others: Any = ()) -> None:
    """Plot the image around an object, the object, its candidates (hollow) and its positives (filled).

    Args:
        axis: Axes of matplotlib.
        image_bgr: (H, W, 3) uint8, BGR.
        panel: The trace.
        window: Part of the image, as :func:`crop_window` returns it.
        others: (N, 4, 2) corners of the other objects.

    Example::

        plot_candidates(axis, image, panel, crop_window([panel]))
    """
    show_window(axis, image_bgr, window)
    for polygon in others:
        plot_outline(axis, polygon, color=_OTHERS, width=0.8)
    if not np.allclose(panel.compared, panel.polygon, atol=1e-3):
        plot_outline(axis, panel.polygon, width=1.4, dashed=True)
    plot_outline(axis, panel.compared, width=2.2)
    trace = panel.trace
    xy, levels = trace.prior_centers.double().numpy(), trace.level.numpy()
    if panel.best_prior is not None and len(trace.iou):
        plot_outline(axis, panel.best_prior, color=level_color(int(levels[int(trace.iou.argmax())])), width=1.2)
    outcomes = np.array(trace.outcomes())
    for level in sorted(set(levels.tolist()), reverse=True):  # large markers below small ones
        for outcome in dict.fromkeys(outcomes[levels == level].tolist()):
            _plot_outcome(axis, xy[(levels == level) & (outcomes == outcome)], level, outcome)
    inside = ((xy > window[:2]) & (xy < window[2:])).all(1)
    outside = "" if inside.all() else f"; {count_of(int((~inside).sum()), 'candidate')} outside this picture"
    positives = count_of(int(trace.is_positive.sum()), "positive")
    axis.set_title(f"{panel.title}\n{positives} of {count_of(len(xy), 'candidate')}{outside}", fontsize=12)


def plot_ious(axis: Any, trace: AssignmentTrace, strides: Sequence[int], highest: float = 0.1) -> None:
    """Plot the IoU of every candidate, one row per level, and the threshold.

    Args:
        axis: Axes of matplotlib.
        trace: The trace.
        strides: Stride of each level in pixels.
        highest: The axis reaches at least this IoU.

    Example::

        plot_ious(axis, trace, [8, 16, 32, 64, 128])
    """
    levels, ious, outcomes = trace.level.numpy(), trace.iou.double().numpy(), np.array(trace.outcomes())
    axis.axvline(trace.mean, color="0.55", linewidth=1.2, linestyle=":")
    axis.axvline(trace.threshold, color="black", linewidth=1.6, linestyle="--")
    top = len(strides) - 0.38
    axis.text(trace.mean, top, "mean m ", ha="right", va="bottom", fontsize=11, color="0.4")
    axis.text(trace.threshold, top, f" t = m + v = {trace.threshold:.3f}", ha="left", va="bottom", fontsize=11)
    for level in range(len(strides)):
        rows = np.flatnonzero(levels == level)
        # candidates of one IoU are stacked around the line of their level
        offset = _spread(ious[rows], 0.012 * max(highest, trace.threshold))
        for outcome in dict.fromkeys(outcomes[rows].tolist()):
            chosen = outcomes[rows] == outcome
            _plot_outcome(axis, np.stack((ious[rows], level + offset), 1)[chosen], level, outcome, grows=False)
    axis.set_yticks(range(len(strides)), [f"stride {stride}" for stride in strides])
    axis.set_ylim(-0.6, len(strides) - 0.4)
    axis.set_xlim(-0.02 * highest, 1.12 * max(highest, trace.threshold))
    axis.set_xlabel("IoU of the candidates with the object")
    axis.grid(axis="x", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def _plot_outcome(axis: Any, xy: NDArray[np.float64], level: int, outcome: str, *, grows: bool = True) -> None:
    diameter = _DIAMETER * level_diameter(level) if grows else 5.5
    plot_points(axis, xy, level, diameter, filled=outcome == POSITIVE)
    if outcome in _SIGNS and len(xy):
        axis.plot(
            xy[:, 0], xy[:, 1], _SIGNS[outcome], color="black", markersize=diameter, markeredgewidth=1.6, zorder=6
        )


def _spread(values: NDArray[np.float64], near: float) -> NDArray[np.float64]:
    """Return vertical offsets that separate values closer than ``near``: 0, then alternately above and below."""
    order = np.argsort(values, kind="stable")
    offset, rank = np.zeros(len(values)), 0
    for before, row in zip(order, order[1:]):
        rank = rank + 1 if values[row] - values[before] < near else 0
        offset[row] = 0.11 * ((rank + 1) // 2) * (1 if rank % 2 else -1)
    return np.clip(offset, -0.45, 0.45)


def _add_legend(figure: Any, panels: Sequence[TracePanel], strides: Sequence[int]) -> None:
    from matplotlib.lines import Line2D

    from rotated_atss.visualization.level_style import level_marker

    style: dict[str, Any] = dict(linestyle="none", markersize=9, markeredgecolor="black")
    handles: list[Any] = [
        Line2D([], [], marker=level_marker(level), color=level_color(level), label=f"stride {stride}", **style)
        for level, stride in enumerate(strides)
    ]
    outcomes = {outcome for panel in panels for outcome in panel.trace.outcomes()}
    labels = [handle.get_label() for handle in handles]
    hollow: dict[str, Any] = dict(
        linestyle="none", marker="o", markersize=9, markeredgecolor="black", markeredgewidth=1.2
    )
    for outcome, text in _MEANING.items():
        if outcome in outcomes:
            handle = Line2D([], [], markerfacecolor="0.45" if outcome == POSITIVE else "none", **hollow)
            sign = Line2D([], [], linestyle="none", marker=_SIGNS.get(outcome, ""), markersize=9, color="black")
            handles.append((handle, sign))
            labels.append(text)
    if any(panel.best_prior is not None for panel in panels):
        handles.append(Line2D([], [], color="0.5", linewidth=1.4))
        labels.append("thin outline: prior of the highest IoU")
    columns, size = (5, 10.5) if len(panels) > 1 else (3, 9.5)
    figure.legend(handles, labels, loc="lower center", ncols=columns, fontsize=size, frameon=False)
