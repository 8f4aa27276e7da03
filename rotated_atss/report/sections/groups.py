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
    groups_by_property = {name: groups for name, groups in context.report["groups"].items() if groups}
    note = (
        "AP50 and recall of a group are computed from the objects in the group; all other objects are ignored. Groups "
        "without objects have no values. Values of groups with few objects are uncertain."
    )
    tables = [_group_table(context, name, groups) for name, groups in groups_by_property.items()]
    if not tables:
        tables = [placeholder("No objects.")]
    title = "Object size, shape and density"
    content = element("div", *tables, class_="pair")
    return section(context, "groups", title, element("p", note), content, table="groups")


def _group_table(context: Context, property_name: str, groups: list[dict[str, Any]]) -> Html:
    title = TITLES.get(property_name, property_name)
    unit = (context.report.get("group_units") or {}).get(property_name, "")
    heading = element("h3", title, element("small", f" {unit}") if unit else None)
    columns = [header(label, sort=False) for label in ("AP50", "Recall", "Objects")]
    head = [[header(title, number=False, sort=False), *columns]]
    largest_group = max(group["objects"] for group in groups)
    rows = [_row(context, property_name, group, index, largest_group) for index, group in enumerate(groups)]
    return element("div", heading, table(f"Results by {title.lower()}", head, rows, class_="groups"))


def _row(context: Context, property_name: str, group: dict[str, Any], index: int, largest_group: int) -> Iterator[Html]:
    """Yield the cells of a group of objects.

    Args:
        context: The report and its baseline.
        property_name: Property by which the objects are grouped.
        group: Values of the group, from ``report.json``.
        index: Position of the group in the table.
        largest_group: Number of objects that gives a bar of full length.
    """
    changes = None
    if context.changes:
        changes = context.changes.groups.get(property_name, {}).get((group["from"], group["to"]), {})
    yield row_header(format_interval(group["from"], group["to"]), sort_text=str(index))
    for key, bar_class in (("AP50", ""), ("recall", "second")):
        change = None if changes is None else delta(changes.get(key), "higher")
        yield ratio_cell(group[key], change, bar=True, bar_class=bar_class)
    change = None if changes is None else delta(changes.get("objects"), "", counts=True)
    share = group["objects"] / largest_group if largest_group else 0
    yield count_cell(group["objects"], change, share=share)
