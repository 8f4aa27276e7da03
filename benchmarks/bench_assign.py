"""Assignment: atss_assign beside mmrotate's dense RotatedATSSAssigner, in time, memory and result.

    python benchmarks/bench_assign.py [--objects 10 100 500 2000 5000] [--peer-most 500] [--repeats 15] [--large 4096]
                                      [--peer-repeats 3] [--scenes 3] [--scene-objects 60] [--device cuda]

At 1024 x 1024 for every number of objects, ours also on priors that are not known to be grids ("searched"); for 500
objects also on an image of --large pixels, and 16 images of 100 objects in one call beside 16 calls.

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

from benchmarks import harness, inputs
from benchmarks.explain import explain
from benchmarks.memory import extra_megabytes
from benchmarks.peers import atss_assigner, mmrotate
from rotated_atss.assign import atss_assign, atss_assign_batch

SCENES: dict[str, dict[str, Any]] = {
    "random": {},
    "centres on 4 px": {"grid": 4},
    "upright, on 4 px": {"grid": 4, "upright": True},
}
WARM_OBJECTS = 10

Assign = Callable[[Tensor], Tensor]


def our_way(device: str, size: int = 1024, grids: bool = True) -> Assign:
    priors, sizes = inputs.priors(size)
    priors = priors.to(device)
    levels = inputs.grids(size) if grids else None
    return lambda objects: atss_assign(priors, sizes, objects, grids=levels)[0]


def searched_way(device: str) -> Assign:
    """Ours where nothing is known of the priors: every one is looked at."""
    return our_way(device, grids=False)


def peer_way(device: str) -> Assign:
    """Mmrotate's assigner; the index of every prior's object, -1 where none, as ours has it."""
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
BATCH, BATCH_OBJECTS = 16, 100


def speed_row(number: int, ours: Assign, peer: Assign | None, args: argparse.Namespace) -> dict[str, Any]:
    """Time of both and memory of both for one number of objects."""
    objects = inputs.scene(number).to(args.device)
    peer = peer if number <= args.peer_most else None
    timed = harness.time_pair(
        lambda: ours(objects), None if peer is None else (lambda: peer(objects)), args.repeats, warmup=2,
        peer_repeats=args.peer_repeats, peer_warmup=0, sync=harness.synchroniser(args.device),
    )  # fmt: skip
    searched = searched_way(args.device)
    timed["searched"] = harness.time_pair(
        lambda: searched(objects), None, args.repeats, warmup=1, sync=harness.synchroniser(args.device)
    )["ours"]  # fmt: skip
    memory = {"ours_mb": memory_of("ours", number, args.device)}
    if peer is not None:
        memory["peer_mb"] = memory_of("peer", number, args.device)
    return {"objects": number, **timed, **memory}


def size_row(number: int, args: argparse.Namespace) -> dict[str, Any]:
    """The same number of objects on a small and on a large image, in turns."""
    ways = [
        (our_way(args.device, size), inputs.scene(number, size=size).to(args.device)) for size in (args.large, 1024)
    ]
    timed = harness.time_pair(
        *((lambda way=way, objects=objects: way(objects)) for way, objects in ways), args.repeats, warmup=2,
        peer_repeats=args.repeats, peer_warmup=2, sync=harness.synchroniser(args.device),
    )  # fmt: skip
    return {
        "objects": number, "sizes": [1024, args.large], "small": timed["peer"], "large": timed["ours"],
        "ratio": timed["ours"]["median"] / timed["peer"]["median"],
    }  # fmt: skip


def batch_row(args: argparse.Namespace) -> dict[str, Any]:
    """A batch in one call beside a call an image, in turns."""
    priors, sizes = inputs.priors()
    priors, levels = priors.to(args.device), inputs.grids()
    images = [inputs.scene(BATCH_OBJECTS, seed).to(args.device) for seed in range(BATCH)]
    timed = harness.time_pair(
        lambda: atss_assign_batch(priors, sizes, images, grids=levels),
        lambda: [atss_assign(priors, sizes, each, grids=levels) for each in images], args.repeats, warmup=2,
        peer_repeats=args.repeats, peer_warmup=2, sync=harness.synchroniser(args.device),
    )  # fmt: skip
    return {
        "images": BATCH, "objects": BATCH_OBJECTS, "one_call": timed["ours"], "calls": timed["peer"],
        "ratio": timed["ratio"],
    }  # fmt: skip


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


def milliseconds(row: dict[str, Any] | None) -> float | None:
    return None if row is None else row["ours"]["median"] * 1e3


def bars(rows: list[dict[str, Any]], sized: dict[str, Any], compared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    of = {row["objects"]: row for row in rows}
    unexplained = [row["causes"].get("unexplained", 0) for row in compared]
    return [
        harness.bar("assignment of 500 objects, ms", milliseconds(of.get(500)), at_most=5),
        harness.bar("assignment of 5,000 objects, ms", milliseconds(of.get(5000)), at_most=30),
        harness.bar(
            "assignment of 500 objects: times faster than mmrotate", of.get(500, {}).get("ratio"), at_least=4000
        ),
        harness.bar("assignment of 5,000 objects: extra memory in MB", of.get(5000, {}).get("ours_mb"), at_most=20),
        harness.bar(
            "assignment at 4096 px: time of that at 1024 px",
            sized["ratio"] if 4096 in sized["sizes"] else None,
            at_most=1.2,
        ),
        harness.bar("differing priors without a cause", sum(unexplained) if compared else None, at_most=0),
    ]


def shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "objects": row["objects"], "ours_ms": row["ours"]["median"] * 1e3,
        "searched_ms": row["searched"]["median"] * 1e3,
        "mmrotate_ms": row["peer"]["median"] * 1e3 if "peer" in row else None, "ratio": row.get("ratio"),
        "ours_mb": row["ours_mb"], "mmrotate_mb": row.get("peer_mb"),
    }  # fmt: skip


def shown_comparison(row: dict[str, Any]) -> dict[str, Any]:
    causes = ", ".join(f"{number} {cause}" for cause, number in row["causes"].items())
    return {**{key: row[key] for key in ("scene", "seed", "objects", "positives", "differing")}, "causes": causes}


def measure(args: argparse.Namespace) -> None:
    package, why = mmrotate()
    harness.settle_allocator()
    ours, peer = our_way(args.device), None if package is None else peer_way(args.device)
    if peer is not None:
        peer(inputs.scene(WARM_OBJECTS).to(args.device))
    rows = [speed_row(number, ours, peer, args) for number in args.objects]
    sized, batched = size_row(500, args), batch_row(args)
    compared = [] if peer is None else comparisons(ours, peer, args)
    print(harness.table([shown(row) for row in rows]))
    print(f"500 objects at {args.large} px: {sized['ratio']:.2f} of the time at 1024 px")
    print(f"{BATCH} images in one call: {batched['ratio']:.2f} times faster than {BATCH} calls")
    if compared:
        print(harness.table([shown_comparison(row) for row in compared]))
    print(why or f"mmrotate is left out above {args.peer_most} objects (--peer-most)")
    promised = bars(rows, sized, compared)
    print(harness.show_bars(promised))
    payload = {"peer": "onedl-mmrotate", "peer_missing": why, "environment": harness.environment(args.device)}
    print(
        harness.save(
            "assign",
            {**payload, "bars": promised, "results": rows, "sizes": sized, "batch": batched, "comparisons": compared},
        )
    )


def main() -> None:
    parser = harness.arguments(__doc__, repeats=15)
    parser.add_argument("--objects", type=int, nargs="+", default=[10, 100, 500, 2000, 5000])
    parser.add_argument("--large", type=int, default=4096, help="side of the large image in pixels")
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
