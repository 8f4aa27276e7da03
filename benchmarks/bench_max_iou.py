"""Max-IoU assignment with nine priors per location, compared with MMDetection's MaxIoUAssigner on mmrotate's IoU.

Images of 1024 x 1024 px; memory as in bench_assign.py. The baseline takes about half a second per box on a CPU and is
skipped above --baseline-max-gt. A difference is explained where the IoU of the prior is within 1e-4 of a threshold or
of the best IoU of the ground-truth box or of the prior.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from benchmarks import assignment, baselines, inputs
from benchmarks.baselines import Assign
from benchmarks.records import Record, Row, target
from rotated_atss.assign import max_iou_assign
from rotated_atss.ops import rotated_iou

OPTIONS = dict(device="cpu", repeats=5, num_gt=[10, 100, 500, 2000], baseline_max_gt=20, baseline_repeats=1)

WARMUP_GT = 3
NEAR_TIE = 1e-4


def nine_priors(size: int = 1024) -> Tensor:
    """Return (A, 5) float32 priors: three scales and three aspect ratios per location, as in the RetinaNet configs."""
    square = inputs.priors(size)[0]
    scales = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
    shapes = torch.tensor([[scale / ratio**0.5, scale * ratio**0.5] for ratio in (1.0, 0.5, 2.0) for scale in scales])
    repeated = square[:, None].repeat(1, len(shapes), 1)
    repeated[..., 2:4] *= shapes
    return repeated.flatten(0, 1)


def build_own(device: str) -> Assign:
    """Return this package's assigner."""
    priors = nine_priors().to(device)
    return lambda gt_boxes: max_iou_assign(priors, gt_boxes)[0]


def build_baseline(device: str) -> Assign:
    """Return MMDetection's assigner."""
    return baselines.max_iou_assigner(nine_priors().to(device))


def agreement(gt_boxes: Tensor, result: Tensor, other: Tensor) -> dict[str, int]:
    """Count the priors that differ, and how many of these no near tie explains."""
    differing = torch.nonzero(result != other).squeeze(1)
    if not len(differing):
        return {"differing": 0, "unexplained": 0}
    priors, gt_boxes = nine_priors().double(), gt_boxes.cpu().double()
    iou = rotated_iou(priors[differing], gt_boxes)  # (D, G)
    best_of_gt = rotated_iou(priors, gt_boxes).amax(0)
    best = iou.amax(1, keepdim=True)
    near_threshold = ((best - 0.5).abs() < NEAR_TIE) | ((best - 0.4).abs() < NEAR_TIE)
    near_second = ((best - iou).abs() < NEAR_TIE).sum(1, keepdim=True) > 1
    near_best_of_gt = ((iou - best_of_gt).abs() < NEAR_TIE).any(1, keepdim=True)
    explained = near_threshold | near_second | near_best_of_gt
    return {"differing": len(differing), "unexplained": int((~explained).sum())}


def assign_row(num_gt: int, own: Assign, baseline: Assign | None, args: argparse.Namespace) -> Row:
    """Measure time, memory and agreement of both for one number of boxes."""
    row = assignment.assign_row("bench_max_iou", num_gt, own, baseline, args)
    if "baseline" in row:
        gt_boxes = inputs.scene(num_gt).to(args.device)
        row["agreement"] = agreement(gt_boxes, own(gt_boxes).cpu(), baseline(gt_boxes).cpu())
    return row


def targets(rows: list[Row]) -> list[Row]:
    large = next((row for row in rows if row["num_gt"] == 2000), None)
    speedup = min((row["speedup"] for row in rows if "speedup" in row), default=None)
    unexplained = [row["agreement"]["unexplained"] for row in rows if "agreement" in row]
    seconds, memory = (large["rotated_atss"]["median"], large["rotated_atss_mb"]) if large else (None, None)
    differences = sum(unexplained) if unexplained else None
    return [
        target("max-IoU assignment: speedup over MMDetection", speedup, at_least=1),
        target("max-IoU assignment of 2,000 boxes, s", seconds, at_most=60),
        target("max-IoU assignment of 2,000 boxes: extra memory, MB", memory, at_most=1000),
        target("max-IoU assignment: unexplained differences from MMDetection", differences, at_most=0),
    ]


def measure(args: argparse.Namespace) -> Record:
    package, missing = baselines.mmrotate()
    own, baseline = build_own(args.device), None if package is None else build_baseline(args.device)
    rows = [assign_row(num_gt, own, baseline, args) for num_gt in args.num_gt]
    return {"baseline_missing": missing, "targets": targets(rows), "rows": rows}
