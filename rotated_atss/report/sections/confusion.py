"""Section on the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rotated_atss.report.html import Html, element
from rotated_atss.report.numbers import format_count, format_lower_limit, format_percent, format_ratio
from rotated_atss.report.sections.context import Context, section
from rotated_atss.report.tables import table

# CSS classes that set the text color of a cell. A cell gets each CSS class whose minimum is lower than the opacity
# (0 to 1) of the cell's shade.
MIN_OPACITIES = {"shaded": 0.0, "strong": 0.65, "full": 0.93}


def confusion_section(context: Context) -> Html:
    """Return the confusion matrix, with radio buttons that switch between counts and shares of the row.

    Example:
        >>> names, matrix = ["ship", "background"], [[3, 1], [2, 0]]
        >>> confusion = {"classes": names, "matrix": matrix, "score_threshold": 0.5, "iou_threshold": 0.5}
        >>> "missed objects of ship: 1, 25.0 % of the row" in confusion_section(Context({"confusion": confusion}))
        True
    """
    confusion = context.report["confusion"]
    names, matrix = confusion["classes"], confusion["matrix"]  # the last name, row and column are the background
    score = format_lower_limit("score", confusion["score_threshold"])
    iou = context.iou_limit(confusion["iou_threshold"])
    note = (
        f"Rows are the classes of objects, columns the classes of detections, at {score} and {iou}. The last column "
        "contains the missed objects, the last row the detections without an object. Darker cells have a larger share "
        "of their row."
    )
    rows = [_row(names, index, values) for index, values in enumerate(matrix)]
    return section(
        context, "confusion", "Confusion matrix", element("p", note), *_switch(),
        table("Confusion matrix", _head(names), rows, class_="matrix"), table="confusion",
    )  # fmt: skip


def _switch() -> Iterator[Html]:
    """Yield the radio buttons and their labels.

    The radio buttons precede the table, so that CSS alone can select the numbers in the table.
    """
    for name, text, checked in (("counts", "Counts", True), ("shares", "Share of row, %", False)):
        id_ = f"confusion-{name}"
        yield element("input", type="radio", name="confusion", id=id_, checked=checked, class_="switch")
        yield element("label", text, for_=id_)


def _head(names: Sequence[str]) -> list[list[Html]]:
    corner = element("td", "detection →", element("br"), "object ↓", class_="corner")
    columns = [
        element("th", element("span", name), scope="col", title=name, class_=_background(names, index))
        for index, name in enumerate(names)
    ]
    return [[corner, *columns, element("th", element("span", "sum"), scope="col", class_="sum")]]


def _row(names: Sequence[str], index: int, values: Sequence[int]) -> Iterator[Html]:
    yield element("th", names[index], scope="row", title=names[index], class_=_background(names, index))
    total = sum(values)
    for column, value in enumerate(values):
        yield _cell(names, index, column, value, total)
    yield element("td", format_count(total), class_="sum")


def _cell(names: Sequence[str], row: int, column: int, value: int, total: int) -> Html:
    if value == 0:
        return element("td", "·", class_="zero diagonal" if row == column else "zero")
    share = value / total
    opacity = share**0.6  # an exponent below 1 makes shares of a few percent visible: 0.02 becomes 0.1
    css_classes = ["diagonal"] if row == column else []
    css_classes += [name for name, min_opacity in MIN_OPACITIES.items() if opacity > min_opacity]
    # The cell contains both numbers. report.css shows the one that is selected with the radio buttons of _switch.
    return element(
        "td",
        element("span", format_count(value), class_="n"),
        element("span", format_ratio(100 * share, 1), class_="p"),
        class_=" ".join(css_classes),
        style=f"--opacity:{opacity:.2f}",
        title=_title(names, row, column, value, share),
    )


def _title(names: Sequence[str], row: int, column: int, value: int, share: float) -> str:
    background = len(names) - 1
    if row == background:
        what = f"detections of {names[column]} without an object"
    elif column == background:
        what = f"missed objects of {names[row]}"
    else:
        what = f"objects of {names[row]} detected as {names[column]}"
    return f"{what}: {format_count(value)}, {format_percent(share)} of the row"


def _background(names: Sequence[str], index: int) -> str | None:
    """Return the CSS class of the header of a row or column: "background" for the last one, None for the others."""
    return "background" if index == len(names) - 1 else None
