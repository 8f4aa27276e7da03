"""Section on AP and recall by size, aspect ratio, angle and density."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rotated_atss.report.html import Html, element
from rotated_atss.report.numbers import format_interval
from rotated_atss.report.sections.context import Context, section
from rotated_atss.report.tables import count_cell, delta, header, placeholder, ratio_cell, row_header, table

TITLES = {"size": "Size", "aspect_ratio": "Aspect ratio", "angle_deg": "Angle", "density": "Density"}


def groups_section(context: Context) -> Html:
    """Return a table per property of objects, such as the size: AP50, recall and number of objects per group.

    Example:
        >>> group = {"from": 16, "to": 32, "AP50": 0.5, "recall": 0.75, "objects": 8}
        >>> "16 to 32" in groups_section(Context({"groups": {"size": [group]}}))
        True
    """
    groups = {name: rows for name, rows in context.report["groups"].items() if rows}
    note = (
        "AP50 and recall of the objects in a group; objects in other groups are ignored. Groups without objects have "
        "no values. Values of groups with few objects are uncertain."
    )
    tables = [_group_table(context, name, rows) for name, rows in groups.items()] or [placeholder("No objects.")]
    title = "Object size, shape and density"
    return section(context, "groups", title, element("p", note), element("div", *tables, class_="pair"), table="groups")


def _group_table(context: Context, name: str, rows: list[dict[str, Any]]) -> Html:
    title = TITLES.get(name, name)
    unit = (context.report.get("group_units") or {}).get(name, "")
    caption = element("h3", title, element("small", f" {unit}") if unit else None)
    columns = [header(label, sort=False) for label in ("AP50", "Recall", "Objects")]
    head = [[header(title, number=False, sort=False), *columns]]
    max_objects = max(row["objects"] for row in rows)
    body = [_row(context, name, row, index, max_objects) for index, row in enumerate(rows)]
    return element("div", caption, table(f"Results by {title.lower()}", head, body, class_="groups"))


def _row(context: Context, name: str, row: dict[str, Any], index: int, max_objects: int) -> Iterator[Html]:
    """Yield the cells of a group; ``name`` is the property that defines the groups, ``index`` the group's position."""
    changes = None
    if context.changes:
        changes = context.changes.groups.get(name, {}).get((row["from"], row["to"]), {})
    yield row_header(format_interval(row["from"], row["to"]), sort_text=str(index))
    for key, bar_class in (("AP50", ""), ("recall", "second")):
        change = None if changes is None else delta(changes.get(key), "higher")
        yield ratio_cell(row[key], change, bar=True, bar_class=bar_class)
    change = None if changes is None else delta(changes.get("objects"), "", counts=True)
    yield count_cell(row["objects"], change, share=row["objects"] / max_objects if max_objects else 0)
