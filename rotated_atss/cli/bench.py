"""``rotated-atss bench``: the benchmarks of a checkout."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import rotated_atss
from rotated_atss.errors import UserError

HELP = "Measure beside the peers: one script a claim, records in benchmarks/results, the page docs/benchmarks.md."

FOLDER = Path(rotated_atss.__file__).resolve().parents[1] / "benchmarks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="such as assign or train-step; all of them when left out"
    )
    parser.add_argument("--list", action="store_true", help="name them, with their claims, and measure nothing")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda; scripts that know only one ignore it")
    parser.add_argument(
        "--options",
        default="",
        metavar="TEXT",
        help='given to each script: --options "--repeats 3"; what a script takes tells --options=--help',
    )
    parser.add_argument(
        "--results", metavar="DIR", help="where records go instead of benchmarks/results; the page then stays as it is"
    )


def run(args: argparse.Namespace) -> int:
    """0 when every script ended well, 1 otherwise."""
    scripts = find_scripts()
    try:
        shlex.split(args.options)
    except ValueError as error:
        raise UserError(f"--options cannot be read: {error}") from error
    if args.list:
        print("\n".join(f"{name:<12} {claim(path)}" for name, path in scripts.items()))
        return 0
    args.names = [name.replace("_", "-") for name in args.names]
    for name in args.names:
        if name not in scripts:
            raise UserError(f"no benchmark '{name}'", hint=f"choose from {', '.join(scripts)}")
    environment = {**os.environ, **({"BENCH_RESULTS": str(Path(args.results).resolve())} if args.results else {})}
    failed = [name for name in args.names or scripts if measure(scripts[name], args, environment)]
    if not args.results:
        subprocess.run([sys.executable, str(FOLDER / "make_table.py")], check=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def measure(script: Path, args: argparse.Namespace, environment: dict[str, str]) -> int:
    """Run one script and return its exit code."""
    words = [str(script), *shlex.split(args.options)]
    if "--device" in script.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]:
        words += ["--device", args.device]
    print(f"== {' '.join(words)}", flush=True)
    return subprocess.run([sys.executable, *words], env=environment).returncode


def find_scripts() -> dict[str, Path]:
    """``train-step`` -> its script, and so on.

    Raises:
        UserError: This is an installed package without its checkout.
    """
    scripts = sorted(FOLDER.glob("bench_*.py"))
    if not scripts:
        raise UserError(
            "the benchmarks are part of a checkout", where=FOLDER, hint="clone the repository, pip install -e ."
        )
    return {path.stem.removeprefix("bench_").replace("_", "-"): path for path in scripts}


def claim(script: Path) -> str:
    """The first line of a script's docstring."""
    return script.read_text(encoding="utf-8").partition('"""')[2].partition("\n")[0]
