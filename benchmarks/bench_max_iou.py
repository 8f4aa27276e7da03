"""Max-IoU assignment with nine priors per location, compared with MMDetection's MaxIoUAssigner on mmrotate's IoU.

Images of 1024 x 1024 px; memory as in bench_assign.py. The baseline takes about half a second per box on a CPU and is
skipped above --baseline-max-gt. compare_max_iou.py compares the results on real tiles.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from benchmarks import assignment, baselines, inputs
from benchmarks.baselines import Assign
from benchmarks.records import Record, Row, target
from rotated_atss.assign import max_iou_assign, square_priors

OPTIONS = dict(device="cpu", repeats=5, num_gt=[10, 100, 500, 2000], baseline_max_gt=20, baseline_repeats=1)

WARMUP_GT = 3


def nine_priors(size: int = 1024) -> Tensor:
    """Return (A, 5) float32 priors: three scales and three aspect ratios per location, as in the RetinaNet configs."""
    square = square_priors((size, size))[0]
    scales = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
    shapes = torch.tensor([[scale / ratio**0.5, scale * ratio**0.5] for ratio in (1.0, 0.5, 2.0) for scale in scales])
    repeated = square[:, None].repeat(1, len(shapes), 1)
    repeated[..., 2:4] *= shapes
    return repeated.flatten(0, 1)


def build_own(device: str) -> Assign:
    priors = nine_priors().to(device)
    return lambda gt_boxes: max_iou_assign(priors, gt_boxes)[0]


def build_baseline(device: str) -> Assign:
    return baselines.max_iou_assigner(nine_priors().to(device))


def assign_row(num_gt: int, own: Assign, baseline: Assign | None, args: argparse.Namespace) -> Row:
    """Measure both for one number of boxes and count the priors on which they differ."""
    row = assignment.assign_row("bench_max_iou", num_gt, own, baseline, args)
    if "baseline" in row:
        gt_boxes = inputs.scene(num_gt).to(args.device)
        row["differing"] = int((own(gt_boxes) != baseline(gt_boxes)).sum())
    return row


def targets(rows: list[Row]) -> list[Row]:
    large = next((row for row in rows if row["num_gt"] == 2000), None)
    speedup = min((row["speedup"] for row in rows if "speedup" in row), default=None)
    seconds, memory = (large["rotated_atss"]["median"], large["rotated_atss_mb"]) if large else (None, None)
    return [
        target("max-IoU assignment: speedup over MMDetection", speedup, at_least=1),
        target("max-IoU assignment of 2,000 boxes, s", seconds, at_most=60),
        target("max-IoU assignment of 2,000 boxes: extra memory, MB", memory, at_most=1000),
    ]


def measure(args: argparse.Namespace) -> Record:
    missing = baselines.missing_mmrotate()
    own, baseline = build_own(args.device), None if missing else build_baseline(args.device)
    rows = [assign_row(num_gt, own, baseline, args) for num_gt in args.num_gt]
    return {"baseline_missing": missing, "targets": targets(rows), "rows": rows}
