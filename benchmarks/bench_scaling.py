"""Growth of the time of each stage with pixels, boxes and detections, on one machine.

There is no baseline. The network is that of the R50 le90 config with --amp on one image. make_table.py makes
docs/scaling.md from the record.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks import inputs, models, task1
from benchmarks.bench_evaluate import IMAGES, evaluate
from benchmarks.bench_inference import Detector
from benchmarks.bench_train_step import own_trainer
from benchmarks.records import Record, Row
from benchmarks.timing import time_one
from rotated_atss.assign import atss_assign, square_priors
from rotated_atss.cli import main as rotated_atss
from rotated_atss.ops import rotated_nms
from rotated_atss.tiling.merge_text import merge_folder

OPTIONS = dict(repeats=3, sizes=[256, 512, 1024], detections=[125_000, 250_000, 500_000, 1_000_000])

NUM_GT = 100

Point = tuple[int, Callable[[], object]]  # amount and the work to time


def stage_row(name: str, unit: str, points: Iterable[Point], repeats: int) -> Row:
    """Time each point; fit the exponent of growth and the marginal cost between the first and the last point."""
    rows = []
    for amount, run in points:
        rows.append({"amount": amount, **time_one(run, repeats)})
        print(f"{name}: {amount:,} {unit}: {rows[-1]['median']:.4g} s", flush=True)
    amounts, seconds = np.array([[row["amount"], row["median"]] for row in rows]).T
    exponent = float(np.polyfit(np.log(amounts), np.log(seconds), 1)[0])
    if not math.isfinite(exponent):
        raise SystemExit(f"{name}: no finite exponent from {seconds.tolist()} s. Measure again.")
    marginal = float((seconds[-1] - seconds[0]) / (amounts[-1] - amounts[0]))
    return {"stage": name, "unit": unit, "points": rows, "exponent": exponent, "seconds_per_unit": marginal}


def network(sizes: list[int]) -> Iterable[tuple[str, list[Point]]]:
    """Yield training step and inference on one image of each size."""
    settings = [argparse.Namespace(device="cpu", batch=1, num_gt=NUM_GT, size=size) for size in sizes]
    yield "training step", [(each.size**2, own_trainer(each, amp=True).step) for each in settings]
    model = models.build_own().eval().to(memory_format=torch.channels_last)
    detector = Detector(model, "cpu", amp=True)
    yield "inference", [(size**2, partial(detector.detect, models.batch(1, NUM_GT, size))) for size in sizes]


def assignment() -> Iterable[tuple[str, str, list[Point]]]:
    """Yield the assignment by number of boxes and by image size."""

    def assign(size: int, num_gt: int) -> Callable[[], object]:
        priors, level_sizes, grids = square_priors((size, size))
        return partial(atss_assign, priors, level_sizes, inputs.scene(num_gt, size=size), grids=grids)

    yield "assignment at 1024 px", "boxes", [(number, assign(1024, number)) for number in (500, 1000, 2000, 5000)]
    sides = (512, 1024, 2048, 4096)
    yield "assignment of 500 boxes", "pixels", [(side * side, assign(side, 500)) for side in sides]


def text_stages(folder: Path, counts: list[int]) -> Iterable[tuple[str, list[Point]]]:
    """Yield merging and evaluation, files included, in two workers."""
    merges, evaluations = [], []
    for count in counts:
        tiles, merged = folder / f"tiles{count}", folder / f"merged{count}"
        written = task1.write_tiles(tiles, count, IMAGES)
        merges.append((written, partial(merge_folder, tiles, folder / "out", workers=2, progress=False)))
        written = task1.write_merged(merged, count, count // 5, IMAGES)
        evaluations.append((written, partial(evaluate, merged)))
    yield "merging", merges
    yield "evaluation", evaluations


def splitting(folder: Path) -> list[Point]:
    """Return the splitting of single images of 4, 16 and 64 megapixels in two workers."""
    points = []
    for side in (2000, 4000, 8000):
        images = folder / f"side{side}"
        images.mkdir()
        y, x = np.mgrid[:side, :side].astype(np.float32) * (255 / side)
        noise = np.random.default_rng(0).normal(0, 6, (side, side)).astype(np.float32)
        picture = np.stack((x, y, x / 2 + y / 2), 2) + noise[..., None]
        cv2.imwrite(str(images / "P0000.png"), picture.clip(0, 255).astype(np.uint8))
        points.append((side * side, partial(_split, images, folder / f"out{side}")))
    return points


def _split(images: Path, out: Path) -> None:
    words = ["split", "--images", images, "--out", out / str(time.monotonic_ns()), "--workers", 2, "--quiet"]
    rotated_atss([*map(str, words)])


def measure(args: argparse.Namespace) -> Record:
    rows = [stage_row(name, "pixels", points, args.repeats) for name, points in network(args.sizes)]
    rows += [stage_row(name, unit, points, 5 * args.repeats) for name, unit, points in assignment()]
    harbors = [(4 * number, inputs.harbor(number, 4)) for number in (625, 1250, 2500, 5000)]
    points = [(number, partial(rotated_nms, *scene, 0.1)) for number, scene in harbors]
    rows.append(stage_row("NMS of a harbor", "boxes", points, args.repeats))
    rows.append(stage_row("splitting", "pixels", splitting(args.folder), args.repeats))
    stages = text_stages(args.folder, args.detections)
    rows += [stage_row(name, "detections", points, args.repeats) for name, points in stages]
    return {"rows": rows}
