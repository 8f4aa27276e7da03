"""Rotated NMS, compared with mmcv's batched_nms over its compiled nms_rotated, as mmrotate's heads call it.

The CPU kernel of mmcv's nms_rotated ignores its labels; batched_nms offsets the boxes of each class. On the CPU the
baseline takes more than a minute on the larger scene and runs once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks import harness, inputs
from benchmarks.baselines import NMS, batched_nms, mmcv_ops
from benchmarks.records import Record, Row, target
from benchmarks.timing import time_pair
from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.ops.backend import default_backend

OPTIONS = dict(device="cpu", repeats=9, baseline_repeats=3)

IOU_THRESHOLD = 0.1
ROUNDING = 1e-5  # IoUs this close to the threshold may fall on either side of it in float32

Scene = tuple[Tensor, Tensor, Tensor]  # boxes, scores, labels

TILE, HARBOR = "tile, 15 classes", "harbor, 1 class"
SCENES: dict[str, Callable[[], Scene]] = {
    TILE: lambda: inputs.detections(400, 5, 15, 1024),
    HARBOR: lambda: inputs.harbor(4000, 5),
}


def nms_row(name: str, baseline: NMS | None, args: argparse.Namespace) -> Row:
    """Time both and count their mistakes on one scene."""
    scene = SCENES[name]()
    on_device = tuple(part.to(args.device) for part in scene)
    slow = name == HARBOR and args.device == "cpu"
    compared = compare(
        scene, partial(rotated_nms, *on_device, IOU_THRESHOLD),
        None if baseline is None else partial(baseline, *on_device, IOU_THRESHOLD), args.repeats,
        baseline_repeats=1 if slow else args.baseline_repeats, baseline_warmup=0 if slow else 1,
        sync=harness.synchronizer(args.device),
    )  # fmt: skip
    return {"scene": name, **compared}


def compare(
    scene: Scene, run: Callable[[], Tensor], baseline: Callable[[], Tensor] | None, repeats: int, **timing: Any
) -> Row:
    """Time two calls of NMS on one scene and count their mistakes; ``timing`` are arguments of time_pair."""
    row = {"boxes": len(scene[0]), **time_pair(run, baseline, repeats, **timing)}
    kept = run().cpu()
    row |= {"kept": len(kept), "rotated_atss_mistakes": mistakes(scene, kept)}
    if baseline is not None:
        other = baseline().cpu()
        row |= {"baseline_kept": len(other), "same": bool(torch.equal(kept.sort()[0], other.sort()[0]))}
        row["baseline_mistakes"] = mistakes(scene, other)
    return row


def mistakes(scene: Scene, kept: Tensor) -> dict[str, int]:
    """Count in float64 the kept boxes that overlap a higher-scoring kept box, and the dropped boxes that overlap none.

    Overlaps within :data:`ROUNDING` of the threshold count as neither.
    """
    boxes, scores, labels = scene[0].double(), scene[1], scene[2]
    best_first = kept[scores[kept].argsort(descending=True)]
    dropped = torch.ones(len(boxes), dtype=torch.bool).index_fill_(0, kept, False).nonzero().squeeze(1)
    duplicate = _highest_iou(boxes, scores, labels, best_first, best_first) > IOU_THRESHOLD + ROUNDING
    lost = _highest_iou(boxes, scores, labels, dropped, best_first) <= IOU_THRESHOLD - ROUNDING
    return {"kept_too_many": int(duplicate.sum()), "dropped_too_many": int(lost.sum())}


def _highest_iou(boxes: Tensor, scores: Tensor, labels: Tensor, some: Tensor, kept: Tensor) -> Tensor:
    """Return the highest IoU of each of ``some`` boxes with the kept boxes of its class and a higher score."""
    parts = []
    for part in some.split(2000):
        suppressor = (labels[part, None] == labels[kept]) & (scores[kept] > scores[part, None])
        parts.append((rotated_iou(boxes[part], boxes[kept]) * suppressor).amax(1))
    return torch.cat([*parts, boxes.new_zeros(0)])


def targets(rows: list[Row], *, gpu: bool = False) -> list[Row]:
    (row,) = (row for row in rows if row["scene"] == (TILE if gpu else HARBOR))
    seconds = row["rotated_atss"]["median"]
    if gpu:
        return [target(f"rotated NMS of {row['boxes']:,} boxes in 15 classes, ms", seconds * 1e3, at_most=0.5)]
    return [target(f"rotated NMS of {row['boxes']:,} boxes (harbor), s", seconds, at_most=0.5)]


def measure(args: argparse.Namespace) -> Record:
    mmcv, missing = mmcv_ops(args.device)
    rows = [nms_row(name, None if mmcv is None else batched_nms(mmcv), args) for name in SCENES]
    gpu = args.device != "cpu"
    settings = {"iou_threshold": IOU_THRESHOLD, **({"backend": default_backend("cuda")} if gpu else {})}
    return {"baseline_missing": missing, "settings": settings, "targets": targets(rows, gpu=gpu), "rows": rows}
