"""Rotated IoU: time per pair and largest error, compared with mmcv's box_iou_rotated.

Reference in float32: the closed form in float64 on all pairs. Reference in float64: rational arithmetic on --exact
random pairs of each kind and on those with the largest disagreement between the closed form, its transpose and shapely.

On CUDA one more row compares all pairs of a crowd in which no pair is skipped, and gives the share of the device's
float32 arithmetic. The peak is computed from the number of processors and the clock.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks import harness, inputs
from benchmarks.baselines import mmcv_ops
from benchmarks.exact import exact_iou
from benchmarks.records import Record, Row, target
from benchmarks.timing import time_pair
from rotated_atss.ops import rotated_iou
from rotated_atss.ops.backend import default_backend
from rotated_atss.ops.boxes import obb_to_poly

OPTIONS = dict(device="cpu", repeats=9, pairs=200_000, scene_boxes=2000, baseline_repeats=5, exact=2000)

WRONG = 0.01  # an IoU off by more than this is wrong, not rounded
SHAPELY_TOLERANCE = 1e-9
CROWD = 8192  # 67 million pairs, for which the launch overhead is negligible
CROWD_ROWS = 256  # rows of the crowd that are checked
MOST_DOUBTFUL = 200  # pairs with the largest disagreement that are checked in rational arithmetic

IoU = Callable[[Tensor, Tensor], Tensor]
aligned_iou: IoU = partial(rotated_iou, aligned=True)


def timed(
    own: IoU,
    baseline: IoU | None,
    boxes: tuple[Tensor, Tensor],
    args: argparse.Namespace,
    max_runs: int,
    warmup: int = 1,
) -> Row:
    """Time both; the baseline at most ``max_runs`` times."""
    return time_pair(
        lambda: own(*boxes), None if baseline is None else (lambda: baseline(*boxes)), args.repeats,
        warmup=warmup, baseline_repeats=min(max_runs, args.baseline_repeats), sync=harness.synchronizer(args.device),
    )  # fmt: skip


def aligned_row(kind: str, dtype: torch.dtype, baseline: IoU | None, args: argparse.Namespace) -> Row:
    """Measure one kind of pairs in one precision."""
    first, second = (boxes.to(dtype) for boxes in inputs.pairs(kind, args.pairs))
    boxes = first.to(args.device), second.to(args.device)
    baseline = baseline if baseline is not None and _accepts(baseline, dtype, args.device) else None
    row = {"pairs": args.pairs, "kind": kind, "title": inputs.PAIR_KINDS[kind], "dtype": str(dtype)[len("torch.") :]}
    row |= timed(aligned_iou, baseline, boxes, args, args.baseline_repeats)
    iou = aligned_iou(*boxes).cpu().double()
    checked: Tensor | slice = slice(None)
    if dtype == torch.float32:
        reference = aligned_iou(first.double(), second.double())
        row["reference"] = "float64 closed form, all pairs"
    else:
        shapely = shapely_iou(first, second)
        checked = doubtful(iou, [shapely, aligned_iou(second, first)], args.exact)
        pairs = zip(first[checked].tolist(), second[checked].tolist())
        reference = torch.tensor([exact_iou(*pair) for pair in pairs], dtype=torch.float64)
        row["reference"] = f"rational arithmetic, {len(reference)} pairs"
        row["shapely"] = compare_with_shapely(iou, shapely, checked, reference)
    row["rotated_atss_error"] = errors(iou[checked], reference)
    row["baseline_error"] = baseline and errors(baseline(*boxes).cpu().double()[checked], reference)
    return row


def dense_row(
    kind: str, title: str, boxes: tuple[Tensor, Tensor], baseline: IoU | None, args: argparse.Namespace
) -> Row:
    """Measure all pairs of two sets of boxes in float32."""
    row = {"pairs": len(boxes[0]) * len(boxes[1]), "kind": kind, "title": title, "dtype": "float32"}
    row |= timed(rotated_iou, baseline, boxes, args, *((3, 3) if kind == "crowd" else (2, 1)))
    some = boxes[0][:CROWD_ROWS] if kind == "crowd" else boxes[0]
    reference = rotated_iou(some.cpu().double(), boxes[1].cpu().double())
    row["reference"] = f"float64 closed form, {reference.numel()} pairs"
    row["rotated_atss_error"] = errors(rotated_iou(some, boxes[1]).cpu().double(), reference)
    row["baseline_error"] = baseline and errors(baseline(some, boxes[1]).cpu().double(), reference)
    return row


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
    off = (iou - reference).abs()
    return {"worst": float(off.max()), "wrong_share": float((off > WRONG).double().mean())}


def shapely_iou(first: Tensor, second: Tensor) -> Tensor:
    """Compute the IoU with GEOS in float64, with centers subtracted first."""
    import shapely

    first, second = first.clone(), second.clone()
    second[:, :2] -= first[:, :2]
    first[:, :2] = 0
    polygons = [shapely.polygons(obb_to_poly(boxes).numpy().reshape(-1, 4, 2)) for boxes in (first, second)]
    inter = torch.from_numpy(shapely.area(shapely.intersection(*polygons)))
    return inter / (first[:, 2:4].prod(1) + second[:, 2:4].prod(1) - inter)


def doubtful(iou: Tensor, others: list[Tensor], num_random: int) -> Tensor:
    """Return the indices of the first ``num_random`` pairs and of those on which another result differs most."""
    worst = [(iou - other).abs().topk(min(MOST_DOUBTFUL, len(iou))).indices for other in others]
    return torch.cat([torch.arange(min(num_random, len(iou))), *worst]).unique()


def compare_with_shapely(iou: Tensor, shapely: Tensor, checked: Tensor, reference: Tensor) -> Row:
    """Count the pairs on which shapely differs, and which side is wrong where rational arithmetic decides."""
    differs = (iou - shapely).abs() > SHAPELY_TOLERANCE
    decided = differs[checked]
    wrong, shapely_wrong = (
        int(((each[checked] - reference).abs() > SHAPELY_TOLERANCE)[decided].sum()) for each in (iou, shapely)
    )
    return {
        "differs": int(differs.sum()), "worst": float((iou - shapely).abs().max()), "decided": int(decided.sum()),
        "rotated_atss_wrong": wrong, "shapely_wrong": shapely_wrong,
    }  # fmt: skip


def _accepts(baseline: IoU, dtype: torch.dtype, device: str) -> bool:
    box = torch.ones((1, 5), dtype=dtype, device=device)
    try:
        baseline(box, box)
    except RuntimeError:
        return False
    return True


def targets(rows: list[Row], *, gpu: bool = False) -> list[Row]:
    worst = {
        dtype: max(row["rotated_atss_error"]["worst"] for row in rows if row["dtype"] == dtype)
        for dtype in ("float32", "float64")
    }
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
    return [
        *speed,
        target("rotated IoU: largest error in float32", worst["float32"], at_most=2e-6),
        target("rotated IoU: largest error in float64", worst["float64"], at_most=1e-12),
    ]


def measure(args: argparse.Namespace) -> Record:
    mmcv, missing = mmcv_ops(args.device)
    gpu = args.device != "cpu"
    aligned = None if mmcv is None else partial(mmcv.box_iou_rotated, aligned=True)
    dense = None if mmcv is None else mmcv.box_iou_rotated
    rows = [
        aligned_row(kind, dtype, aligned, args)
        for dtype in (torch.float32, torch.float64)
        for kind in inputs.PAIR_KINDS
    ]
    number = args.scene_boxes
    scenes = tuple(inputs.scene(number, seed).to(args.device) for seed in (0, 1))
    rows.append(dense_row("scene", f"{number:,} x {number:,} of a tile of 1024 px", scenes, dense, args))
    if gpu:
        crowds = tuple(inputs.crowd(CROWD, seed).to(args.device) for seed in (0, 1))
        row = dense_row("crowd", f"{CROWD:,} x {CROWD:,} that all overlap", crowds, dense, args)
        rows.append(row | throughput(row, args.device))
    return {"baseline_missing": missing, "targets": targets(rows, gpu=gpu), "rows": rows}
