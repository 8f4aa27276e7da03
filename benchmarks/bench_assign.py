"""ATSS assignment: time, extra memory and result, compared with mmrotate's dense RotatedATSSAssigner.

Images of 1024 x 1024 px with every number of boxes, also without the grid layout of the priors; 500 boxes also on
--large pixels; 16 images of 100 boxes in one call and in 16 calls.

Memory is the peak during one assignment in addition to what the process held before, in a fresh process that has
assigned ten boxes already (resident memory on the CPU, allocated memory on CUDA). The baseline takes about 0.06 s per
box on a CPU and is skipped above --baseline-max-gt. Results are compared on --scenes random scenes, on as many with
centers on a 4 px grid, where distances tie, and on as many with axis-aligned boxes there, whose edges coincide with
those of priors. Every differing prior is recorded with its cause (explain.py).
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from torch import Tensor

from benchmarks import assignment, baselines, harness, inputs
from benchmarks.baselines import Assign
from benchmarks.explain import UNEXPLAINED, explain
from benchmarks.records import Record, Row, target
from benchmarks.timing import settle_allocator, time_one, time_pair
from rotated_atss.assign import atss_assign, atss_assign_batch

OPTIONS = dict(
    device="cpu", repeats=15, num_gt=[10, 100, 500, 2000, 5000], baseline_max_gt=500, baseline_repeats=3, large=4096,
    scenes=3, scene_gt=60,
)  # fmt: skip

SCENES: dict[str, dict[str, Any]] = {
    "random": {},
    "centers on a 4 px grid": {"grid": 4},
    "axis-aligned, 4 px grid": {"grid": 4, "axis_aligned": True},
}
WARMUP_GT = 10
SIZES_GT = 500
BATCH, BATCH_GT = 16, 100


def build_own(device: str, size: int = 1024, grids: bool = True) -> Assign:
    """Return this package's assigner for one image size, with or without the grid layout of the priors."""
    priors, level_sizes = inputs.priors(size)
    priors = priors.to(device)
    levels = inputs.grids(size) if grids else None
    return lambda gt_boxes: atss_assign(priors, level_sizes, gt_boxes, grids=levels)[0]


def build_baseline(device: str) -> Assign:
    """Return mmrotate's assigner."""
    priors, level_sizes = inputs.priors()
    return baselines.atss_assigner(priors.to(device), level_sizes)


def assign_row(num_gt: int, own: Assign, baseline: Assign | None, args: argparse.Namespace) -> Row:
    """Measure both for one number of boxes, and this package without the grid layout."""
    row = assignment.assign_row("bench_assign", num_gt, own, baseline, args)
    gt_boxes, without_grids = inputs.scene(num_gt).to(args.device), build_own(args.device, grids=False)
    sync = harness.synchronizer(args.device)
    row["without_grids"] = time_one(lambda: without_grids(gt_boxes), args.repeats, sync=sync)
    return row


def size_row(args: argparse.Namespace) -> Row:
    """Compare the same number of boxes on a small and on a large image, in alternating runs."""
    runs = []
    for size in (args.large, 1024):
        assign, gt_boxes = build_own(args.device, size), inputs.scene(SIZES_GT, size=size).to(args.device)
        runs.append(lambda assign=assign, gt_boxes=gt_boxes: assign(gt_boxes))
    timed = time_pair(*runs, args.repeats, warmup=2, sync=harness.synchronizer(args.device))
    large, small = timed["rotated_atss"], timed["baseline"]
    ratio = large["median"] / small["median"]
    return {"num_gt": SIZES_GT, "sizes": [1024, args.large], "small": small, "large": large, "ratio": ratio}


def batch_row(args: argparse.Namespace) -> Row:
    """Compare a batch in one call with one call per image, in alternating runs."""
    priors, level_sizes = inputs.priors()
    priors, levels = priors.to(args.device), inputs.grids()
    images = [inputs.scene(BATCH_GT, seed).to(args.device) for seed in range(BATCH)]
    timed = time_pair(
        lambda: atss_assign_batch(priors, level_sizes, images, grids=levels),
        lambda: [atss_assign(priors, level_sizes, gt_boxes, grids=levels) for gt_boxes in images],
        args.repeats, warmup=2, sync=harness.synchronizer(args.device),
    )  # fmt: skip
    times = {"one_call": timed["rotated_atss"], "calls": timed["baseline"], "speedup": timed["speedup"]}
    return {"images": BATCH, "num_gt": BATCH_GT, **times}


def compare(name: str, gt_boxes: Tensor, own: Assign, baseline: Assign, device: str) -> Row:
    """Find the priors on which the two differ, each with its cause."""
    result, other = (assign(gt_boxes.to(device)).cpu() for assign in (own, baseline))
    num_differing = int((result != other).sum())
    priors = explain(*inputs.priors(), gt_boxes, result, other, device) if num_differing else []
    return {
        "scene": name, "num_gt": len(gt_boxes), "num_pos": int((result >= 0).sum()), "differing": num_differing,
        "causes": dict(Counter(each["cause"] for each in priors)), "priors": priors,
    }  # fmt: skip


def targets(rows: list[Row], sizes: Row, comparisons: list[Row]) -> list[Row]:
    of = {row["num_gt"]: row for row in rows}
    times = {num_gt: row["rotated_atss"]["median"] * 1e3 for num_gt, row in of.items()}
    growth = sizes["ratio"] if 4096 in sizes["sizes"] else None
    unexplained = sum(row["causes"].get(UNEXPLAINED, 0) for row in comparisons) if comparisons else None
    speedup, memory = of.get(500, {}).get("speedup"), of.get(5000, {}).get("rotated_atss_mb")
    return [
        target("assignment of 500 boxes, ms", times.get(500), at_most=5),
        target("assignment of 5,000 boxes, ms", times.get(5000), at_most=30),
        target("assignment of 500 boxes: speedup over mmrotate", speedup, at_least=4000),
        target("assignment of 5,000 boxes: extra memory, MB", memory, at_most=20),
        target("assignment at 4096 px: time relative to 1024 px", growth, at_most=1.2),
        target("assignment: unexplained differences from mmrotate", unexplained, at_most=0),
    ]


def measure(args: argparse.Namespace) -> Record:
    package, missing = baselines.mmrotate()
    settle_allocator()
    own, baseline = build_own(args.device), None if package is None else build_baseline(args.device)
    if baseline is not None:
        baseline(inputs.scene(WARMUP_GT).to(args.device))
    rows = [assign_row(num_gt, own, baseline, args) for num_gt in args.num_gt]
    sizes, batch = size_row(args), batch_row(args)
    comparisons = [
        {"seed": seed, **compare(name, inputs.scene(args.scene_gt, seed, **kind), own, baseline, args.device)}
        for name, kind in SCENES.items()
        for seed in range(args.scenes)
        if baseline is not None
    ]
    return {
        "baseline_missing": missing, "targets": targets(rows, sizes, comparisons), "rows": rows, "sizes": sizes,
        "batch": batch, "comparisons": comparisons,
    }  # fmt: skip
