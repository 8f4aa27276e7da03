"""ATSS assignment: time, extra memory and result, compared with mmrotate's dense RotatedATSSAssigner.

Images of 1024 x 1024 px with every number of boxes, also without the grid layout of the priors.

Memory is the peak during one assignment in addition to what the process held before, in a fresh process that has
assigned ten boxes already (resident memory on the CPU, allocated memory on CUDA). The baseline takes about 0.06 s per
box on a CPU and is skipped above --baseline-max-gt. Results are compared on --scenes random scenes, on as many with
centers on a 4 px grid, where distances tie, and on as many with axis-aligned boxes there, whose edges coincide with
those of priors.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks import assignment, baselines, harness, inputs
from benchmarks.baselines import Assign
from benchmarks.records import Record, Row, target
from benchmarks.timing import settle_allocator, time_one
from rotated_atss.assign import atss_assign, square_priors

OPTIONS = dict(
    device="cpu", repeats=15, num_gt=[10, 100, 500, 2000, 5000], baseline_max_gt=500, baseline_repeats=3, scenes=3,
    scene_gt=60,
)  # fmt: skip

SCENES: dict[str, dict[str, Any]] = {
    "random": {},
    "centers on a 4 px grid": {"grid": 4},
    "axis-aligned, 4 px grid": {"grid": 4, "axis_aligned": True},
}
WARMUP_GT = 10


def build_own(device: str, grids: bool = True) -> Assign:
    """Return this package's assigner, with or without the grid layout of the priors."""
    priors, level_sizes, levels = square_priors((1024, 1024), device=device)
    return lambda gt_boxes: atss_assign(priors, level_sizes, gt_boxes, grids=levels if grids else None)[0]


def build_baseline(device: str) -> Assign:
    priors, level_sizes, _ = square_priors((1024, 1024), device=device)
    return baselines.atss_assigner(priors, level_sizes)


def assign_row(num_gt: int, own: Assign, baseline: Assign | None, args: argparse.Namespace) -> Row:
    """Measure both for one number of boxes, and this package without the grid layout."""
    row = assignment.assign_row("bench_assign", num_gt, own, baseline, args)
    gt_boxes, without_grids = inputs.scene(num_gt).to(args.device), build_own(args.device, grids=False)
    sync = harness.synchronizer(args.device)
    row["without_grids"] = time_one(lambda: without_grids(gt_boxes), args.repeats, sync=sync)
    return row


def compare(scene: str, seed: int, own: Assign, baseline: Assign, args: argparse.Namespace) -> Row:
    """Count the positives and the priors on which the two differ on one of :data:`SCENES`."""
    gt_boxes = inputs.scene(args.scene_gt, seed, **SCENES[scene]).to(args.device)
    result, other = own(gt_boxes), baseline(gt_boxes)
    counts = {"num_gt": len(gt_boxes), "num_pos": int((result >= 0).sum()), "differing": int((result != other).sum())}
    return {"scene": scene, "seed": seed, **counts}


def targets(rows: list[Row]) -> list[Row]:
    of = {row["num_gt"]: row for row in rows}
    times = {num_gt: row["rotated_atss"]["median"] * 1e3 for num_gt, row in of.items()}
    speedup, memory = of.get(500, {}).get("speedup"), of.get(5000, {}).get("rotated_atss_mb")
    return [
        target("assignment of 500 boxes, ms", times.get(500), at_most=5),
        target("assignment of 5,000 boxes, ms", times.get(5000), at_most=30),
        target("assignment of 500 boxes: speedup over mmrotate", speedup, at_least=4000),
        target("assignment of 5,000 boxes: extra memory, MB", memory, at_most=20),
    ]


def measure(args: argparse.Namespace) -> Record:
    missing = baselines.missing_mmrotate()
    settle_allocator()
    own, baseline = build_own(args.device), None if missing else build_baseline(args.device)
    if baseline is not None:
        baseline(inputs.scene(WARMUP_GT).to(args.device))
    rows = [assign_row(num_gt, own, baseline, args) for num_gt in args.num_gt]
    seeds = range(args.scenes if baseline else 0)
    comparisons = [compare(scene, seed, own, baseline, args) for scene in SCENES for seed in seeds]
    return {"baseline_missing": missing, "targets": targets(rows), "rows": rows, "comparisons": comparisons}
