"""Rows of the assignment benchmarks: time and memory of both implementations by number of ground-truth boxes."""

from __future__ import annotations

import argparse
from importlib import import_module

from benchmarks import harness, inputs
from benchmarks.baselines import Assign, missing_mmrotate
from benchmarks.memory import extra_megabytes
from benchmarks.records import Row
from benchmarks.timing import time_pair


def assign_row(module: str, num_gt: int, own: Assign, baseline: Assign | None, args: argparse.Namespace) -> Row:
    """Measure time and memory on one scene; the baseline only up to ``args.baseline_max_gt`` boxes.

    ``module`` is the benchmark whose ``build_own`` and ``build_baseline`` made the assigners.
    """
    gt_boxes = inputs.scene(num_gt).to(args.device)
    skipped = baseline is None or num_gt > args.baseline_max_gt
    timed = time_pair(
        lambda: own(gt_boxes), None if skipped else (lambda: baseline(gt_boxes)), args.repeats, warmup=2,
        baseline_repeats=args.baseline_repeats, baseline_warmup=0, sync=harness.synchronizer(args.device),
    )  # fmt: skip
    row = {"num_gt": num_gt, **timed}
    for name, builder in (("rotated_atss", "build_own"), ("baseline", "build_baseline")):
        if name in timed:
            row[f"{name}_mb"] = harness.in_new_process(memory_mb, module, builder, num_gt, args.device)
    return row


def memory_mb(module: str, builder: str, num_gt: int, device: str) -> float:
    """Measure the extra memory of one assignment in megabytes, after a small one; runs in a fresh process."""
    if builder == "build_baseline":
        missing_mmrotate()
    benchmark = import_module(f"benchmarks.{module}")
    assign = getattr(benchmark, builder)(device)
    gt_boxes, few = inputs.scene(num_gt).to(device), inputs.scene(benchmark.WARMUP_GT).to(device)
    assign(few)
    return extra_megabytes(lambda: assign(gt_boxes), device)
