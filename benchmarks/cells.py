"""What the cells of the generated pages hold: figures in three digits, times with their spread, tables in Markdown."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, Any]]


def markdown(rows: Rows) -> str:
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([str(row.get(column, "")) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(times: dict[str, Any] | None, factor: float) -> str:
    """Median (fastest to slowest), and how many runs where it was one."""
    if times is None:
        return ""
    if times["runs"] == 1:
        return f"{number(times['median'] * factor)} (1 run)"
    return f"{number(times['median'] * factor)} ({number(times['min'] * factor)} to {number(times['max'] * factor)})"


def per(times: dict[str, Any] | None, count: int) -> str:
    return spread(times, 1e9 / count)


def milli(times: dict[str, Any] | None) -> str:
    return spread(times, 1e3)


def mistakes(found: dict[str, int] | None) -> str:
    return "" if found is None else str(sum(found.values()))
