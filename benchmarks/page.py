"""Markdown tables from records, and generated pages: formats of cells, columns, provenance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.records import Record, Row

Format = str | Callable[[Any], object]  # as in "{:,}", or a function
# head -> dotted path of a value, (path, format), or a function of the row
Columns = Mapping[str, str | tuple[str, Format] | Callable[[Row], object]]


def number(value: float) -> str:
    """Format a figure with three digits."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def factor(value: float) -> str:
    """Format a speedup, as in ``1,535x``."""
    return f"{value:,.0f}x" if value >= 1000 else f"{number(value)}x"


def yes_no(value: bool) -> str:
    return "yes" if value else "no"


def total(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def spread(times: Mapping[str, Any], factor: float = 1.0) -> str:
    """Format times as median (fastest to slowest), scaled by ``factor``."""
    median, fastest, slowest = (number(times[key] * factor) for key in ("median", "min", "max"))
    return f"{median} (1 run)" if times["runs"] == 1 else f"{median} ({fastest} to {slowest})"


def milliseconds(times: Mapping[str, Any]) -> str:
    """Format times in milliseconds."""
    return spread(times, 1e3)


def seconds(value: float) -> str:
    """Format a duration in the unit that gives figures of at least 1."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{number(value * factor)} {unit}"
    return f"{number(value * 1e9)} ns"


def cells(row: Row, columns: Columns) -> Row:
    """Return the formatted cells of a row by column head."""
    found = {}
    for head, column in columns.items():
        if callable(column):
            found[head] = column(row)
            continue
        path, form = (column, "{}") if isinstance(column, str) else column
        value: Any = row
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        form = form.format if isinstance(form, str) else form
        found[head] = "" if value is None else form(value)
    return found


def markdown(rows: Sequence[Row], columns: Columns | None = None, *, drop_empty: bool = False) -> str:
    """Format rows as a Markdown table, none as an empty text.

    Args:
        rows: Records' rows, or cells by head without ``columns``.
        columns: See :data:`Columns`.
        drop_empty: Leave out columns in which every cell is empty.
    """
    if not rows:
        return ""
    if columns is not None:
        rows = [cells(row, columns) for row in rows]
    heads = [head for head in rows[0] if not drop_empty or any(row[head] != "" for row in rows)]
    lines = [heads, ["---"] * len(heads), *([str(row.get(head, "")) for head in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def targets_table(records: Sequence[Record]) -> str:
    """Format the targets of all records as one Markdown table, met or missed."""
    results = {True: "met", False: "**missed**", None: "not measured"}
    columns: Columns = {
        "target": "name",
        "device": "device",
        "limit": lambda row: f"≥ {row['at_least']:g}" if "at_least" in row else f"≤ {row['at_most']:g}",
        "measured": ("measured", number),
        "result": lambda row: results[row["met"]],
    }
    rows = [
        {**row, "device": record["environment"]["device"]} for record in records for row in record.get("targets", [])
    ]
    return markdown(rows, columns)


def machine(where: Row) -> str:
    """Format processor, threads, device and load of a record's environment."""
    load = "" if where.get("load_before") is None else f", load {where['load_before']} before"
    return f"{where['cpu']}, {where['cores']} cores, {where['threads']} threads, {where['device']}{load}"


def provenance(record: Record) -> str:
    """Format script, commit, machine and versions of a record."""
    where = record["environment"]
    versions = ", ".join(f"{package} {version}" for package, version in where["versions"].items())
    return f"bench_{record['name']}.py, commit {where['commit']}; {machine(where)}; {versions}"
