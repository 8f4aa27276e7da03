"""Format the report of :func:`rotated_atss.analysis.positive_counts.summarize` as text tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


def format_report(report: dict[str, Any]) -> str:
    """Format a report as text tables with one column per assigner.

    Args:
        report: Report of :func:`rotated_atss.analysis.positive_counts.summarize`.

    Example:
        >>> import torch
        >>> from rotated_atss.analysis.positive_counts import BoxShapes, PositiveCounts, summarize
        >>> from rotated_atss.analysis.positive_tables import format_report
        >>> shapes, counts = BoxShapes(oriented=False), PositiveCounts(strides=[8])
        >>> shapes.add(torch.tensor([[0.0, 0, 32, 8]]))
        >>> counts.add(torch.tensor([0, 0, -1]), level_sizes=[3], num_gts=1)
        >>> format_report(summarize(shapes, {"atss": counts})).splitlines()[1].split()
        ['positives', 'per', 'box', '2.00']
    """
    summaries = report["assigners"]  # keyed by the name of the assigner
    lines = [_row("", summaries)]
    lines.append(_row("positives per box", summaries, lambda summary: _number(summary["positives_per_object"])))
    if any(summary["expected_per_object"] is not None for summary in summaries.values()):
        # the paper expects 0.2 k L positives for k candidates on each of L levels
        lines.append(_row("  the paper's 0.2 k L", summaries, lambda summary: _number(summary["expected_per_object"])))
        # These candidates reach the IoU threshold; some of them then fail the center test.
        lines.append(
            _row("  before the center test", summaries, lambda summary: _number(summary["above_threshold_per_object"]))
        )
    lines.append(_row("  standard deviation", summaries, lambda summary: _number(summary["deviation"])))

    def without_positives(summary: dict[str, Any]) -> str:
        return f"{summary['without']} ({_percent(summary['without'], report['objects'])})"

    lines.append(_row("boxes without positives", summaries, without_positives))
    for name, title in (("size", "square root of area, px"), ("aspect", "long / short side"), ("angle", "angle, deg")):
        lines += _group_rows(summaries, f"by_{name}", title)
    lines += ["", _row("positives per level", summaries)]
    for stride in next(iter(summaries.values()))["by_level"]:
        lines.append(_row(f"  stride {stride}", summaries, partial(_level_cell, stride)))
    return "\n".join(lines)


def _group_rows(summaries: dict[str, dict], key: str, title: str) -> list[str]:
    groups = next(iter(summaries.values())).get(key)  # intervals and numbers of boxes are the same for all assigners
    if not groups:
        return []
    # each cell has two values: mean number of positives, and share of the boxes without positives
    lines = ["", _row(title, summaries, lambda summary: "mean  none", boxes="boxes")]
    for index, group in enumerate(groups):
        label = f"  from {group['from']}"
        if group["to"] is not None:
            label = f"  {group['from']} to {group['to']}"
        lines.append(_row(label, summaries, partial(_group_cell, key, index), boxes=str(group["objects"])))
    return lines


def _row(label: str, summaries: dict[str, dict], cell: Callable[[dict], str] | None = None, boxes: str = "") -> str:
    """Format a row: a label, the number of boxes, and one cell per assigner. Without ``cell``, it is the name."""
    cells = [name if cell is None else cell(summary) for name, summary in summaries.items()]
    return f"{label:<26}{boxes:>9}" + "".join(f"{text:>20}" for text in cells)


def _group_cell(key: str, index: int, summary: dict[str, Any]) -> str:
    group = summary[key][index]
    return f"{_number(group['positives_per_object'])} {_percent(group['without'], group['objects']):>5}"


def _level_cell(stride: str, summary: dict[str, Any]) -> str:
    count = summary["by_level"][stride]
    return f"{count} ({_percent(count, summary['positives'])})"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
