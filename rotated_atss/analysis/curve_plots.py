"""Plot learning curves of one training, or of several for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotated_atss.analysis.learning_curves import Curve, LearningCurves
from rotated_atss.analysis.metric_values import short_names
from rotated_atss.analysis.plotting import COLORS, new_figure, to_png, write_none

PICTURE = "learning_curves.png"  # in the work folder
MEANS = ("AP", "AP50", "AP75", "AP50_95")  # metrics in the plot, as far as a validation has them
_MAX_MARKED = 40  # curves with more points have no markers


def plot_learning_curves(runs: Mapping[str, LearningCurves]) -> bytes:
    r"""Plot losses, learning rate and validation results over the iterations.

    The plot of one training has the parts of its loss and all mean APs; that of several compares the sums of their
    losses and one AP.

    Args:
        runs: Curves by the name of the training.

    Returns:
        A PNG file.

    Example:
        >>> curves = LearningCurves(losses={"loss": Curve([1, 2], [3.0, 2.0])})
        >>> plot_learning_curves({"demo": curves})[:4]  # doctest: +SKIP
        b'\x89PNG'
    """
    figure = new_figure(figsize=(15.6, 4.6), layout="constrained")
    axes = figure.subplots(1, 3)
    if len(runs) == 1:
        ((name, curves),) = runs.items()
        figure.suptitle(name)
        groups = [curves.losses, {"learning rate": curves.lr}, _means(curves)]
        titles = ["loss", "learning rate", "validation"]
    else:
        losses = {name: curves.losses.get("loss", Curve()) for name, curves in runs.items()}
        metric, results = _common_metric(runs)
        groups = [losses, {name: curves.lr for name, curves in runs.items()}, results]
        titles = ["loss", "learning rate", f"validation: {metric}"]
    for axis, curves_by_name, title in zip(axes, groups, titles):
        _draw(axis, curves_by_name, title)
        axis.set_xlim(0, _last_step(runs) * 1.02)
        axis.set_ylim(0, 1 if axis is axes[2] else None)
    return to_png(figure)


def _draw(axis: Any, curves: Mapping[str, Curve], title: str) -> None:
    drawn = {name: curve for name, curve in curves.items() if curve.steps}
    for index, (name, curve) in enumerate(drawn.items()):
        color, marker = COLORS[index % len(COLORS)], "o" if len(curve.steps) <= _MAX_MARKED else None
        style = "-" if index < len(COLORS) else "--"
        axis.plot(curve.steps, curve.values, style, color=color, marker=marker, markersize=3, label=name)
    axis.set_title(title)
    axis.set_xlabel("iteration")
    axis.grid(alpha=0.3)
    if not drawn:
        write_none(axis, "gray")
    elif len(drawn) > 1:
        axis.legend(frameon=False)


def _last_step(runs: Mapping[str, LearningCurves]) -> int:
    return max((curve.steps[-1] for run in runs.values() for curve in run.losses.values() if curve.steps), default=1)


def _means(curves: LearningCurves) -> dict[str, Curve]:
    """Return the curves of the mean APs by short name, or those of all metrics if none of them is a mean AP."""
    by_short_name = short_names(curves.metrics)
    return {name: curve for name, curve in by_short_name.items() if name in MEANS} or by_short_name


def _common_metric(runs: Mapping[str, LearningCurves]) -> tuple[str, dict[str, Curve]]:
    """Return the first mean AP that a training has, and its curve of every training that has it."""
    means = {name: _means(curves) for name, curves in runs.items()}
    metric = next((metric for found in means.values() for metric in found), "none")
    return metric, {name: found[metric] for name, found in means.items() if metric in found}
