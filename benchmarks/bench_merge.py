"""Merging a million tile detections into full images, compared with dotadevkit, files included.

Synthetic tiles of 500 images (task1.py) and two processes; one case with DOTA's 15 classes, one with a single class,
which dotadevkit processes in one process. Memory is that of the command ``rotated-atss merge`` with its processes.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.memory import command_megabytes
from benchmarks.records import Record, Row, target
from benchmarks.task1 import CLASS_MIX, ONE_CLASS, write_tiles
from benchmarks.timing import time_one, time_pair
from rotated_atss.dota.detections import list_task1_files, read_detections, task1_path
from rotated_atss.tiling.merge_text import merge_folder

OPTIONS = dict(repeats=3, detections=1_000_000, processes=2)

IMAGES = 500
IOU_THRESHOLD = 0.1
CASES = {"15 classes": CLASS_MIX, "one class": ONE_CLASS}


def compare(merged: Path, baseline: Path) -> dict[str, int]:
    """Count the merged rows that are equal, and of the others those with a row of the same score (ties)."""
    same = tied = different = 0
    for name, path in list_task1_files(baseline).items():
        rows, other = (_rows(file) for file in (task1_path(merged, name), path))
        scores = {row[:2] for row in other - rows}
        same += len(rows & other)
        tied += sum(row[:2] in scores for row in rows - other)
        different += sum(row[:2] not in scores for row in rows - other)
    return {"same": same, "tied": tied, "different": different}


def _rows(path: Path) -> set[tuple]:
    found = read_detections(path)
    return set(zip(found.image_ids.tolist(), found.scores.tolist(), map(tuple, np.round(found.polygons, 6).tolist())))


def merge_row(case: str, args: argparse.Namespace) -> Row:
    from dotadevkit.ops.ResultMerge import mergebypoly

    tiles, merged, other = (args.folder / case / name for name in ("tiles", "merged", "dotadevkit"))
    written = write_tiles(tiles, args.detections, IMAGES, CASES[case])
    merge = partial(merge_folder, tiles, merged, IOU_THRESHOLD, progress=False)
    timed = time_pair(
        lambda: merge(workers=args.processes), lambda: mergebypoly(tiles, other, args.processes, IOU_THRESHOLD),
        args.repeats, baseline_repeats=1, baseline_warmup=0,
    )  # fmt: skip
    counts = compare(merged, other)
    one_process = time_one(lambda: merge(workers=1), args.repeats)
    options = ["merge", tiles, "--out", merged, "--workers", args.processes, "--quiet"]
    memory = command_megabytes([sys.executable, "-m", "rotated_atss", *map(str, options)])
    return {
        "case": case, "images": IMAGES, "detections": written,
        "processes": args.processes, **timed, "one_process": one_process, "rotated_atss_peak_mb": memory,
        "merged_rows": counts,
    }  # fmt: skip


def targets(rows: list[Row]) -> list[Row]:
    """Compare with the targets; time and memory only for a million detections."""
    complete = all(row["detections"] >= 900_000 for row in rows)
    seconds = max(row["rotated_atss"]["median"] for row in rows)
    peaks = [row["rotated_atss_peak_mb"] for row in rows if row["rotated_atss_peak_mb"] is not None]
    memory, differing = max(peaks, default=None), sum(row["merged_rows"]["different"] for row in rows)
    return [
        target("merging a million detections of 500 images, s", seconds if complete else None, at_most=20),
        target("merging: peak memory of all processes, MB", memory if complete else None, at_most=1000),
        target("merging: speedup over dotadevkit", min(row["speedup"] for row in rows), at_least=10),
        target("merging: rows that differ from dotadevkit", differing, at_most=0),
    ]


def measure(args: argparse.Namespace) -> Record:
    rows = [merge_row(case, args) for case in CASES]
    return {"targets": targets(rows), "rows": rows}
