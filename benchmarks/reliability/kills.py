"""What the scripts that kill runs share: forked runs, comparison of results, command line and record."""

from __future__ import annotations

import argparse
import operator
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import records

HELP = {"kills": "number of kills", "seed": "seed of data and moments", "images": "number of images",
        "workers": "processes of a run"}  # fmt: skip


def run_forked(
    function: Callable[[], int],
    is_moment: Callable[[float], bool] = lambda passed: False,
    kind: signal.Signals = signal.SIGKILL,
) -> int:
    """Call a function in a forked process, which does not repeat the imports.

    Args:
        function: Returns the exit code of the process.
        is_moment: Whether the process gets the signal now; called with the seconds since its start.
        kind: The signal, sent at most once.

    Returns:
        The exit code, negative for a signal.
    """
    pid, begin, sent = os.fork(), time.monotonic(), False
    if not pid:
        code = 1
        try:
            code = function()
        finally:
            os._exit(code)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if not sent and is_moment(time.monotonic() - begin):
            os.kill(pid, kind)
            sent = True
        time.sleep(0.0005)


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder but locks, which a killed process leaves behind."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def compare(
    folder: Path,
    expected: Mapping[str, Any],
    read: Callable[[Path], Mapping[str, Any]] = read_tree,
    equal: Callable[[Any, Any], bool] = operator.eq,
) -> int:
    """Compare a complete result with that of an uninterrupted run, remove it and return 1; exit if they differ."""
    found = read(folder)
    different = [name for name in expected if name not in found or not equal(found[name], expected[name])]
    different += found.keys() - expected.keys()
    if different:
        sys.exit(f"{len(different)} of {folder} differ from an uninterrupted run: {sorted(different)[:5]}")
    shutil.rmtree(folder)
    return 1


def run_script(name: str, description: str, measure: Callable[..., records.Row], **options: int) -> None:
    """Run a script and write its record if that is asked for.

    Args:
        name: Name of the record, ``kill_split`` for example.
        description: Text of ``--help``.
        measure: Called with an empty folder and the values of the options; returns the row of the record. Ends the
            program if a result differs from that of an uninterrupted run.
        options: Default per option, all of which are numbers.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in options.items():
        parser.add_argument(f"--{option}", type=int, default=default, help=f"{HELP[option]} (default: {default})")
    parser.add_argument("--record", action="store_true", help=f"write benchmarks/results/{name}.json")
    args = parser.parse_args()
    settings = {option: getattr(args, option) for option in options}
    where = records.environment()
    with tempfile.TemporaryDirectory(prefix=f"{name}_") as folder:
        row = measure(Path(folder), **settings)
    print(", ".join(f"{key} {value}" for key, value in row.items()))
    if args.record:
        settings = {option: value for option, value in settings.items() if option not in row}
        print(records.save({"name": name, "environment": where, "settings": settings, "rows": [row]}))
