"""Rows of the assignment benchmarks: time and memory of both implementations by number of ground-truth boxes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from benchmarks import harness, inputs
from benchmarks.baselines import Assign, mmrotate
from benchmarks.memory import extra_megabytes
from benchmarks.records import Row
from benchmarks.timing import time_pair

Builders = Mapping[str, Callable[[str], Assign]]  # rotated_atss and baseline: device -> assigner


def speed_row(num_gt: int, own: Assign, baseline: Assign | None, args: argparse.Namespace) -> Row:
    """Time both on one scene; the baseline only up to ``args.baseline_max_gt`` boxes."""
    gt_boxes = inputs.scene(num_gt).to(args.device)
    run_baseline = None
    if baseline is not None and num_gt <= args.baseline_max_gt:
        run_baseline = lambda: baseline(gt_boxes)  # noqa: E731  a def would be longer
    timed = time_pair(
        lambda: own(gt_boxes), run_baseline, args.repeats, warmup=2, baseline_repeats=args.baseline_repeats,
        baseline_warmup=0, sync=harness.synchronizer(args.device),
    )  # fmt: skip
    return {"num_gt": num_gt, **timed}


def extra_memory(builders: Builders, name: str, num_gt: int, warmup_gt: int, device: str) -> float:
    """Measure the extra memory of one assignment, in megabytes, after one of ``warmup_gt`` boxes."""
    if name == "baseline":
        mmrotate()
    assign = builders[name](device)
    gt_boxes, few = inputs.scene(num_gt).to(device), inputs.scene(warmup_gt).to(device)
    assign(few)
    return extra_megabytes(lambda: assign(gt_boxes), device)


def add_arguments(parser: argparse.ArgumentParser, num_gt: list[int], baseline_max_gt: int, repeats: int) -> None:
    """Add the options of both assignment benchmarks."""
    parser.add_argument("--num-gt", type=int, nargs="+", default=num_gt, help="ground-truth boxes of each scene")
    parser.add_argument("--baseline-max-gt", type=int, default=baseline_max_gt, help="skip the baseline above")
    parser.add_argument("--baseline-repeats", type=int, default=repeats)
