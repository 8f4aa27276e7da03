"""Build the tables of the report page and their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rotated_atss.report.html import Content, Html, element, render
from rotated_atss.report.numbers import UNDEFINED, format_count, format_ratio, format_signed_count, format_signed_ratio

Better = Literal["higher", "lower", ""]
"""Whether higher or lower values are better; empty if neither is."""


def ratio_cell(
    value: float | None, change: Html | None = None, *, bar: bool = False, bar_class: str = "", scale: float = 1.0
) -> Html:
    """Return the table cell of a ratio.

    Args:
        value: The ratio in [0, 1]; None if it is undefined.
        change: Difference from the baseline, from :func:`delta`.
        bar: Whether to draw a bar of proportional length below the number.
        bar_class: CSS class in ``report.css`` that sets the color of the bar; empty for the default color.
        scale: The value at which the bar has its full length.

    Example:
        >>> ratio_cell(0.5)
        '<td class="number" data-sort="0.5">0.500</td>'
    """
    bar_html = None
    if bar:
        bar_length = (value or 0) / scale if scale else 0
        bar_html = ratio_bar(bar_length, bar_class)
    class_ = "number barred" if bar else "number"
    return element("td", format_ratio(value), change, bar_html, class_=class_, data_sort="" if value is None else value)


def count_cell(value: float | None, change: Html | None = None, *, share: float | None = None) -> Html:
    """Return the table cell of a count.

    Args:
        value: The count; None if it is undefined.
        change: Difference from the baseline, from :func:`delta`.
        share: Length in [0, 1] of a bar below the number; None for no bar.

    Example:
        >>> count_cell(1200)
        '<td class="number" data-sort="1200">1,200</td>'
    """
    bar_html = None if share is None else ratio_bar(share, "quiet")
    class_ = "number" if share is None else "number barred"
    return element("td", format_count(value), change, bar_html, class_=class_, data_sort="" if value is None else value)


def ratio_bar(value: float | None, bar_class: str = "") -> Html:
    """Return a horizontal bar whose length is a ratio in [0, 1].

    Example:
        >>> ratio_bar(0.25)
        '<span class="bar"><span style="width:25.0%"></span></span>'
    """
    width = 100 * min(1.0, max(0.0, value or 0.0))
    return element("span", element("span", style=f"width:{width:.1f}%"), class_=f"bar {bar_class}".strip())


def delta(value: float | None, better: Better, *, counts: bool = False, alone: bool = False) -> Html:
    """Return a difference from the baseline, colored as an improvement or a deterioration.

    Args:
        value: New value minus the value of the baseline; None gives an empty string.
        better: Whether higher or lower values are better.
        counts: Whether the values are counts instead of ratios.
        alone: Whether the cell contains nothing else. If False, the difference is shown smaller, below the new value.

    Example:
        >>> delta(0.02, "higher")
        '<span class="delta better">+0.020</span>'
        >>> delta(3, "lower", counts=True)
        '<span class="delta worse">+3</span>'
    """
    if value is None:
        return Html("")
    text = format_signed_count(value) if counts else format_signed_ratio(value)
    state = ""
    if better and not text.startswith("±"):  # the text starts with ± if the difference rounds to zero
        state = "better" if (value > 0) == (better == "higher") else "worse"
    css_classes = ["delta", state, "alone" if alone else ""]
    return element("span", text, class_=" ".join(filter(None, css_classes)))


def header(text: Content, *, number: bool = True, sort: bool = True) -> Html:
    """Return the header of a column.

    Args:
        text: Content of the header.
        number: Whether the column has numbers, which are right-aligned.
        sort: Whether ``report.js`` turns the header into a button that sorts the rows.

    Example:
        >>> header("AP50")
        '<th scope="col" class="number" data-sortable>AP50</th>'
    """
    return element("th", text, scope="col", class_="number" if number else None, data_sortable=sort)


def row_header(text: Content, *, sort_text: str | None = None) -> Html:
    """Return the header of a row; ``report.js`` sorts the rows by ``sort_text``.

    Example:
        >>> row_header("ship", sort_text="ship")
        '<th scope="row" data-sort="ship">ship</th>'
    """
    return element("th", text, scope="row", data_sort=sort_text)


def table(caption: str, head: Sequence[Iterable[Html]], rows: Iterable[Iterable[Html]], *, class_: str = "") -> Html:
    """Return a table that scrolls horizontally if it is wider than the page.

    Args:
        caption: Description of the table for screen readers.
        head: Rows of header cells.
        rows: Rows of cells.
        class_: CSS classes of the table.

    Example:
        >>> html = table("AP per class", [[header("Class")]], [[row_header("ship")]])
        >>> "<caption>AP per class</caption>" in html
        True
    """
    body = element(
        "table",
        element("caption", caption),
        element("thead", [[Html("\n"), element("tr", *cells)] for cells in head]),
        element("tbody", [[Html("\n"), element("tr", *cells)] for cells in rows]),
        class_=class_ or None,
    )
    return element("div", body, class_="scroll", tabindex="0", role="region", aria_label=caption)


def description_list(pairs: Iterable[tuple[str, Content]], class_: str) -> Html:
    """Return names with their values as a description list (``dl``).

    Example:
        >>> description_list([("AP50", "0.5")], "figures")
        '<dl class="figures"><div><dt>AP50</dt><dd>0.5</dd></div></dl>'
    """
    return element(
        "dl", [element("div", element("dt", name), element("dd", value)) for name, value in pairs], class_=class_
    )


def placeholder(text: str) -> Html:
    """Return a paragraph, such as "No detections.", to show instead of a table or chart that would be empty.

    Example:
        >>> placeholder("No detections.").endswith(" No detections.</p>")
        True
    """
    return render(element("p", f"{UNDEFINED} {text}", class_="empty"))
