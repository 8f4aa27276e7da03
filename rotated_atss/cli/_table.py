"""Tables that commands print."""

from __future__ import annotations

from collections.abc import Sequence


def format_rows(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as aligned columns, the first row being the heads.

    Example:
        >>> print(format_rows([("name", "MB"), ("resnet18", "47"), ("a", "")]))
        name      MB
        resnet18  47
        a
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)
