"""Command line of the benchmarks: parse options, measure, save the record, print its section and its targets."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.page import targets_table
from benchmarks.records import ROOT, Record, environment, save
from benchmarks.sections import SECTIONS, section

Measure = Callable[[argparse.Namespace], Record | None]


def main(
    name: str,
    doc: str | None,
    measure: Measure,
    add_arguments: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
    *,
    repeats: int,
    gpu: bool = True,
) -> None:
    """Run one benchmark script.

    Args:
        name: Name of the record.
        doc: The script's docstring, shown by ``--help``.
        measure: Takes the parsed options and returns the record without name and environment, or None where there is
            nothing to record.
        add_arguments: Adds the script's own options.
        repeats: Default of ``--repeats``.
        gpu: Whether the benchmark also runs on CUDA.
    """
    args = parser(doc, add_arguments, repeats, gpu).parse_args()
    if not gpu and args.device != "cpu":
        print(f"bench_{name}.py measures on the CPU; --device {args.device} is ignored")
        args.device = "cpu"
    check_device(args.device)
    where = environment(args.device)  # before a tracked record is rewritten
    measured = measure(args)
    if measured is None:
        return
    record = {"name": name, "environment": where, **measured}
    path = save(record)
    if name in SECTIONS:
        print(section(record))
    if record.get("targets"):
        print(targets_table([record]))
    print(path)


def parser(
    doc: str | None, add_arguments: Callable[[argparse.ArgumentParser], object], repeats: int, gpu: bool
) -> argparse.ArgumentParser:  # fmt: skip
    """Build the parser of a benchmark script: the common options and its own."""
    found = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--repeats", type=int, default=repeats, help=f"measured runs (default: {repeats})")
    devices = "cpu (default), cuda or cuda:<index>" if gpu else "ignored: this benchmark measures on the CPU"
    found.add_argument("--device", default="cpu", help=devices)
    add_arguments(found)
    return found


def check_device(device: str) -> None:
    """Exit with one line where the device is not available."""
    if device == "cpu":
        return
    import torch

    if not device.startswith("cuda"):
        raise SystemExit(f"unknown device '{device}'. Use cpu, cuda or cuda:<index>.")
    if not torch.cuda.is_available():
        raise SystemExit(f"no CUDA device found by torch {torch.__version__}. Nothing is measured.")


def synchronizer(device: str) -> Callable[[], object] | None:
    """Return a function that waits for the device, or None for the CPU."""
    if device == "cpu":
        return None
    import torch

    return lambda: torch.cuda.synchronize(device)


def in_new_process(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of a benchmark module in a fresh interpreter; arguments and result pass as JSON."""
    module = f"benchmarks.{Path(function.__code__.co_filename).stem}"  # __module__ is __main__ in a script
    code = (
        f"import json, sys; sys.path.insert(0, {str(ROOT)!r}); from {module} import {function.__name__} as run; "
        "print(json.dumps(run(*json.loads(sys.argv[1]))))"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(args)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        message = " ".join(done.stderr.strip().splitlines()[-1:])
        raise SystemExit(f"{function.__name__}{args} failed in a new process: {message}")
    return json.loads(done.stdout.splitlines()[-1])
