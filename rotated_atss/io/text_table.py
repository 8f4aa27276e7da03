"""Format tables as text: with aligned columns for people, or as CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_SEPARATOR = "  "  # the text between two columns
_INDENT = "  "
_ELLIPSIS = "..."


def align_columns(rows: Sequence[Sequence[str]], *, numeric: bool = True) -> list[str]:
    r"""Return rows as lines with aligned columns, without trailing spaces.

    Args:
        rows: Cells. All rows must have the same number of cells.
        numeric: Right-align all columns except the first, which is always left-aligned. False left-aligns all columns.

    Example:
        >>> print(*align_columns([("class", "objects"), ("ship", "7")]), sep="\n")
        class  objects
        ship         7
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    align = str.rjust if numeric else str.ljust
    lines = []
    for row in rows:
        cells = row[0].ljust(widths[0]), *map(align, row[1:], widths[1:])
        lines.append(_SEPARATOR.join(cells).rstrip())
    return lines


def fit_columns(rows: Sequence[Sequence[str]], width: int | None, *, numeric: bool = True) -> list[str]:
    r"""Return rows as lines with aligned columns. If a line would be too long, divide each row among several lines.

    - A table of numbers: cells of the first column are cut to half the width, and other cells to the width that the
      first column leaves. Columns that do not fit beside the first columns follow in another table below. Each table
      begins with the first column.
    - A table of text: each row gets two lines. The first line contains the first cell, the second line contains the
      other cells, indented. Cells that are still too long are cut.

    Cells that are cut end in ``...``.

    Args:
        rows: Cells. All rows must have the same number of cells.
        width: Maximum number of characters per line; None sets no limit.
        numeric: Whether this is a table of numbers, with right-aligned columns (:func:`align_columns`).

    Example:
        >>> rows = [("name", "objects", "share"), ("large-vehicle", "7", "5%")]
        >>> print(*fit_columns(rows, 20), sep="\n")
        name        objects
        large-v...        7
        <BLANKLINE>
        name        share
        large-v...     5%
        >>> print(*fit_columns(rows, 20, numeric=False), sep="\n")
        name
          objects  share
        large-vehicle
          7        5%
    """
    lines = align_columns(rows, numeric=numeric)
    if width is None or max(map(len, lines), default=0) <= width:
        return lines
    if len(rows[0]) == 1:
        return [_cut(row[0], width) for row in rows]
    return _stack_columns(rows, width) if numeric else _break_rows(rows, width)


def _stack_columns(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Divide the columns among several tables that all begin with the first column; cut cells that are too long."""
    first_cells, *other_columns = zip(*rows)
    first = [_cut(cell, width // 2) for cell in first_cells]
    other_width = width - max(map(len, first)) - len(_SEPARATOR)
    tables: list[list[list[str]]] = []  # the columns of each table
    free_width = 0  # number of characters per line that are left in the last table
    for cells in other_columns:
        column = [_cut(cell, other_width) for cell in cells]
        column_width = len(_SEPARATOR) + max(map(len, column))
        if not tables or column_width > free_width:
            tables.append([first])
            free_width = width - max(map(len, first))
        tables[-1].append(column)
        free_width -= column_width
    lines: list[str] = []
    for table in tables:
        if lines:
            lines.append("")  # An empty line separates two tables.
        lines += align_columns(list(zip(*table)))
    return lines


def _break_rows(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Write the first cell of a row on one line, and the other cells, indented, on the next line.

    If the second line is too long, the cells of its widest column are cut.
    """
    columns = list(zip(*(row[1:] for row in rows)))
    widths = [max(map(len, column)) for column in columns]
    line_width = len(_INDENT) + sum(widths) + len(_SEPARATOR) * (len(widths) - 1)
    excess = line_width - width
    if excess > 0:
        widest = widths.index(max(widths))
        columns[widest] = tuple(_cut(cell, widths[widest] - excess) for cell in columns[widest])
    lines = []
    for row, other_cells in zip(rows, align_columns(list(zip(*columns)), numeric=False)):
        lines += [_cut(row[0], width), f"{_INDENT}{other_cells}".rstrip()]
    return lines


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    kept_length = max(0, length - len(_ELLIPSIS))
    return text[:kept_length] + _ELLIPSIS


def format_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""Return a table as CSV.

    Args:
        header: Names of the columns.
        rows: The values of each row. None becomes an empty field.

    Example:
        >>> format_csv(["class", "AP50"], [("ship", 0.5), ("plane", None)])
        'class,AP50\nship,0.5\nplane,\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
