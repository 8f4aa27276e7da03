"""Command line of the scripts that kill runs, and their records."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import records

HELP = {"kills": "number of kills", "seed": "seed of data and moments", "images": "number of images",
        "workers": "processes of a run"}  # fmt: skip


def main(
    name: str, description: str, measure: Callable[..., records.Row], arguments: Sequence[str] | None, **options: int
) -> int:
    """Run a script and write its record if that is asked for.

    Args:
        name: Name of the record, ``kill_split`` for example.
        description: Text of ``--help``.
        measure: Called with an empty folder and the values of the options; returns the row of the record. Ends the
            program if a result differs from that of an uninterrupted run.
        arguments: The command line; None reads it from ``sys.argv``.
        options: Default per option, all of which are numbers.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in options.items():
        parser.add_argument(f"--{option}", type=int, default=default, help=f"{HELP[option]} (default: {default})")
    parser.add_argument("--record", action="store_true", help=f"write benchmarks/results/{name}.json")
    args = parser.parse_args(arguments)
    settings = {option: getattr(args, option) for option in options}
    where = records.environment()
    with tempfile.TemporaryDirectory(prefix=f"{name}_") as folder:
        row = measure(Path(folder), **settings)
    print(", ".join(f"{key} {value}" for key, value in row.items()))
    if args.record:
        settings = {option: value for option, value in settings.items() if option not in row}
        print(records.save({"name": name, "environment": where, "settings": settings, "rows": [row]}))
    return 0
