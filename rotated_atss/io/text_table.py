"""Tables as text: aligned columns for people, CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


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
    return ["  ".join((row[0].ljust(widths[0]), *map(align, row[1:], widths[1:]))).rstrip() for row in rows]


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
