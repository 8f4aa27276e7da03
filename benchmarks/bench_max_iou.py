"""RetinaNet's assignment at 1024 x 1024, nine priors a location: max_iou_assign beside MMDetection's MaxIoUAssigner
with mmrotate's rotated IoU, in time, memory and result.

    python benchmarks/bench_max_iou.py [--objects 10 100 500 2000] [--peer-most 20] [--repeats 5] [--peer-repeats 1]
                                       [--device cuda]

Memory is measured as in bench_assign.py. Above --peer-most objects the peer, which takes about half a second an object
on a CPU, is left out. Results are compared on the scenes both did: a prior may differ only where its IoU lies within
1e-4 of a threshold or of the object's or the prior's best.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness, inputs
from benchmarks.memory import extra_megabytes
from benchmarks.peers import mmrotate
from rotated_atss.assign import max_iou_assign
from rotated_atss.ops import rotated_iou

WARM_OBJECTS = 3
CLOSE = 1e-4

Assign = Callable[[Tensor], Tensor]


def nine_priors(size: int = 1024) -> Tensor:
    """(A, 5) float32: three sizes and three shapes a location, as the RetinaNet configs have them."""
    square = inputs.priors(size)[0]
    forms = []
    for ratio in (1.0, 0.5, 2.0):
        for scale in (1.0, 2 ** (1 / 3), 2 ** (2 / 3)):
            forms.append([scale / ratio**0.5, scale * ratio**0.5])
    forms = torch.tensor(forms)
    repeated = square[:, None].repeat(1, len(forms), 1)
    repeated[..., 2:4] *= forms
    return repeated.flatten(0, 1)


def our_way(device: str) -> Assign:
    priors = nine_priors().to(device)
    return lambda objects: max_iou_assign(priors, objects)[0]


def peer_way(device: str) -> Assign:
    """The assigner as mmrotate's RetinaNet configs have it; -1 background, -2 neither, else the object."""
    from mmengine.structures import InstanceData
    from mmrotate.registry import TASK_UTILS
    from mmrotate.structures.bbox import RotatedBoxes

    iou = dict(type="mmrotate.RBboxOverlaps2D")
    assigner = TASK_UTILS.build(
        dict(type="mmdet.MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1,
             iou_calculator=iou)
    )  # fmt: skip
    priors = InstanceData(priors=RotatedBoxes(nine_priors().to(device)))

    def assign(objects: Tensor) -> Tensor:
        labels = torch.zeros(len(objects), dtype=torch.int64, device=objects.device)
        found = assigner.assign(priors, InstanceData(bboxes=RotatedBoxes(objects), labels=labels)).gt_inds
        return torch.where(found > 0, found - 1, torch.where(found == 0, -1, -2))

    return assign


WAYS: dict[str, Callable[[str], Assign]] = {"ours": our_way, "peer": peer_way}


def differing(objects: Tensor, mine: Tensor, theirs: Tensor) -> dict[str, int]:
    """How many priors differ, and how many of them no near tie explains."""
    rows = torch.nonzero(mine != theirs).squeeze(1)
    if not len(rows):
        return {"differing": 0, "unexplained": 0}
    priors, objects = nine_priors().double(), objects.cpu().double()
    of_priors = rotated_iou(priors[rows], objects)  # (D, G)
    best_of_object = rotated_iou(priors, objects).amax(0)
    best = of_priors.amax(1, keepdim=True)
    near_threshold = ((best - 0.5).abs() < CLOSE) | ((best - 0.4).abs() < CLOSE)
    near_owner = ((best - of_priors).abs() < CLOSE).sum(1, keepdim=True) > 1
    near_low = ((of_priors - best_of_object).abs() < CLOSE).any(1, keepdim=True)
    told = (near_threshold | near_owner | near_low).squeeze(1)
    return {"differing": len(rows), "unexplained": int((~told).sum())}


