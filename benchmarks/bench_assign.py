"""Assignment at 1024 x 1024: atss_assign beside mmrotate's dense RotatedATSSAssigner, in time, memory and result.

    python benchmarks/bench_assign.py [--objects 10 100 500 2000 5000] [--peer-most 500] [--repeats 15]
                                      [--peer-repeats 3] [--scenes 3] [--scene-objects 60] [--device cuda]

Memory is the peak during one assignment beyond what the process held just before, each measured in a fresh process
that has assigned ten objects already (on the CPU resident memory, on CUDA allocated memory). Above --peer-most
objects the peer, which takes about 0.06 s an object on a CPU, is left out. Results are compared on --scenes random
scenes, as many with centres on multiples of 4 px, where distances tie, and as many with upright boxes there, whose
edges coincide with those of priors: every prior that differs is listed with its cause (benchmarks/explain.py).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness, inputs  # noqa: E402
from benchmarks.explain import explain  # noqa: E402
from benchmarks.memory import extra_megabytes  # noqa: E402
from benchmarks.peers import atss_assigner, mmrotate  # noqa: E402
from rotated_atss.assign import atss_assign  # noqa: E402

SCENES: dict[str, dict[str, Any]] = {
    "random": {},
    "centres on 4 px": {"grid": 4},
    "upright, on 4 px": {"grid": 4, "upright": True},
}
WARM_OBJECTS = 10

Assign = Callable[[Tensor], Tensor]


def our_way(device: str) -> Assign:
    priors, sizes = inputs.priors()
    priors = priors.to(device)
    return lambda objects: atss_assign(priors, sizes, objects)[0]


def peer_way(device: str) -> Assign:
    """mmrotate's assigner; the index of every prior's object, -1 where none, as ours has it."""
    from mmengine.structures import InstanceData
    from mmrotate.structures.bbox import RotatedBoxes

    priors, sizes = inputs.priors()
    priors = priors.to(device)
    assigner = atss_assigner()

    def assign(objects: Tensor) -> Tensor:
        labels = torch.zeros(len(objects), dtype=torch.int64, device=objects.device)
        gt = InstanceData(bboxes=RotatedBoxes(objects), labels=labels)
        return assigner.assign(InstanceData(priors=RotatedBoxes(priors)), sizes, gt).gt_inds - 1

    return assign


WAYS: dict[str, Callable[[str], Assign]] = {"ours": our_way, "peer": peer_way}


def speed_row(number: int, ours: Assign, peer: Assign | None, args: argparse.Namespace) -> dict[str, Any]:
    """Time of both and memory of both for one number of objects."""
    objects = inputs.scene(number).to(args.device)
    peer = peer if number <= args.peer_most else None
    timed = harness.time_pair(
        lambda: ours(objects), None if peer is None else (lambda: peer(objects)), args.repeats, warmup=2,
        peer_repeats=args.peer_repeats, peer_warmup=0, sync=harness.synchroniser(args.device),
    )  # fmt: skip
    memory = {"ours_mb": memory_of("ours", number, args.device)}
    if peer is not None:
        memory["peer_mb"] = memory_of("peer", number, args.device)
    return {"objects": number, **timed, **memory}


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


def compare(name: str, objects: Tensor, ours: Assign, peer: Assign, device: str) -> dict[str, Any]:
    """The priors on which the two differ, each with its cause."""
    mine, theirs = (way(objects.to(device)).cpu() for way in (ours, peer))
    differing = torch.nonzero(mine != theirs).squeeze(1)
    causes = explain(*inputs.priors(), objects, mine, theirs, device) if len(differing) else []
    return {
        "scene": name, "objects": len(objects), "positives": int((mine >= 0).sum()), "differing": len(differing),
        "causes": dict(Counter(each["cause"] for each in causes)), "list": causes,
    }  # fmt: skip


def comparisons(ours: Assign, peer: Assign, args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for name, kind in SCENES.items():
        for seed in range(args.scenes):
            objects = inputs.scene(args.scene_objects, seed, **kind)
            rows.append({"seed": seed, **compare(name, objects, ours, peer, args.device)})
    return rows


def bars(rows: list[dict[str, Any]], compared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    of = {row["objects"]: row for row in rows}
    unexplained = [row["causes"].get("unexplained", 0) for row in compared]
    return [
        harness.bar("500 objects: times faster than mmrotate", of.get(500, {}).get("ratio"), at_least=100),
        harness.bar("2,000 objects: extra memory in MB", of.get(2000, {}).get("ours_mb"), at_most=100),
        harness.bar("differing priors without a cause", sum(unexplained) if compared else None, at_most=0),
    ]


def shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "objects": row["objects"], "ours_ms": row["ours"]["median"] * 1e3,
        "mmrotate_ms": row["peer"]["median"] * 1e3 if "peer" in row else None, "ratio": row.get("ratio"),
        "ours_mb": row["ours_mb"], "mmrotate_mb": row.get("peer_mb"),
    }  # fmt: skip


def shown_comparison(row: dict[str, Any]) -> dict[str, Any]:
    causes = ", ".join(f"{number} {cause}" for cause, number in row["causes"].items())
    return {**{key: row[key] for key in ("scene", "seed", "objects", "positives", "differing")}, "causes": causes}


def measure(args: argparse.Namespace) -> None:
    package, why = mmrotate()
    ours, peer = our_way(args.device), None if package is None else peer_way(args.device)
    if peer is not None:
        peer(inputs.scene(WARM_OBJECTS).to(args.device))
    rows = [speed_row(number, ours, peer, args) for number in args.objects]
    compared = [] if peer is None else comparisons(ours, peer, args)
    print(harness.table([shown(row) for row in rows]))
    if compared:
        print(harness.table([shown_comparison(row) for row in compared]))
    print(why or f"mmrotate is left out above {args.peer_most} objects (--peer-most)")
    promised = bars(rows, compared)
    print(harness.show_bars(promised))
    payload = {"peer": "onedl-mmrotate", "peer_missing": why, "environment": harness.environment(args.device)}
    print(harness.save("assign", {**payload, "bars": promised, "results": rows, "comparisons": compared}))


def main() -> None:
    parser = harness.arguments(__doc__, repeats=15)
    parser.add_argument("--objects", type=int, nargs="+", default=[10, 100, 500, 2000, 5000])
    parser.add_argument("--peer-most", type=int, default=500)
    parser.add_argument("--peer-repeats", type=int, default=3)
    parser.add_argument("--scenes", type=int, default=3, help="compared of each kind")
    parser.add_argument("--scene-objects", type=int, default=60)
    parser.add_argument("--memory-of", choices=sorted(WAYS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    harness.check_device(args.device)
    if args.memory_of:
        print_memory(args.memory_of, args.objects[0], args.device)
    else:
        measure(args)


if __name__ == "__main__":
    main()
