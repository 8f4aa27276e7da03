"""Run benchmarks by name, then update docs/benchmarks.md and the table of README.md.

    python benchmarks/run.py [NAME ...] [--list] [--results DIR] [OPTIONS]

NAME is that of a module without its prefix, as in ``assign`` or ``train-step``; without names all benchmarks run, each
in its own process. All other options are passed on to every benchmark, as in ``run.py iou nms --device cuda``;
``run.py NAME --help`` lists them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def find_benchmarks() -> dict[str, Path]:
    """Return the modules of the benchmarks by name."""
    return {path.stem.removeprefix("bench_").replace("_", "-"): path for path in sorted(FOLDER.glob("bench_*.py"))}


def summary(module: Path) -> str:
    """Return the first line of a module's docstring."""
    return module.read_text(encoding="utf-8").partition('"""')[2].partition("\n")[0].removesuffix('"""')


def run_benchmarks(names: Sequence[str], options: Sequence[str], results: str | None = None) -> list[str]:
    """Run benchmarks one after the other and return the names of those that failed."""
    environment = {**os.environ, **({"BENCH_RESULTS": str(Path(results).resolve())} if results else {})}
    failed = []
    for name in names:
        words = [name, *options]
        print(f"== {' '.join(words)}", flush=True)
        if subprocess.run([sys.executable, str(FOLDER / "harness.py"), *words], env=environment).returncode:
            failed.append(name)
    return failed


def main() -> int:
    modules = find_benchmarks()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, add_help=False
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="default: all benchmarks")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    parser.add_argument("--results", metavar="DIR", help="folder of the records; the pages are not updated then")
    args, options = parser.parse_known_args()
    wants_help = bool({"-h", "--help"} & set(options))
    if wants_help and not args.names:
        parser.print_help()
        parser.exit()
    if args.list:
        print("\n".join(f"{name:<12} {summary(path)}" for name, path in modules.items()))
        return 0
    names = [name.replace("_", "-") for name in args.names] or list(modules)
    for name in names:
        if name not in modules:
            parser.error(f"unknown benchmark '{name}'. Choose from {', '.join(modules)}.")
    failed = run_benchmarks(names, options, args.results)
    if not args.results and not wants_help:
        subprocess.run([sys.executable, str(FOLDER / "make_table.py")], check=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
