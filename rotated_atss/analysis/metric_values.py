"""Short names for the metrics of an evaluation, such as AP50 for dota/AP50."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


def format_metrics(metrics: dict[str, float]) -> str:
    """Format the mean values of an evaluation in one line, without the AP of each class.

    Example:
        >>> format_metrics({"dota/AP50": 0.71234, "dota/AP75": 0.4, "dota/AP50/ship": 0.8})
        'AP50 0.7123  AP75 0.4000'
    """
    means = [
        f"{short_name} {value:.4f}"
        for (name, value), short_name in zip(metrics.items(), short_names(metrics))
        if name.count("/") < 2  # dota/AP50, but not dota/AP50/ship
    ]
    return "  ".join(means)


def short_names(metrics: dict[str, Value]) -> dict[str, Value]:
    """Return the metrics with the first part of each name removed, unless two metrics would get the same name.

    Example:
        >>> short_names({"dota/AP50": 0.7}), short_names({"a/AP50": 0.7, "b/AP50": 0.6})
        ({'AP50': 0.7}, {'a/AP50': 0.7, 'b/AP50': 0.6})
    """
    short = {name.partition("/")[2] or name: value for name, value in metrics.items()}
    return short if len(short) == len(metrics) else dict(metrics)
