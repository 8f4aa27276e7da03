"""Plot learning curves of one training run, or compare several runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rotated_atss.analysis.learning_curves import LearningCurves, LoggedCurve
from rotated_atss.analysis.metric_values import short_names
from rotated_atss.analysis.plotting import COLORS, mark_empty, new_figure, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "learning_curves.png"
"""Name of the plot's file in the work folder of a training run."""
MEAN_APS = ("AP", "AP50", "AP75", "AP50_95")
"""Metrics to plot. If a training run has none of these metrics, all its metrics are plotted."""
_MAX_MARKERS = 40  # curves with more points have no markers


def plot_learning_curves(runs: Mapping[str, LearningCurves]) -> bytes:
    r"""Plot losses, learning rate and validation results over the iterations.

    For one training run, each term of the loss and each mean AP has a curve. For several runs, the total losses, the
    learning rates and one mean AP are compared, with one curve per run.

    Args:
        runs: Curves of each training run, keyed by the name of the run.

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
        curves_per_plot = [curves.losses, {"learning rate": curves.lr}, _metrics_to_plot(curves)]
        titles = ["loss", "learning rate", "validation"]
    else:
        losses = {name: curves.losses.get("loss", LoggedCurve()) for name, curves in runs.items()}
        metric, results = _select_compared_metric(runs)
        curves_per_plot = [losses, {name: curves.lr for name, curves in runs.items()}, results]
        titles = ["loss", "learning rate", f"validation: {metric}"]
    for ax, logged_curves, title in zip(axes, curves_per_plot, titles):
        _plot_curves(ax, logged_curves, title)
        ax.set_xlim(0, _last_step(runs) * 1.02)
        is_validation = ax is axes[2]
        ax.set_ylim(0, 1 if is_validation else None)  # a metric is at most 1
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
    """Return the curves of the mean APs, keyed by the names without prefix.

    If no metric is a mean AP, the curves of all metrics are returned.
    """
    by_short_name = short_names(curves.metrics)
    mean_aps = {name: curve for name, curve in by_short_name.items() if name in MEAN_APS}
    return mean_aps or by_short_name


def _select_compared_metric(runs: Mapping[str, LearningCurves]) -> tuple[str, dict[str, LoggedCurve]]:
    """Select the metric by which training runs are compared: the first metric of the first run with metrics.

    Returns:
        metric: Name of the metric, or ``none`` if no run has metrics.
        curves: Curves of this metric, keyed by the name of the run. Runs without this metric are left out.
    """
    metrics_by_run = {name: _metrics_to_plot(curves) for name, curves in runs.items()}
    all_names = (name for metrics in metrics_by_run.values() for name in metrics)
    metric = next(all_names, "none")
    return metric, {name: metrics[metric] for name, metrics in metrics_by_run.items() if metric in metrics}
