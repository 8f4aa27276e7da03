"""Rotated IoU in float32: time per pair and largest error, compared with mmcv's box_iou_rotated.

The reference of the errors is the closed form in float64, which the tests compare with rational arithmetic and shapely.

On CUDA one more row compares all pairs of a crowd in which no pair is skipped, and gives the share of the device's
float32 arithmetic. The peak is computed from the number of processors and the clock.
"""

from __future__ import annotations

import argparse
import subprocess
from functools import partial
from types import ModuleType

import torch
from torch import Tensor

from benchmarks import harness, inputs
from benchmarks.baselines import mmcv_ops
from benchmarks.records import Record, Row, target
from benchmarks.timing import time_pair
from rotated_atss.ops import rotated_iou
from rotated_atss.ops.backend import default_backend

OPTIONS = dict(device="cpu", repeats=9, pairs=200_000, scene_boxes=2000, baseline_repeats=5)

WRONG = 0.01  # an IoU off by more than this is wrong, not rounded
DENSE_RUNS = 2  # runs of the baseline on all pairs of two sets
CROWD = 8192  # 67 million pairs, for which the launch overhead is negligible
CROWD_ROWS = 256  # rows of the crowd that are checked


def iou_row(
    kind: str, title: str, boxes: tuple[Tensor, Tensor], mmcv: ModuleType | None, args: argparse.Namespace,
    aligned: bool = False,
) -> Row:  # fmt: skip
    """Measure time and errors on all pairs of two sets of boxes, or on their rows with ``aligned``."""
    first, second = (each.float().to(args.device) for each in boxes)
    own = partial(rotated_iou, aligned=aligned)
    baseline = None if mmcv is None else partial(mmcv.box_iou_rotated, aligned=aligned)
    timed = time_pair(
        lambda: own(first, second), None if baseline is None else (lambda: baseline(first, second)), args.repeats,
        warmup=1 if args.device == "cpu" else 3, sync=harness.synchronizer(args.device),
        baseline_repeats=args.baseline_repeats if aligned else min(DENSE_RUNS, args.baseline_repeats),
    )  # fmt: skip
    some = first[:CROWD_ROWS] if kind == "crowd" else first
    reference = own(some.cpu().double(), second.cpu().double())
    return {
        "pairs": len(first) * (1 if aligned else len(second)), "kind": kind, "title": title, **timed,
        "rotated_atss_error": errors(own(some, second), reference),
        "baseline_error": baseline and errors(baseline(some, second), reference),
    }  # fmt: skip


def throughput(row: Row, device: str) -> Row:
    """Compute operations per pair, the rate reached, and its share of the computed peak."""
    if default_backend("cuda") != "triton":
        return {"backend": "torch"}
    from rotated_atss.ops.kernels.overlap import FLOPS_PER_PAIR

    reached, peak = FLOPS_PER_PAIR * row["pairs"] / row["rotated_atss"]["median"], float32_peak(device)
    return {
        "backend": "triton", "flops_per_pair": FLOPS_PER_PAIR, "tflops": round(reached / 1e12, 2),
        "computed_peak_tflops": peak and round(peak / 1e12, 2), "share_of_peak": peak and round(reached / peak, 3),
    }  # fmt: skip


def float32_peak(device: str) -> float | None:
    """Compute a CUDA device's float32 operations per second, None where the clock is unknown.

    Processors x lanes x 2 (a fused multiply-add) x highest clock.
    """
    properties = torch.cuda.get_device_properties(device)
    version = (properties.major, properties.minor)
    lanes = 64 if version == (8, 0) or version[0] == 7 else 128
    clock_hz = getattr(properties, "clock_rate", 0) * 1e3 or _nvidia_smi_clock_hz(torch.device(device).index or 0)
    return properties.multi_processor_count * lanes * 2 * clock_hz if clock_hz else None


def _nvidia_smi_clock_hz(index: int) -> float:
    """Return the highest clock by nvidia-smi, 0 where it is unknown."""
    words = ["nvidia-smi", f"--id={index}", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits"]
    try:
        return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout) * 1e6
    except (OSError, ValueError, subprocess.CalledProcessError):
        return 0.0


def errors(iou: Tensor, reference: Tensor) -> Row:
    """Return the largest error and the share of pairs that are wrong."""
    off = (iou.cpu().double() - reference).abs()
    return {"worst": float(off.max()), "wrong_share": float((off > WRONG).double().mean())}


def targets(rows: list[Row], *, gpu: bool = False) -> list[Row]:
    worst = max(row["rotated_atss_error"]["worst"] for row in rows)
    dense = ("scene", "crowd")
    speedups = [row["speedup"] for row in rows if "speedup" in row and (row["kind"] in dense) == gpu]
    lowest = min(speedups, default=None)
    if gpu:
        shares = [row["share_of_peak"] for row in rows if row.get("share_of_peak")]
        name = "rotated IoU, float32, all pairs: share of the computed arithmetic peak"
        speed = [target("rotated IoU, all pairs: speedup over mmcv's CUDA op", lowest, at_least=5),
                 target(name, min(shares, default=None), at_least=0.3)]  # fmt: skip
    else:
        speed = [target("rotated IoU, float32, aligned: lowest speedup over mmcv", lowest, at_least=20)]
    return [*speed, target("rotated IoU: largest error in float32", worst, at_most=2e-6)]


def measure(args: argparse.Namespace) -> Record:
    mmcv, missing = mmcv_ops(args.device)
    gpu = args.device != "cpu"
    rows = [
        iou_row(kind, title, inputs.pairs(kind, args.pairs), mmcv, args, aligned=True)
        for kind, title in inputs.PAIR_KINDS.items()
    ]
    number = args.scene_boxes
    scenes = inputs.scene(number, 0), inputs.scene(number, 1)
    rows.append(iou_row("scene", f"{number:,} x {number:,} of a tile of 1024 px", scenes, mmcv, args))
    if gpu:
        crowds = inputs.crowd(CROWD, 0), inputs.crowd(CROWD, 1)
        row = iou_row("crowd", f"{CROWD:,} x {CROWD:,} that all overlap", crowds, mmcv, args)
        rows.append(row | throughput(row, args.device))
    return {"baseline_missing": missing, "targets": targets(rows, gpu=gpu), "rows": rows}
