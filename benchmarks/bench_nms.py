"""Rotated NMS: rotated_nms beside what mmrotate's heads call, mmcv's batched_nms over its compiled nms_rotated.

    python benchmarks/bench_nms.py [--repeats 9] [--peer-repeats 3] [--peer-seconds 180] [--device cuda]

mmcv's nms_rotated itself takes labels, but its CPU kernel ignores them; batched_nms shifts each class by an offset.
What the peer will take is judged from the smaller scene: from 10 s on it runs once, beyond --peer-seconds not at all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness, inputs
from benchmarks.peers import mmcv_ops
from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.ops.backend import default_backend

IOU_THRESHOLD = 0.1
SLOW_SECONDS = 10
ROUNDING = 1e-5  # IoUs this near the threshold may fall on either side of it in float32

Scene = tuple[Tensor, Tensor, Tensor]
NMS = Callable[[Tensor, Tensor, Tensor, float], Tensor]

SCENES: dict[str, Callable[[], Scene]] = {
    "tile, 15 classes": lambda: inputs.detections(400, 5, 15, 1024),
    "harbour, 1 class": lambda: inputs.harbour(4000, 5),
}


def peer_nms(mmcv: Any) -> NMS:
    def run(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
        return mmcv.batched_nms(boxes, scores, labels, dict(type="nms_rotated", iou_threshold=threshold))[1]

    return run


def measure(
    name: str, scene: Scene, peer: NMS | None, why: str, args: argparse.Namespace, *, slow: bool = False
) -> dict[str, Any]:
    boxes, scores, labels = (part.to(args.device) for part in scene)
    run_peer = None if peer is None else (lambda: peer(boxes, scores, labels, IOU_THRESHOLD))
    timed = harness.time_pair(
        lambda: rotated_nms(boxes, scores, labels, IOU_THRESHOLD), run_peer, args.repeats,
        peer_repeats=1 if slow else args.peer_repeats, peer_warmup=0 if slow else 1,
        sync=harness.synchroniser(args.device),
    )  # fmt: skip
    mine = rotated_nms(boxes, scores, labels, IOU_THRESHOLD).cpu()
    row = {"scene": name, "boxes": len(boxes), "kept": len(mine), "peer_missing": why, **timed}
    row["ours_mistakes"] = mistakes(scene, mine)
    if run_peer is not None:
        yours = run_peer().cpu()
        row |= {
            "peer_kept": len(yours),
            "same": bool(torch.equal(mine, yours)),
            "peer_mistakes": mistakes(scene, yours),
        }
    return row


def mistakes(scene: Scene, kept: Tensor) -> dict[str, int]:
    """What float64 says of a result: kept boxes that overlap a better kept one, and dropped boxes that overlap none.

    Overlaps within :data:`ROUNDING` of the threshold count for neither.
    """
    boxes, scores, labels = scene[0].double(), scene[1], scene[2]
    best_first = kept[scores[kept].argsort(descending=True)]
    dropped = torch.ones(len(boxes), dtype=torch.bool).index_fill_(0, kept, False).nonzero().squeeze(1)
    doubled = _highest(boxes, scores, labels, best_first, best_first) > IOU_THRESHOLD + ROUNDING
    lost = _highest(boxes, scores, labels, dropped, best_first) <= IOU_THRESHOLD - ROUNDING
    return {"kept_too_many": int(doubled.sum()), "dropped_too_many": int(lost.sum())}


def _highest(boxes: Tensor, scores: Tensor, labels: Tensor, some: Tensor, kept: Tensor) -> Tensor:
    """The highest overlap of each of some boxes with the kept boxes of its class and a higher score."""
    parts = []
    for part in some.split(2000):
        rival = (labels[part, None] == labels[kept]) & (scores[kept] > scores[part, None])
        parts.append((rotated_iou(boxes[part], boxes[kept]) * rival).amax(1))
    return torch.cat([*parts, boxes.new_zeros(0)])


def expected_seconds(peer: NMS, small: Scene, large: Scene, device: str) -> float:
    """The peer compares about all with all: time grows with the square of the number, at most."""
    here = [part.to(device) for part in small]
    seconds = harness.time_one(lambda: peer(*here, IOU_THRESHOLD), 1, sync=harness.synchroniser(device))["median"]
    return seconds * (len(large[0]) / len(small[0])) ** 2


def measure_all(args: argparse.Namespace) -> tuple[list[dict[str, Any]], str]:
    mmcv, why = mmcv_ops(args.device)
    peer = None if mmcv is None else peer_nms(mmcv)
    scenes = {name: make() for name, make in SCENES.items()}
    small = next(iter(scenes.values()))
    rows = []
    for name, scene in scenes.items():
        expected = 0.0 if peer is None else expected_seconds(peer, small, scene, args.device)
        if expected > args.peer_seconds:
            reason = f"left out: about {expected:.0f} s a run expected, more than --peer-seconds {args.peer_seconds:g}"
            rows.append(measure(name, scene, None, reason, args))
        else:
            rows.append(measure(name, scene, peer, why, args, slow=expected > SLOW_SECONDS))
    return rows, why


def cpu_bars(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was promised on the CPU."""
    (harbour,) = (row for row in rows if row["scene"] == "harbour, 1 class")
    claim = f"NMS of {harbour['boxes']:,} boxes of a harbour: seconds"
    return [harness.bar(claim, harbour["ours"]["median"], at_most=0.5)]


def gpu_bars(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was promised on a GPU."""
    (tile,) = (row for row in rows if row["scene"] == "tile, 15 classes")
    claim = f"NMS of {tile['boxes']:,} boxes in 15 classes: milliseconds"
    return [harness.bar(claim, tile["ours"]["median"] * 1e3, at_most=0.5)]


def main() -> None:
    parser = harness.arguments(__doc__, repeats=9)
    parser.add_argument("--peer-repeats", type=int, default=3)
    parser.add_argument("--peer-seconds", type=float, default=180, help="leave the peer out where a run takes longer")
    args = parser.parse_args()
    harness.check_device(args.device)
    rows, why = measure_all(args)
    print(harness.table([{
        "scene": row["scene"], "boxes": row["boxes"], "kept": row["kept"], "ours_s": row["ours"]["median"],
        "mmcv_s": row["peer"]["median"] if "peer" in row else None, "ratio": row.get("ratio"),
        "same": str(row.get("same", "")), "ours_mistakes": sum(row["ours_mistakes"].values()),
        "mmcv_mistakes": sum(row["peer_mistakes"].values()) if "peer_mistakes" in row else None,
    } for row in rows]))  # fmt: skip
    print("\n".join(f"{row['scene']}: mmcv {row['peer_missing']}" for row in rows if row["peer_missing"]))
    promised = cpu_bars(rows) if args.device == "cpu" else gpu_bars(rows)
    print(harness.show_bars(promised))
    payload = {"peer": "mmcv", "peer_missing": why, "environment": harness.environment(args.device), "bars": promised}
    if args.device != "cpu":
        payload["backend"] = default_backend("cuda")
    print(harness.save("nms", {**payload, "iou_threshold": IOU_THRESHOLD, "results": rows}))


if __name__ == "__main__":
    main()
