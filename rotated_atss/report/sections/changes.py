"""Section on the changes compared with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rotated_atss.errors import count_of
from rotated_atss.report.comparison import Changes, Comparison, largest_changes
from rotated_atss.report.html import Html, element
from rotated_atss.report.numbers import MINUS, format_ratio
from rotated_atss.report.sections.context import Context, section
from rotated_atss.report.tables import delta, header, placeholder, row_header, table

# A table shows at most MAX_SHOWN rows, and a line of the warnings at most MAX_SHOWN names.
MAX_SHOWN = 10


def changes_section(context: Context) -> Html:
    """Return the classes and images that changed most, and warnings if settings, classes or images differ."""
    comparison = context.changes
    assert comparison is not None  # the page has this section only with a baseline
    note = (
        f"Every difference in this report is the value of this run {MINUS} the value of the baseline. No difference is "
        "shown if either value is undefined."
    )
    tables = [
        _table(context, "Classes", comparison.classes, field="AP50", label="AP50", sign=1),
        _table(context, "Classes", comparison.classes, field="AP50", label="AP50", sign=-1),
        _table(context, "Images", comparison.images, field="f1", label="F1", sign=1),
        _table(context, "Images", comparison.images, field="f1", label="F1", sign=-1),
    ]
    return section(
        context, "changes", "Changes", element("p", note), _settings_warning(comparison), _names_warning(comparison),
        element("div", *tables, class_="pair"),
    )  # fmt: skip


def _settings_warning(comparison: Comparison) -> Html | None:
    """Return a warning with the settings that differ; None if all are equal."""
    if not comparison.different_settings:
        return None
    items = [
        element("li", f"{name.replace('_', ' ')}: {_format_setting(new)}, baseline {_format_setting(old)}")
        for name, new, old in comparison.different_settings
    ]
    return element(
        "div", element("p", "The runs were evaluated with different settings:"), element("ul", items), class_="notice"
    )


def _names_warning(comparison: Comparison) -> Html | None:
    """Return a warning that lists the classes and images of only one run; None if both runs have the same ones."""
    items = []
    for run, only_in_run in (("this run", comparison.only_new), ("the baseline", comparison.only_baseline)):
        for names, noun in ((only_in_run["classes"], "class"), (only_in_run["images"], "image")):
            if names:
                shown_names = ", ".join(names[:MAX_SHOWN])
                ellipsis = ", …" if len(names) > MAX_SHOWN else ""
                items.append(element("li", f"{count_of(len(names), noun)} only in {run}: {shown_names}{ellipsis}"))
    return element("ul", items, class_="notice") if items else None


def _table(context: Context, title: str, changes: Mapping[str, Changes], *, field: str, label: str, sign: int) -> Html:
    """Return the table of the largest increases or the largest decreases of a field.

    Args:
        context: The report and its links.
        title: ``Classes`` or ``Images``.
        changes: Differences by field, for each class name or image id.
        field: Field of ``report.json``.
        label: Name of the field as the page shows it.
        sign: 1 for increases, -1 for decreases.
    """
    keys = largest_changes(changes, field, MAX_SHOWN, sign=sign)
    heading = element("h3", f"{title}: {label} {'increased' if sign > 0 else 'decreased'}")
    if not keys:
        return element("div", heading, placeholder(f"No {title.lower()}."))
    values = _rows_by_key(context, title)
    head = [
        [
            header("Class" if title == "Classes" else "Image", number=False),
            header("Baseline"),
            header("New"),
            header("Change"),
        ]
    ]
    rows = [[_name_cell(context, title, key), *_value_cells(values[key], changes[key], field)] for key in keys]
    return element("div", heading, table(f"{title} whose {label} changed most", head, rows))


def _rows_by_key(context: Context, title: str) -> dict[str, Any]:
    """Return the entries of ``classes`` or ``images`` in ``report.json`` by class name or image id."""
    list_field, key_field = ("classes", "name") if title == "Classes" else ("images", "image")
    return {row[key_field]: row for row in context.report[list_field]}


def _name_cell(context: Context, title: str, key: str) -> Html:
    return row_header(context.link(key) if title == "Images" else key, sort_text=key)


def _value_cells(values: Mapping[str, Any], changes: Changes, field: str) -> Sequence[Html]:
    """Return the cells of the value in the baseline, the value in this run, and the difference."""
    change = changes[field]
    assert change is not None  # largest_changes omits rows without a change
    new = values[field]
    old = new - change  # the context has the differences, but not the rows of the baseline
    change_html = delta(change, better="higher", alone=True)  # alone: the cell contains nothing else
    return [
        element("td", format_ratio(old), class_="number", data_sort=old),
        element("td", format_ratio(new), class_="number", data_sort=new),
        element("td", change_html, class_="number", data_sort=change),
    ]


def _format_setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
