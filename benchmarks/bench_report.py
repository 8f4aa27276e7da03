"""CPU seconds and memory of an evaluation report without pictures, compared with evaluation alone.

Synthetic detections and labels of DOTA's 15 classes on 500 images (task1.py), five detections per object. Each command
is a process of its own, so that its imports count.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.bench_evaluate import IMAGES, write
from benchmarks.bench_startup import run
from benchmarks.memory import command_megabytes
from benchmarks.records import Record, Row, target

DETECTIONS = 50_000
OPTIONS = dict(repeats=5, detections=DETECTIONS)
TIMES_EVALUATE, OVER_S = 3.0, 2.0


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the words of each process."""
    inputs = ["--detections", "detections", "--labels", "labelTxt", "--quiet"]
    program = [sys.executable, "-W", "ignore", "-m", "rotated_atss"]
    return {
        "evaluate": [*program, "evaluate", *inputs],
        "report": [*program, "report", *inputs, "--out", str(folder / "report")],
    }


def measure(args: argparse.Namespace) -> Record:
    """Measure all commands in turn, ``repeats`` times, after one discarded run of each."""
    folder = args.folder
    detections = write(folder, args.detections)
    words = commands(folder)
    turns = [{name: run(each, folder) for name, each in words.items()} for _ in range(args.repeats + 1)][1:]
    rows: list[Row] = []
    for name, each in words.items():
        cpu_s, wall_s = (statistics.median(column) for column in zip(*(turn[name] for turn in turns)))
        absolute = [str(folder / word) if word in ("detections", "labelTxt") else word for word in each]
        rows.append(
            {"command": name, "cpu_s": round(cpu_s, 3), "wall_s": round(wall_s, 3),
             "peak_mb": command_megabytes(absolute)}
        )  # fmt: skip
    settings = {"detections": detections, "images": IMAGES}
    return {"settings": settings, "targets": targets(rows, detections), "rows": rows}


def targets(rows: list[Row], detections: int) -> list[Row]:
    """Compare the report with the evaluation; only for the full number of detections."""
    cpu_s = {row["command"]: row["cpu_s"] for row in rows}
    limit = round(TIMES_EVALUATE * cpu_s["evaluate"] + OVER_S, 2)
    measured = cpu_s["report"] if detections >= 0.9 * DETECTIONS else None
    return [target("report of 50,000 detections, CPU s (limit: three evaluations and 2 s)", measured, at_most=limit)]
