"""Run benchmarks by name, then update docs/benchmarks.md and the table of README.md.

    python benchmarks/run.py [NAME ...] [--list] [--results DIR] [OPTIONS]

NAME is the name of a script without its prefix, as in ``assign`` or ``train-step``; without names all benchmarks run.
All other options are passed on to every script, as in ``run.py iou nms --device cuda --repeats 3``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def find_scripts() -> dict[str, Path]:
    """Return the benchmark scripts by name."""
    return {path.stem.removeprefix("bench_").replace("_", "-"): path for path in sorted(FOLDER.glob("bench_*.py"))}


def summary(script: Path) -> str:
    """Return the first line of a script's docstring."""
    return script.read_text(encoding="utf-8").partition('"""')[2].partition("\n")[0].removesuffix('"""')


def run_scripts(names: Sequence[str], options: Sequence[str], results: str | None = None) -> list[str]:
    """Run scripts one after the other and return the names of those that failed."""
    scripts = find_scripts()
    environment = {**os.environ, **({"BENCH_RESULTS": str(Path(results).resolve())} if results else {})}
    failed = []
    for name in names:
        words = [str(scripts[name]), *options]
        print(f"== {' '.join(words)}", flush=True)
        if subprocess.run([sys.executable, *words], env=environment).returncode:
            failed.append(name)
    return failed


def main() -> int:
    scripts = find_scripts()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help="default: all benchmarks")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    parser.add_argument("--results", metavar="DIR", help="folder of the records; the pages are not updated then")
    args, options = parser.parse_known_args()
    if args.list:
        print("\n".join(f"{name:<12} {summary(path)}" for name, path in scripts.items()))
        return 0
    names = [name.replace("_", "-") for name in args.names] or list(scripts)
    for name in names:
        if name not in scripts:
            parser.error(f"unknown benchmark '{name}'. Choose from {', '.join(scripts)}.")
    failed = run_scripts(names, options, args.results)
    if not args.results:
        subprocess.run([sys.executable, str(FOLDER / "make_table.py")], check=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
