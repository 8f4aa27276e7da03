"""Whole commands with each fast path of the file code, compared with the same command without it.

Every run is a fresh interpreter that executes ``rotated-atss merge`` or ``split``. The fast path is
switched off by replacing one attribute in that process and, by fork, in its workers. Runs with and without it
alternate. The speedup is seconds without the fast path over seconds with it, for the command that a user runs.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import dota_data, task1
from benchmarks.bench_merge import IMAGES
from benchmarks.bench_split import run_python
from benchmarks.records import Record, Row
from benchmarks.timing import time_pair

COMMAND = "import sys; from rotated_atss.cli import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class FastPath:
    """A fast path and how to switch it off.

    Args:
        command: Command that uses it.
        module: Module of the attribute to replace.
        attribute: Name of the attribute.
        replacement: Python expression of its value without the fast path; ``png`` is rotated_atss.io.png.
    """

    command: str
    module: str
    attribute: str
    replacement: str

    def code_without(self) -> str:
        """Return the code of the command without the fast path; it fails where the attribute does not exist."""
        return (
            f"import {self.module} as module; from rotated_atss.io import png; module.{self.attribute}; "
            f"module.{self.attribute} = {self.replacement}; {COMMAND}"
        )


FAST_PATHS = {
    "merging in parts, one class": FastPath("merge", "rotated_atss.tiling.merge_text", "_PART_BYTES", "1 << 62"),
    "PNG codec": FastPath(
        "split",
        "rotated_atss.io.images",
        "encode_png",
        "png._encode_with_opencv; module.can_decode_png = lambda _: False",
    ),
    "PNG encoder alone": FastPath("split", "rotated_atss.io.images", "encode_png", "png._encode_with_opencv"),
    "PNG decoder alone": FastPath("split", "rotated_atss.io.images", "can_decode_png", "lambda head: False"),
}


def write_inputs(args: argparse.Namespace, folder: Path) -> dict[str, list[object]]:
    """Write the input of every command and return the commands' arguments."""
    data, _ = dota_data.find_data(args.data, folder)
    images = dota_data.repeat(data, args.images, folder / "images")
    task1.write_tiles(folder / "tiles", args.detections, IMAGES, task1.ONE_CLASS)
    workers = ["--workers", args.processes, "--quiet"]
    labels = ["--labels", images / "labelTxt"]
    return {
        "merge": [folder / "tiles", "--out", folder / "out", *workers],
        "split": ["--images", images / "images", *labels, "--out", folder / "out", "--overwrite", *workers],
    }


def fast_path_row(name: str, options: list[object], repeats: int, folder: Path) -> Row:
    """Time a command with and without one fast path, each run into an empty output folder."""
    path = FAST_PATHS[name]
    timed = time_pair(
        lambda: run_python("-c", COMMAND, path.command, *options),
        lambda: run_python("-c", path.code_without(), path.command, *options),
        repeats, before=lambda: shutil.rmtree(folder / "out", ignore_errors=True),
    )  # fmt: skip
    times = {"with_fast_path": timed["rotated_atss"], "without": timed["baseline"], "speedup": timed["speedup"]}
    return {"fast_path": name, "command": path.command, **times}


OPTIONS = dict(repeats=5, detections=1_000_000, images=100, processes=2, data="", only=list(FAST_PATHS))


def measure(args: argparse.Namespace) -> Record:
    if unknown := set(args.only) - set(FAST_PATHS):
        raise SystemExit(f"unknown fast path {sorted(unknown)}. Choose from {list(FAST_PATHS)}.")
    with tempfile.TemporaryDirectory(prefix="bench_fast_paths_") as name:
        folder = Path(name)
        options = write_inputs(args, folder)
        rows = [fast_path_row(name, options[FAST_PATHS[name].command], args.repeats, folder) for name in args.only]
    settings = {"detections": args.detections, "images": args.images, "processes": args.processes}
    return {"settings": settings, "rows": rows}
