"""Section on the results of the whole evaluation."""

from __future__ import annotations

from typing import Any

from rotated_atss.report.html import Content, Html, element, render
from rotated_atss.report.numbers import format_count, format_ratio
from rotated_atss.report.sections.context import Context, section
from rotated_atss.report.tables import Better, delta, description_list

# Values of the summary: field of report.json, label, and whether higher or lower values are better.
RATIOS: tuple[tuple[str, str, Better], ...] = (
    ("AP50", "AP50", "higher"),
    ("AP75", "AP75", "higher"),
    ("AP50_95", "AP50:95", "higher"),
    ("f1", "F1", "higher"),
    ("precision", "Precision", "higher"),
    ("recall", "Recall", "higher"),
)
COUNTS: tuple[tuple[str, str, Better], ...] = (
    ("images", "Images", ""),
    ("objects", "Objects", ""),
    ("ignored", "Ignored objects", ""),
    ("detections", "Detections", ""),
    ("tp", "True positives", "higher"),
    ("fp", "False positives", "lower"),
    ("fn", "False negatives", "lower"),
)


def summary_section(context: Context) -> Html:
    """Return AP, precision, recall, F1 and counts of the whole evaluation."""
    summary = context.report["summary"]
    ratios = [(label, _value(context, key, better, format_ratio(summary[key], 4))) for key, label, better in RATIOS]
    counts = [
        (label, _value(context, key, better, format_count(summary[key]), counts=True)) for key, label, better in COUNTS
    ]
    note = (
        "AP is the mean over the classes that have objects. All other values are computed for all classes together. "
        "Precision, recall, F1 and the numbers of detections, true positives, false positives and false negatives are "
        f"given at {context.at_thresholds}."
    )
    return section(
        context,
        "summary",
        "Summary",
        description_list(ratios, "figures"),
        description_list(counts, "counts"),
        element("p", note, _ignored_detections(summary)),
    )


def _ignored_detections(summary: dict[str, Any]) -> str:
    """Return a sentence on the detections that are neither true nor false positives, or an empty text."""
    num_ignored = summary["detections"] - summary["tp"] - summary["fp"]
    if not num_ignored:
        return ""
    verbs = "matches an ignored object and counts" if num_ignored == 1 else "match ignored objects and count"
    return f" {format_count(num_ignored)} of the detections {verbs} as neither true nor false positive."


def _value(context: Context, key: str, better: Better, text: str, *, counts: bool = False) -> Content:
    """Return the text of a value, followed by the difference from the baseline if the report has a baseline."""
    change = delta(context.changes.summary[key], better, counts=counts) if context.changes else None
    return render(text, change)
