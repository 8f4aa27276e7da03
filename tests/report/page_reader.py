"""Read what a report page shows, with a strict parser of HTML."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import html5lib
import numpy as np

MINUS = "\N{MINUS SIGN}"


def parse_page(path: Path) -> Element:
    """Parse a page; an error of its syntax raises an exception."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    page = parser.parse(path.read_text(encoding="utf-8"))
    for element in page.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]  # without the namespace of SVG
    return page


def text_of(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def find_table(page: Element, caption: str) -> Element:
    (table,) = [table for table in page.iter("table") if text_of(table.find("caption")) == caption]
    return table


def read_table(page: Element, caption: str) -> list[list[str]]:
    """Return the cells of the body of a table, without differences from a baseline."""
    return [[cell_text(cell) for cell in row] for row in find_table(page, caption).find("tbody")]


def read_changes(page: Element, caption: str) -> list[list[str]]:
    """Return the differences from a baseline in the cells of a table; empty where there is none."""
    rows = find_table(page, caption).find("tbody")
    return [["".join(text_of(span) for span in deltas(cell)) for cell in row] for row in rows]


def deltas(cell: Element) -> Iterator[Element]:
    return (span for span in cell.iter("span") if "delta" in span.get("class", "").split())


def cell_text(cell: Element) -> str:
    change = "".join(text_of(span) for span in deltas(cell))
    return text_of(cell).removesuffix(change).strip()


def shown(value: float | str | None, digits: int = 3) -> str:
    """Return how a page shows a value, written independently of the package."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, int):
        return f"{value:,d}".replace("-", MINUS)
    return np.format_float_positional(round(value, digits), min_digits=digits).replace("-", MINUS)


def shown_change(value: float | None) -> str:
    """Return how a page shows a difference, written independently of the package."""
    if value is None:
        return ""
    zero = value == 0 if isinstance(value, int) else abs(value) < 0.0005
    return ("\N{PLUS-MINUS SIGN}" if zero else "+" if value > 0 else MINUS) + shown(abs(value))
