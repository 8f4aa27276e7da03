"""CPU seconds and memory of an evaluation report without pictures, compared with evaluation alone.

Synthetic detections and labels of DOTA's 15 classes on 500 images (task1.py), five detections per object. Each command
is a process of its own, so that its imports count.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.bench_evaluate import IMAGES, write
from benchmarks.bench_startup import command_rows
from benchmarks.memory import command_megabytes
from benchmarks.records import Record, Row, target

DETECTIONS = 50_000
OPTIONS = dict(repeats=5, detections=DETECTIONS)


def measure(args: argparse.Namespace) -> Record:
    detections = write(args.folder, args.detections)
    inputs = ["--detections", str(args.folder / "detections"), "--labels", str(args.folder / "labelTxt"), "--quiet"]
    program = [sys.executable, "-W", "ignore", "-m", "rotated_atss"]
    words = {
        "evaluate": [*program, "evaluate", *inputs],
        "report": [*program, "report", *inputs, "--out", str(args.folder / "report")],
    }
    rows = command_rows(words, args.folder, args.repeats)
    for row in rows:
        row["peak_mb"] = command_megabytes(words[row["command"]])
    settings = {"detections": detections, "images": IMAGES}
    return {"settings": settings, "targets": targets(rows, detections), "rows": rows}


def targets(rows: list[Row], detections: int) -> list[Row]:
    """Compare the report with the evaluation; only for the full number of detections."""
    cpu_s = {row["command"]: row["cpu_s"] for row in rows}
    limit = round(3 * cpu_s["evaluate"] + 2, 2)
    measured = cpu_s["report"] if detections >= 0.9 * DETECTIONS else None
    return [target("report of 50,000 detections, CPU s (limit: three evaluations and 2 s)", measured, at_most=limit)]
