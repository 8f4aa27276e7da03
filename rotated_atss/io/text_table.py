"""Tables as text: aligned columns for people, CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_SEPARATOR = "  "  # between columns
_INDENT = "  "
_ELLIPSIS = "..."


def align_columns(rows: Sequence[Sequence[str]], *, numeric: bool = True) -> list[str]:
    r"""Return rows as lines with aligned columns, without trailing spaces.

    Args:
        rows: Cells, the same number in every row.
        numeric: Right-align all columns except the first, as for numbers; otherwise left-align them.

    Example:
        >>> print(*align_columns([("class", "objects"), ("ship", "7")]), sep="\n")
        class  objects
        ship         7
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    align = str.rjust if numeric else str.ljust
    return [_SEPARATOR.join((row[0].ljust(widths[0]), *map(align, row[1:], widths[1:]))).rstrip() for row in rows]


def fit_columns(rows: Sequence[Sequence[str]], width: int | None, *, numeric: bool = True) -> list[str]:
    r"""Return rows as lines with aligned columns, with several lines per row if one would be too long.

    Columns of numbers that do not fit follow in another table below, which repeats the first column; before that, cells
    longer than half the width are cut. In a table of text, the first cell of a row gets its own line, and the other
    cells are indented below it; cells that are still too long are cut. Cut cells end in ``...``.

    Args:
        rows: Cells, the same number in every row.
        width: Maximum number of characters per line; None sets no limit.
        numeric: As for :func:`align_columns`.

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
    return _stack_columns(rows, width) if numeric else _break_rows(rows, width)


def _stack_columns(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Divide the columns among several tables, each with the first column; a column gets at most half the width."""
    first, *others = ([_cut(cell, width // 2) for cell in column] for column in zip(*rows))
    tables: list[list[list[str]]] = []  # per table, its columns
    free_width = 0  # characters per line that are left in the last table
    for column in others:
        column_width = len(_SEPARATOR) + max(map(len, column))
        if not tables or column_width > free_width:
            tables.append([first])
            free_width = width - max(map(len, first))
        tables[-1].append(column)
        free_width -= column_width
    lines: list[str] = []
    for table in tables:
        if lines:
            lines.append("")  # between two tables
        lines += align_columns(list(zip(*table)))
    return lines


def _break_rows(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Write the first cell of a row on one line and the others, indented, on the next; the widest column is cut."""
    columns = list(zip(*(row[1:] for row in rows)))
    lengths = [max(map(len, column)) for column in columns]
    excess = len(_INDENT) + sum(lengths) + len(_SEPARATOR) * (len(lengths) - 1) - width
    if excess > 0:
        widest = lengths.index(max(lengths))
        columns[widest] = tuple(_cut(cell, lengths[widest] - excess) for cell in columns[widest])
    lines = []
    for row, other_cells in zip(rows, align_columns(list(zip(*columns)), numeric=False)):
        lines += [_cut(row[0], width), f"{_INDENT}{other_cells}".rstrip()]
    return lines


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: max(0, length - len(_ELLIPSIS))] + _ELLIPSIS


def format_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""Return a table as CSV.

    Args:
        header: Names of the columns.
        rows: Values; None becomes an empty field.

    Example:
        >>> format_csv(["class", "AP50"], [("ship", 0.5), ("plane", None)])
        'class,AP50\nship,0.5\nplane,\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