def row_of(number: int, ours: Assign, peer: Assign | None, args: argparse.Namespace) -> dict[str, Any]:
    """Time and memory of both, and how far they agree, for one number of objects."""
    objects = inputs.scene(number).to(args.device)
    peer = peer if number <= args.peer_most else None
    timed = harness.time_pair(
        lambda: ours(objects), None if peer is None else (lambda: peer(objects)), args.repeats, warmup=1,
        peer_repeats=args.peer_repeats, peer_warmup=0, sync=harness.synchroniser(args.device),
    )  # fmt: skip
    row = {"objects": number, **timed, "ours_mb": memory_of("ours", number, args.device)}
    if peer is not None:
        row["peer_mb"] = memory_of("peer", number, args.device)
        row["agreement"] = differing(objects, ours(objects).cpu(), peer(objects).cpu())
    return row


def memory_of(way: str, number: int, device: str) -> float:
    """Peak extra memory of one assignment in MB, in a process of its own."""
    words = [sys.executable, __file__, "--memory-of", way, "--objects", str(number), "--device", device]
    done = subprocess.run(words, cwd=harness.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"measuring memory failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def print_memory(way: str, number: int, device: str) -> None:
    """What the process of :func:`memory_of` does."""
    if way == "peer":
        mmrotate()
    assign = WAYS[way](device)
    objects, few = inputs.scene(number).to(device), inputs.scene(WARM_OBJECTS).to(device)
    assign(few)
    print(json.dumps(extra_megabytes(lambda: assign(objects), device)))


def bars(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    of = {row["objects"]: row for row in rows}
    ratios = [row["ratio"] for row in rows if row.get("ratio")]
    unexplained = [row["agreement"]["unexplained"] for row in rows if "agreement" in row]
    seconds = of[2000]["ours"]["median"] if 2000 in of else None
    largest = of.get(2000, {}).get("ours_mb")
    disagreed = sum(unexplained) if unexplained else None
    return [
        harness.bar("max-IoU assignment: times faster than MMDetection's", min(ratios, default=None), at_least=1),
        harness.bar("max-IoU assignment of 2,000 objects, seconds", seconds, at_most=60),
        harness.bar("max-IoU assignment of 2,000 objects: extra memory in MB", largest, at_most=1000),
        harness.bar("max-IoU assignment: differing priors without a cause", disagreed, at_most=0),
    ]


def shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "objects": row["objects"], "ours_ms": row["ours"]["median"] * 1e3,
        "mmdet_ms": row["peer"]["median"] * 1e3 if "peer" in row else None, "ratio": row.get("ratio"),
        "ours_mb": row["ours_mb"], "mmdet_mb": row.get("peer_mb"), **row.get("agreement", {}),
    }  # fmt: skip


def measure(args: argparse.Namespace) -> None:
    package, why = mmrotate()
    ours, peer = our_way(args.device), None if package is None else peer_way(args.device)
    rows = [row_of(number, ours, peer, args) for number in args.objects]
    columns = [{**dict.fromkeys(shown(rows[0])), **shown(row)} for row in rows]
    print(harness.table(columns))
    promised = bars(rows)
    print(harness.show_bars(promised))
    payload = {"peer": "MMDetection", "peer_missing": why, "environment": harness.environment(args.device)}
    print(harness.save("max_iou", {**payload, "bars": promised, "results": rows}))


def main() -> None:
    parser = harness.arguments(__doc__, repeats=5)
    parser.add_argument("--objects", type=int, nargs="+", default=[10, 100, 500, 2000])
    parser.add_argument("--peer-most", type=int, default=20)
    parser.add_argument("--peer-repeats", type=int, default=1)
    parser.add_argument("--memory-of", choices=sorted(WAYS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    harness.check_device(args.device)
    if args.memory_of:
        print_memory(args.memory_of, args.objects[0], args.device)
    else:
        measure(args)


if __name__ == "__main__":
    main()
