"""Evaluating a million detections of 500 images at ten IoU thresholds, compared with dotadevkit at one threshold.

Synthetic detections and labels of DOTA's 15 classes (task1.py), five detections per object, text files included. Memory
is that of the command ``rotated-atss evaluate``. dotadevkit needs minutes for a million detections and is compared on
--compared of them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

from benchmarks.memory import command_megabytes
from benchmarks.records import Record, Row, target
from benchmarks.task1 import CLASS_MIX, write_merged
from benchmarks.timing import time_one, time_pair
from rotated_atss.cli import main as rotated_atss

IMAGES = 500
DETECTIONS_PER_OBJECT = 5
DETECTIONS, COMPARED = 1_000_000, 50_000


def command(data: Path) -> list[str]:
    folders = ["--detections", data / "detections", "--labels", data / "labelTxt"]
    return ["evaluate", *map(str, folders), "--json", str(data / "ap.json"), "--quiet"]


def evaluate(data: Path) -> None:
    """Run the command in this process."""
    with contextlib.redirect_stdout(io.StringIO()):
        rotated_atss(command(data))


def dotadevkit(data: Path) -> dict[str, float]:
    """Compute the AP50 of every class in the loop of dotadevkit's ``evaluate``."""
    from dotadevkit.evaluate.task1 import voc_eval

    paths = data / "detections" / "Task1_{:s}.txt", data / "labelTxt" / "{:s}.txt", data / "images.txt"
    settings = dict(ovthresh=0.5, use_07_metric=True, version="1.0")
    with contextlib.redirect_stdout(io.StringIO()):
        return {name: float(voc_eval(*map(str, paths), name, **settings)[2]) for name in CLASS_MIX}


def largest_difference(data: Path) -> float:
    per_class = json.loads((data / "ap.json").read_text(encoding="utf-8"))["per_class"]
    return max(abs(per_class[name]["AP50"] - ap) for name, ap in dotadevkit(data).items())


def write(folder: Path, detections: int) -> int:
    """Write detections, labels and the list of images, and return the number of detections."""
    written = write_merged(folder, detections, detections // DETECTIONS_PER_OBJECT, IMAGES)
    images = sorted(path.stem for path in (folder / "labelTxt").iterdir())
    (folder / "images.txt").write_text("\n".join(images) + "\n", encoding="utf-8")
    return written


def targets(full: Row, compared: Row) -> list[Row]:
    """Compare with the targets; time, memory and speedup only for the full numbers of detections."""
    complete, enough = full["detections"] >= 0.9 * DETECTIONS, compared["detections"] >= 0.9 * COMPARED
    seconds, memory = (full["rotated_atss"]["median"], full["rotated_atss_peak_mb"]) if complete else (None, None)
    speedup, difference = compared["speedup"] if enough else None, compared["largest_ap50_difference"]
    return [
        target("evaluating a million detections at ten thresholds, s", seconds, at_most=10),
        target("evaluation: peak memory of all processes, MB", memory, at_most=1000),
        target("evaluation: speedup over dotadevkit at one threshold", speedup, at_least=10),
        target("evaluation: largest class-wise AP50 difference from dotadevkit", difference, at_most=1e-9),
    ]


OPTIONS = dict(repeats=5, detections=DETECTIONS, compared=COMPARED)


def measure(args: argparse.Namespace) -> Record:
    full, some = args.folder / "full", args.folder / "compared"
    written, compared = write(full, args.detections), write(some, args.compared)
    times = time_one(lambda: evaluate(full), args.repeats)
    memory = command_megabytes([sys.executable, "-m", "rotated_atss", *command(full)])
    timed = time_pair(
        lambda: evaluate(some), lambda: dotadevkit(some), args.repeats, baseline_repeats=1, baseline_warmup=0
    )
    rows = [
        {"images": IMAGES, "detections": written, "rotated_atss": times, "rotated_atss_peak_mb": memory},
        {"images": IMAGES, "detections": compared, **timed, "largest_ap50_difference": largest_difference(some)},
    ]
    return {"targets": targets(*rows), "rows": rows}
