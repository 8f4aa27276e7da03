"""One training step of the R50 le90 config, part by part, beside the same network trained mmrotate's way.

    python benchmarks/bench_train_step.py [--size 1024] [--batch 1] [--objects 100] [--repeats 5] [--peer-repeats 3]
                                          [--no-peer] [--peer-amp] [--device cuda]

Ours trains as its config says (channels last, fused optimiser), in float32 and with ``train --amp`` (bfloat16). The
peer is onedl-mmrotate's RetinaNet R50 with one prior a location and its own ATSS assigner, in float32 unless
--peer-amp: the same layers and losses (its own Rotated ATSS config cannot train on a CPU at all, for its IoU loss
exists for CUDA only). The share of the backward pass that belongs to the losses counts as backward. On CUDA every part
ends with a synchronisation, which costs a little, and the peak of allocated memory is recorded. Loading is not part of
the step, for workers do it meanwhile: what one image costs one of them is measured beside it, by the config's pipeline
on a PNG tile of noise over gradients, which decodes like a real one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness, models
from benchmarks.memory import extra_megabytes, held_megabytes
from benchmarks.peers import first_line, mmcv_ops, mmrotate
from benchmarks.stopwatch import Stopwatch

PARTS = ("backbone and neck", "head", "assignment", "losses", "backward", "optimiser", "rest")
OURS = (PARTS[2], PARTS[3])
OURS_FAST, OURS_WIDE, PEER = "ours, --amp", "ours, float32", "mmrotate"


class Way:
    """A model on its batch, and where its time goes."""

    def __init__(
        self, model: torch.nn.Module, boxes_of: Callable, assigner: tuple[object, str], args, amp: bool
    ) -> None:
        self.device, self.amp = args.device, amp
        self.model = model.to(args.device).train()
        self.batch = models.batch(args.batch, args.objects, args.size, boxes_of)
        self.optimiser = models.optimiser(self.model)
        self.watch = Stopwatch(harness.synchroniser(args.device))
        head = self.model.bbox_head
        self.watch.wrap(self.model, "extract_feat", "backbone and neck")
        self.watch.wrap(head, "forward", "head")
        self.watch.wrap(*assigner, "assignment")
        self.watch.wrap(head, "loss_by_feat", "losses")

    def step(self) -> dict[str, float]:
        """Seconds of each part of one step, and their sum ``step``."""
        self.watch.clear()
        with self.watch.part("step"):
            with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.amp):
                data = self.model.data_preprocessor(self.batch, True)
                loss, _ = self.model.parse_losses(self.model(**data, mode="loss"))
            with self.watch.part("backward"):
                self.optimiser.backward(loss)
            with self.watch.part("optimiser"):
                self.optimiser.step()
                self.optimiser.zero_grad()
        return self._split()

    def _split(self) -> dict[str, float]:
        """The assignment runs inside the losses, everything inside the step."""
        seconds = dict(self.watch.seconds)
        seconds["losses"] -= seconds["assignment"]
        seconds["rest"] = seconds["step"] - sum(seconds[part] for part in PARTS[:-1])
        return seconds


def our_way(args: argparse.Namespace, amp: bool) -> Way:
    model = models.ours().to(memory_format=torch.channels_last)  # what the config's ChannelsLastHook does
    return Way(model, lambda boxes: boxes, (model.bbox_head, "assign_batch"), args, amp)


def peer_way(args: argparse.Namespace) -> tuple[Way | None, str]:
    """None and the reason where the peer cannot run."""
    if args.no_peer:
        return None, "left out (--no-peer)"
    for missing in (mmrotate()[1], mmcv_ops(args.device)[1]):
        if missing:
            return None, missing
    from mmrotate.structures.bbox import RotatedBoxes

    model = models.peer(args.size)
    way = Way(model, RotatedBoxes, (model.bbox_head.assigner, "assign"), args, args.peer_amp)
    try:
        way.step()
    except (RuntimeError, NotImplementedError) as error:  # a kernel that lacks this device or precision
        return None, f"its step fails here: {first_line(error)}"
    return way, ""


def measure(ways: dict[str, Way], repeats: dict[str, int]) -> dict[str, list[dict[str, float]]]:
    """Steps of each way in turns, after one unmeasured step of each (the peer has made its own)."""
    for name in OURS_FAST, OURS_WIDE:
        ways[name].step()
    steps: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for turn in range(max(repeats.values())):
        for name, way in ways.items():
            if turn < repeats[name]:
                steps[name].append(way.step())
    return steps


def summarise(name: str, steps: list[dict[str, float]]) -> dict[str, Any]:
    """Medians of each part, and its median share of the step."""
    parts = {part: harness.summary([step[part] for step in steps]) for part in ("step", *PARTS)}
    shares = {part: harness.summary([step[part] / step["step"] for step in steps])["median"] for part in PARTS}
    both = harness.summary([sum(step[part] for part in OURS) / step["step"] for step in steps])["median"]
    return {"way": name, "seconds": parts, "shares": shares, "assignment_and_losses": both}


def peak_megabytes(way: Way) -> float | None:
    """Allocated memory of CUDA at the highest point of one step: what the way itself holds included, the other ways'
    weights not.
    """
    if way.device == "cpu":
        return None
    held = held_megabytes(way.model, way.optimiser.optimizer)
    return round(extra_megabytes(way.step, way.device) + held, 1)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    parts = {part: f"{row['seconds'][part]['median']:.3f} s {row['shares'][part]:6.1%}" for part in PARTS}
    return {"way": row["way"], "step_s": row["seconds"]["step"]["median"], **parts}


def bars(rows: dict[str, dict[str, Any]], args: argparse.Namespace) -> list[dict[str, Any]]:
    seconds = {name: row["seconds"]["step"]["median"] for name, row in rows.items()}
    faster = seconds[PEER] / seconds[OURS_FAST] if PEER in seconds else None
    share = rows[OURS_FAST]["assignment_and_losses"]
    promised = [
        harness.bar(
            "training step with --amp: times faster than mmrotate's", faster, at_least=4 if on_cpu(args) else 2
        ),
        harness.bar("assignment and losses, share of a step with --amp", share, at_most=0.05),
    ]
    if not on_cpu(args):
        images = args.batch / seconds[OURS_FAST]
        promised.append(harness.bar("training images a second", images, at_least=120))
        promised.append(memory_bar(rows, args.peer_amp))
    return promised


def memory_bar(rows: dict[str, dict[str, Any]], peer_amp: bool) -> dict[str, Any]:
    """Ours beside the peer in the same precision."""
    ours = rows[OURS_FAST if peer_amp else OURS_WIDE]["peak_mb"]
    share = ours / rows[PEER]["peak_mb"] if PEER in rows else None
    return harness.bar("peak memory of a step, share of mmrotate's", share, at_most=1)


def on_cpu(args: argparse.Namespace) -> bool:
    return torch.device(args.device).type == "cpu"


def loading_seconds(args: argparse.Namespace) -> dict[str, Any]:
    """What reading, augmenting and packing one tile costs one worker."""
    with tempfile.TemporaryDirectory() as folder:
        load = models.loader(Path(folder), args.size, args.objects)
        return harness.time_pair(load, None, max(10, args.repeats), warmup=2)["ours"]


def main() -> None:
    parser = harness.arguments(__doc__, repeats=5)
    parser.add_argument("--size", type=int, default=1024, help="side of the image in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--objects", type=int, default=100, help="in each image")
    parser.add_argument("--peer-repeats", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--peer-amp", action="store_true", help="bfloat16 autocast for the peer too")
    args = parser.parse_args()
    harness.check_device(args.device)
    torch.manual_seed(0)
    peer, why = peer_way(args)
    ways = {OURS_FAST: our_way(args, True), OURS_WIDE: our_way(args, False), **({} if peer is None else {PEER: peer})}
    repeats = {OURS_FAST: args.repeats, OURS_WIDE: args.repeats, PEER: args.peer_repeats}
    steps = measure(ways, repeats)
    rows = [{**summarise(name, steps[name]), "peak_mb": peak_megabytes(way)} for name, way in ways.items()]
    loading = loading_seconds(args)
    print(harness.table([shown(row) for row in rows]))
    print(f"loading an image in one worker: {loading['median'] * 1e3:.1f} ms")
    print("\n".join(f"{row['way']}: peak {row['peak_mb']} MB" for row in rows if row["peak_mb"]))
    print(f"mmrotate: {why}" if why else "mmrotate: RetinaNet with one prior a location and its own ATSS assigner")
    promised = bars({row["way"]: row for row in rows}, args)
    print(harness.show_bars(promised))
    setting = {key: getattr(args, key) for key in ("size", "batch", "objects", "peer_amp")}
    payload = {"peer": "onedl-mmrotate", "peer_missing": why, "environment": harness.environment(args.device)}
    record = {**payload, "setting": setting, "bars": promised, "results": rows, "loading": loading}
    print(harness.save("train_step", record))


if __name__ == "__main__":
    main()
