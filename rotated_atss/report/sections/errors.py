"""Section on the kinds of errors and the AP that each kind costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rotated_atss.report.html import Html, element
from rotated_atss.report.sections.context import Context, section
from rotated_atss.report.tables import count_cell, delta, header, ratio_cell, row_header, table

# The error kinds of TIDE (arXiv 2008.08115), and angle errors for oriented boxes.
MEANINGS = {
    "classification": "The box matches an object of another class.",
    "localization": "The class is right; the IoU is at least 0.1 but below the threshold.",
    "angle": "As for localization errors, but the box would match if it had the angle of the object.",
    "duplicate": "A detection with a higher score is matched to the same object.",
    "background": "None of the above: the IoU with objects of the same class is below 0.1, and the IoU with objects of "
    "other classes is below the threshold.",
    "missed": "False negatives that none of the errors above explains.",
}


def errors_section(context: Context) -> Html:
    """Return the number of errors of each kind and their cost in AP50, for all classes together and per class."""
    note = (
        f"Errors are counted at {context.at_thresholds}. The cost of a kind of error is the increase of AP50 if all "
        "errors of this kind were corrected. AP50 also counts detections below the score threshold. Costs of several "
        "kinds do not add up."
    )
    errors, kinds = context.report["errors"], _shown_kinds(context)
    max_count = max((errors["all"][kind]["count"] for kind in kinds), default=0)
    max_cost = max((errors["all"][kind]["ap50_cost"] or 0 for kind in kinds), default=0)
    rows = [_kind_row(context, kind, max_count, max_cost) for kind in kinds]
    head = [[header("Kind", number=False), header("AP50 cost"), header("Errors")]]
    details = element(
        "details",
        element("summary", "Error kinds per class"),
        table("Error kinds per class: AP50 cost and number of errors", _class_head(kinds), _class_rows(context, kinds)),
    )
    overview = table("Error kinds of all classes", head, rows, class_="kinds")
    return section(context, "errors", "Errors", element("p", note), overview, details, table="errors")


def _shown_kinds(context: Context) -> list[str]:
    """Return the kinds of errors that the section shows, without angle errors if the boxes are horizontal."""
    kinds: list[str] = context.report["errors"]["kinds"]
    if context.report["kind"] == "oriented":
        return kinds
    return [kind for kind in kinds if kind != "angle"]


def _kind_row(context: Context, kind: str, max_count: int, max_cost: float) -> Iterator[Html]:
    values = context.report["errors"]["all"][kind]
    changes = context.changes.errors.get(kind) if context.changes else None
    cost_change = delta(changes["ap50_cost"], "lower") if changes else None
    count_change = delta(changes["count"], "lower", counts=True) if changes else None
    meaning = element("small", MEANINGS[kind]) if kind in MEANINGS else None
    yield row_header([kind, " ", meaning], sort_text=kind)
    yield ratio_cell(values["ap50_cost"], cost_change, bar=True, scale=max_cost)
    share = values["count"] / max_count if max_count else 0
    yield count_cell(values["count"], count_change, share=share)


def _class_head(kinds: list[str]) -> list[list[Html]]:
    kind_headers = (element("th", kind, scope="colgroup", colspan=2, class_="group") for kind in kinds)
    columns = [header("Class", number=False)]
    for _ in kinds:
        columns += [header("Cost"), header("Errors")]
    return [[element("td"), *kind_headers], columns]


def _class_rows(context: Context, kinds: list[str]) -> Iterator[list[Html]]:
    errors = context.report["errors"]
    for name, values in errors["classes"].items():
        changes = context.changes.class_errors.get(name, {}) if context.changes else None
        cells = [row_header(name, sort_text=name)]
        for kind in kinds:
            kind_changes = None if changes is None else changes.get(kind, {})
            cells += _class_cells(values.get(kind), kind_changes)
        yield cells


def _class_cells(values: dict[str, Any] | None, changes: dict[str, Any] | None) -> tuple[Html, Html]:
    """Return the cells of the cost and the count of one kind of error in one class.

    Args:
        values: The cost and the count; None if the report has no values of this kind for the class.
        changes: Differences of the cost and the count from the baseline; None without a baseline.
    """
    values = values or {"count": None, "ap50_cost": None}
    if changes is None:
        return ratio_cell(values["ap50_cost"]), count_cell(values["count"])
    return (
        ratio_cell(values["ap50_cost"], delta(changes.get("ap50_cost"), "lower")),
        count_cell(values["count"], delta(changes.get("count"), "lower", counts=True)),
    )
