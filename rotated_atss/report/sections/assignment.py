"""Section on label assignment: the positives per object in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rotated_atss.report.html import Html, element
from rotated_atss.report.numbers import format_count, format_interval, format_ratio
from rotated_atss.report.sections.context import Context, section
from rotated_atss.report.tables import count_cell, header, ratio_cell, row_header, table

# Each row: field of report.json, title of the table, and the property (with its unit) by which objects are grouped.
GROUPINGS = (
    ("by_size", "Positives by size", "square root of the box area, px"),
    ("by_aspect", "Positives by aspect ratio", "long side / short side"),
    ("by_angle", "Positives by angle", "direction of the long side, degrees"),
)


def assignment_section(context: Context) -> Html:
    """Return the tables of ``assignment-stats``: positives per object, for all objects and per group of objects.

    Example:
        >>> atss = {"positives": 10, "positives_per_object": 2.5, "deviation": 1.0, "without": 1}
        >>> report = {"assignment": {"objects": 4, "assigners": {"atss": atss}}}
        >>> "2.50" in assignment_section(Context(report))
        True
    """
    assignment = context.report["assignment"]
    note = (
        f"Positive samples that {format_count(assignment['objects'])} ground-truth boxes get in training, counted by "
        'assignment-stats. "Deviation" is the standard deviation of the positives per object; "without" means without '
        "a positive sample."
    )
    names = ("Per object", "Deviation", "Objects without", "Positives")
    head = [[header("Assigner", number=False), *map(header, names)]]
    rows = [_assigner_row(name, values) for name, values in assignment["assigners"].items()]
    group_tables = [
        _group_table(name, values[key], title, property_name)
        for key, title, property_name in GROUPINGS
        for name, values in assignment["assigners"].items()  # this loop is inside, to show the assigners side by side
        if values.get(key)
    ]
    return section(
        context, "assignment", "Label assignment", element("p", note), table("Positives per assigner", head, rows),
        element("div", *group_tables, class_="pair"),
    )  # fmt: skip


def _assigner_row(name: str, values: dict[str, Any]) -> Iterator[Html]:
    yield row_header(name, sort_text=name)
    yield _number_cell(values["positives_per_object"])
    yield _number_cell(values["deviation"])
    yield count_cell(values["without"])
    yield count_cell(values["positives"])


def _group_table(assigner: str, groups: list[dict[str, Any]], title: str, property_name: str) -> Html:
    """Return the table of an assigner whose rows are groups of objects.

    Args:
        assigner: Name of the assigner.
        groups: Values of the groups, from ``report.json``.
        title: Title of the table.
        property_name: Property by which the objects are grouped.
    """
    names = ("Per object", "Share without", "Objects")
    head = [[header(property_name, number=False, sort=False), *map(header, names)]]
    largest_group = max(group["objects"] for group in groups)
    rows = [_group_row(group, largest_group) for group in groups]
    heading = element("h3", title, element("small", f" {assigner}"))
    return element("div", heading, table(f"{title}, {assigner}", head, rows))


def _group_row(group: dict[str, Any], largest_group: int) -> Iterator[Html]:
    """Yield the cells of a group; ``largest_group`` is the number of objects that gives a bar of full length."""
    yield row_header(format_interval(group["from"], group["to"]))
    yield _number_cell(group["positives_per_object"])
    yield ratio_cell(group["without"] / max(1, group["objects"]), bar=True)
    yield count_cell(group["objects"], share=group["objects"] / max(1, largest_group))


def _number_cell(value: float | None) -> Html:
    return element("td", format_ratio(value, 2), class_="number", data_sort="" if value is None else value)
