"""Plot learning curves of one training, or of several for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rotated_atss.analysis.learning_curves import LearningCurves, LoggedCurve
from rotated_atss.analysis.metric_values import short_names
from rotated_atss.analysis.plotting import COLORS, mark_empty, new_figure, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "learning_curves.png"
"""Name of the file in the work folder of a training."""
MEAN_APS = ("AP", "AP50", "AP75", "AP50_95")
"""Metrics to plot. If a training has none of them, all its metrics are plotted."""
_MAX_MARKERS = 40  # curves with more points have no markers


def plot_learning_curves(runs: Mapping[str, LearningCurves]) -> bytes:
    r"""Plot losses, learning rate and validation results over the iterations.

    For one training, each part of the loss and each mean AP has a curve. For several trainings, the total losses, the
    learning rates and one mean AP are compared, with one curve per training.

    Args:
        runs: Curves by name of the training.

    Returns:
        A PNG file.

    Example:
        >>> curves = LearningCurves(losses={"loss": LoggedCurve([1, 2], [3.0, 2.0])})
        >>> plot_learning_curves({"demo": curves})[:4]  # doctest: +SKIP
        b'\x89PNG'
    """
    figure = new_figure(figsize=(15.6, 4.6), layout="constrained")
    axes = figure.subplots(1, 3)
    if len(runs) == 1:
        ((name, curves),) = runs.items()
        figure.suptitle(name)
        contents = [curves.losses, {"learning rate": curves.lr}, _metrics_to_plot(curves)]
        titles = ["loss", "learning rate", "validation"]
    else:
        losses = {name: curves.losses.get("loss", LoggedCurve()) for name, curves in runs.items()}
        metric, results = _select_compared_metric(runs)
        contents = [losses, {name: curves.lr for name, curves in runs.items()}, results]
        titles = ["loss", "learning rate", f"validation: {metric}"]
    for ax, logged_curves, title in zip(axes, contents, titles):
        _plot_curves(ax, logged_curves, title)
        ax.set_xlim(0, _last_step(runs) * 1.02)
        ax.set_ylim(0, 1 if ax is axes[2] else None)  # the metrics, in the third plot, are at most 1
    return to_png(figure)


def _plot_curves(ax: Axes, logged_curves: Mapping[str, LoggedCurve], title: str) -> None:
    nonempty_curves = {name: curve for name, curve in logged_curves.items() if curve.steps}
    for index, (name, curve) in enumerate(nonempty_curves.items()):
        color = COLORS[index % len(COLORS)]
        marker = "o" if len(curve.steps) <= _MAX_MARKERS else None
        style = "-" if index < len(COLORS) else "--"  # curves with a repeated color are dashed
        ax.plot(curve.steps, curve.values, style, color=color, marker=marker, markersize=3, label=name)
    ax.set_title(title)
    ax.set_xlabel("iteration")
    ax.grid(alpha=0.3)
    if not nonempty_curves:
        mark_empty(ax, "gray")
    elif len(nonempty_curves) > 1:
        ax.legend(frameon=False)


def _last_step(runs: Mapping[str, LearningCurves]) -> int:
    return max((curve.steps[-1] for run in runs.values() for curve in run.losses.values() if curve.steps), default=1)


def _metrics_to_plot(curves: LearningCurves) -> dict[str, LoggedCurve]:
    """Return the curves of the mean APs, or of all metrics if no metric is a mean AP, by name without prefix."""
    by_short_name = short_names(curves.metrics)
    return {name: curve for name, curve in by_short_name.items() if name in MEAN_APS} or by_short_name


def _select_compared_metric(runs: Mapping[str, LearningCurves]) -> tuple[str, dict[str, LoggedCurve]]:
    """Select the metric by which trainings are compared.

    Returns:
        metric: Name of the first metric of the first training that has any; ``none`` if no training has metrics.
        curves: Curve of this metric by name of the training, for the trainings that have it.
    """
    metrics_by_run = {name: _metrics_to_plot(curves) for name, curves in runs.items()}
    metric = next((metric for metrics in metrics_by_run.values() for metric in metrics), "none")
    return metric, {name: metrics[metric] for name, metrics in metrics_by_run.items() if metric in metrics}
