"""Section with the table of classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rotated_atss.report.html import Html, element
from rotated_atss.report.sections.context import Context, section
from rotated_atss.report.tables import Better, count_cell, delta, header, ratio_cell, row_header, table

# Columns of the table, by group. Each column is a field of report.json with its label. The columns in COUNTS also state
# whether higher or lower values are better.
AVERAGE_PRECISION = (("AP50", "AP50"), ("AP75", "AP75"), ("AP50_95", "AP50:95"))
BEST_F1 = (("f1", "F1"), ("precision", "Precision"), ("recall", "Recall"), ("best_score_threshold", "Score"))
COUNTS: tuple[tuple[str, str, Better], ...] = (
    ("tp", "TP", "higher"), ("fp", "FP", "lower"), ("fn", "FN", "lower"), ("detections", "Detections", ""),
)  # fmt: skip
OBJECTS = (("objects", "Objects"), ("ignored", "Ignored"))


def classes_section(context: Context) -> Html:
    """Return the sortable table of AP, highest F1 and counts per class."""
    note = (
        'F1, precision and recall are computed at the score threshold that gives the class its highest F1; "Score" is '
        "this threshold. True positives (TP), false positives (FP), false negatives (FN) and detections are counted "
        f"at {context.at_thresholds}."
    )
    rows = [_row(context, values) for values in context.report["classes"]]
    return section(
        context, "classes", "Classes", element("p", note), table("Results per class", _head(), rows), table="classes"
    )


def _head() -> list[list[Html]]:
    labels = [label for _, label, *_ in (*AVERAGE_PRECISION, *BEST_F1, *COUNTS, *OBJECTS)]
    column_groups = (
        ("", 1),
        ("Average precision", len(AVERAGE_PRECISION)),
        ("At the best F1 of the class", len(BEST_F1)),
        ("At the threshold", len(COUNTS)),
        ("Ground truth", len(OBJECTS)),
    )
    return [
        [
            element("th", text, scope="colgroup", colspan=width, class_="group") if text else element("td")
            for text, width in column_groups
        ],
        [header("Class", number=False), *map(header, labels)],
    ]


def _row(context: Context, values: dict[str, Any]) -> Iterator[Html]:
    changes = None  # without a baseline
    if context.changes:
        changes = context.changes.classes.get(values["name"], {})

    def change(key: str, better: Better, counts: bool = False) -> Html | None:
        return None if changes is None else delta(changes.get(key), better, counts=counts)

    yield row_header(values["name"], sort_text=values["name"])
    for key, _ in AVERAGE_PRECISION:
        yield ratio_cell(values[key], change(key, "higher"), bar=key == "AP50")
    for key, _ in BEST_F1:
        yield ratio_cell(values[key], change(key, "" if key == "best_score_threshold" else "higher"))
    for key, _, better in COUNTS:
        yield count_cell(values[key], change(key, better, counts=True))
    for key, _ in OBJECTS:
        yield count_cell(values[key], change(key, "", counts=True))
