"""Short names for the metrics of an evaluation, such as AP50 for dota/AP50."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


def format_metrics(metrics: dict[str, float]) -> str:
    """Format the metrics of an evaluation in one line, without the metrics of single classes.

    Example:
        >>> format_metrics({"dota/AP50": 0.71234, "dota/AP75": 0.4, "dota/AP50/ship": 0.8})
        'AP50 0.7123  AP75 0.4000'
    """
    parts = [
        f"{short_name} {value:.4f}"
        for (name, value), short_name in zip(metrics.items(), short_names(metrics))
        if name.count("/") < 2  # keeps dota/AP50, and leaves out dota/AP50/ship of a single class
    ]
    return "  ".join(parts)


def short_names(metrics: dict[str, Value]) -> dict[str, Value]:
    """Remove the first part of the name of each metric.

    If two metrics would then have the same name, all names remain unchanged.

    Example:
        >>> short_names({"dota/AP50": 0.7})
        {'AP50': 0.7}
        >>> short_names({"a/AP50": 0.7, "b/AP50": 0.6})
        {'a/AP50': 0.7, 'b/AP50': 0.6}
    """
    # a name without a slash has no first part to remove
    shortened = {name.partition("/")[2] or name: value for name, value in metrics.items()}
    is_unambiguous = len(shortened) == len(metrics)
    return shortened if is_unambiguous else dict(metrics)
