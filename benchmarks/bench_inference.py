"""Inference of the R50 le90 config, part by part, beside the same network run mmrotate's way.

    python benchmarks/bench_inference.py [--size 1024] [--batch 1 2] [--candidates 1500] [--repeats 5]
                                         [--peer-repeats 3] [--no-peer] [--peer-amp] [--device cuda]

A test step: normalising, network, decoding, NMS. Ours runs as its config says (channels last), in float32 and with
--amp (bfloat16). The peer is onedl-mmrotate's RetinaNet R50 with one prior a location, the same layers with the same
weights, in float32 and with --peer-amp in bfloat16 too, its outputs widened to float32, as mmcv's NMS takes no
bfloat16. Nothing is trained: the last layers are scaled so that --candidates pairs an image pass the score threshold.
The whole is timed with one wait for the device at its end, the parts in runs of their own that wait after each.

Post-processing alone starts from the network's outputs and from those of crowded scenes, 2,000 candidates an image.
Where the kept boxes differ, ours is repeated with more and more of the peer's ingredients until they do not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness, head_outputs, models, postprocess
from benchmarks.memory import extra_megabytes, held_megabytes
from benchmarks.peers import first_line, mmcv_ops, mmrotate
from benchmarks.stopwatch import Stopwatch

PARTS = ("backbone and neck", "head", "post-processing", "rest")
OURS_FAST, OURS_WIDE = "ours, --amp", "ours, float32"
PEER_FAST, PEER_WIDE = "mmrotate, bfloat16", "mmrotate, float32"
SCENE_BATCHES = (1, 8)
SPLITS = 2  # runs of each way that are timed part by part


class Way:
    """A model that detects on a batch, and where its time goes.

    Args:
        model: In evaluation mode, on its device.
        device: ``cpu`` or a CUDA device.
        amp: The network in bfloat16.
        widen: Its outputs in float32 again, for post-processing that needs it.
    """

    def __init__(self, model: torch.nn.Module, device: str, amp: bool, widen: bool = False) -> None:
        self.model, self.device, self.amp = model, device, amp
        self.watch = Stopwatch()
        if widen:
            _widen(model.bbox_head)
        self.watch.wrap(model, "extract_feat", PARTS[0])
        self.watch.wrap(model.bbox_head, "forward", PARTS[1])
        self.watch.wrap(model.bbox_head, "predict_by_feat", PARTS[2])

    def detect(self, batch: dict[str, list]) -> list:
        with torch.no_grad(), torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.amp):
            return self.model.test_step(batch)

    def seconds(self, batch: dict[str, list]) -> float:
        """Of the whole, the device waited for at its ends only."""
        self.watch.sync = None
        once = harness.time_one(lambda: self.detect(batch), 1, warmup=0, sync=harness.synchroniser(self.device))
        return once["median"]

    def split(self, batch: dict[str, list]) -> dict[str, float]:
        """Share of each part, the device waited for after each."""
        self.watch.sync = harness.synchroniser(self.device)
        self.watch.clear()
        with self.watch.part("whole"):
            self.detect(batch)
        seconds = dict(self.watch.seconds)
        seconds["rest"] = seconds["whole"] - sum(seconds[part] for part in PARTS[:-1])
        return {part: seconds[part] / seconds["whole"] for part in PARTS}

    def outcome(self, batch: dict[str, list]) -> dict[str, int]:
        """How many pairs of all images pass the threshold, and how many detections come of them."""
        counts: list[int] = []
        threshold = self.model.test_cfg.score_thr
        hook = self.model.bbox_head.register_forward_hook(
            lambda head, inputs, outputs: counts.extend(
                int((level.float().sigmoid() > threshold).sum()) for level in outputs[0]
            )
        )
        found = self.detect(batch)
        hook.remove()
        return {"candidates": sum(counts), "detections": sum(len(each.pred_instances.scores) for each in found)}

    def peak_megabytes(self, batch: dict[str, list]) -> float | None:
        """Allocated memory of CUDA at the highest point, the model's own included."""
        if self.device == "cpu":
            return None
        return round(extra_megabytes(lambda: self.detect(batch), self.device) + held_megabytes(self.model), 1)


def _widen(head: torch.nn.Module) -> None:
    """Let the head's ``forward`` end in float32."""
    inner = head.forward
    head.forward = lambda features: tuple([level.float() for level in levels] for levels in inner(features))


def our_model(args: argparse.Namespace) -> torch.nn.Module:
    """Untrained, but decisive, in the layout that the config's hook asks for."""
    torch.manual_seed(0)
    model = models.ours().eval().to(args.device)
    head_outputs.make_decisive(model, batch_of(1, args), args.candidates)
    return model.to(memory_format=torch.channels_last)


def peer_ways(ours: torch.nn.Module, args: argparse.Namespace) -> tuple[dict[str, Way], str]:
    """Those that run, and the reason where one cannot."""
    if args.no_peer:
        return {}, "left out (--no-peer)"
    for missing in (mmrotate()[1], mmcv_ops(args.device)[1]):
        if missing:
            return {}, missing
    ways: dict[str, Way] = {}
    for name in (PEER_WIDE, *([PEER_FAST] if args.peer_amp else [])):
        model = models.peer(args.size).eval().to(args.device)
        head_outputs.copy_weights(ours, model)
        way = Way(model, args.device, name == PEER_FAST, widen=name == PEER_FAST)
        try:
            way.detect(batch_of(1, args))
        except (RuntimeError, NotImplementedError) as error:  # a kernel that lacks this device or precision
            return ways, f"{name} fails here: {first_line(error)}"
        ways[name] = way
    return ways, ""


def batch_of(images: int, args: argparse.Namespace) -> dict[str, list]:
    return models.batch(images, 0, args.size, lambda boxes: boxes)


def measure(ways: dict[str, Way], images: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row a way: all in turns, after one unmeasured run of each."""
    batch = batch_of(images, args)
    outcomes = {name: way.outcome(batch) for name, way in ways.items()}
    repeats = {name: args.repeats if name in (OURS_FAST, OURS_WIDE) else args.peer_repeats for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    shares: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for turn in range(max(repeats.values())):
        for name, way in ways.items():
            if turn < repeats[name]:
                seconds[name].append(way.seconds(batch))
                shares[name] += [way.split(batch)] if turn < SPLITS else []
    return [
        {
            "way": name, "batch": images, "seconds": harness.summary(seconds[name]),
            "images_a_second": round(images / harness.summary(seconds[name])["median"], 4),
            "shares": {part: harness.summary([each[part] for each in shares[name]])["median"] for part in PARTS},
            **outcomes[name], "peak_mb": way.peak_megabytes(batch),
        }
        for name, way in ways.items()
    ]  # fmt: skip


def raw_outputs(model: torch.nn.Module, args: argparse.Namespace) -> Iterator[tuple[str, head_outputs.Outputs]]:
    """What post-processing alone starts from, and what it is."""
    with torch.no_grad():
        prepared = model.data_preprocessor(batch_of(max(args.batch), args), False)
        yield "the network", model(prepared["inputs"], mode="tensor")
    for images in SCENE_BATCHES:
        yield "a crowd", head_outputs.scene(images, args.scene_candidates, args.size, models.CLASSES, args.device)


def bars(rows: list[dict[str, Any]], scenes: list[dict[str, Any]], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Ours with --amp beside the fastest way of the peer, on the CPU also both in float32, batch by batch; and what the
    two keep of the same outputs.
    """
    promised = []
    for images in args.batch:
        speed = {row["way"]: row["images_a_second"] for row in rows if row["batch"] == images}
        claim, least = f"batch of {images}: times faster than mmrotate's", 1 if args.device == "cpu" else 2
        faster = _ratio(speed, OURS_FAST, PEER_FAST, PEER_WIDE)
        promised.append(harness.bar(f"inference with --amp, {claim}", faster, at_least=least))
        if args.device == "cpu":
            faster = _ratio(speed, OURS_WIDE, PEER_WIDE)
            promised.append(harness.bar(f"inference in float32, {claim}", faster, at_least=1))
    compared = [row["causes"].get(postprocess.UNEXPLAINED, 0) for row in scenes if "causes" in row]
    claim = "post-processing: differing detections without a cause"
    return [*promised, harness.bar(claim, sum(compared) if compared else None, at_most=0)]


def _ratio(speed: dict[str, float], ours: str, *peers: str) -> float | None:
    """Ours beside the fastest of the peers that ran."""
    ran = [speed[peer] for peer in peers if peer in speed]
    return round(speed[ours] / max(ran), 2) if ran else None


def shown(row: dict[str, Any]) -> dict[str, Any]:
    shares = {part: f"{share:.1%}" for part, share in row["shares"].items()}
    told = {name: row[name] for name in ("candidates", "detections", "images_a_second")}
    return {"way": row["way"], "batch": row["batch"], **told, "s": row["seconds"]["median"], **shares}


def shown_scene(row: dict[str, Any]) -> dict[str, Any]:
    told = {name: row.get(name) for name in ("of", "batch", "candidates", "kept", "peer_kept", "differing", "ratio")}
    return {**told, "ours_s": row["ours"]["median"], "mmrotate_s": row.get("peer", {}).get("median")}


def parse() -> argparse.Namespace:
    parser = harness.arguments(__doc__, repeats=5)
    parser.add_argument("--size", type=int, default=1024, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2], help="images at a time")
    parser.add_argument("--candidates", type=int, default=1500, help="pairs an image above the score threshold")
    parser.add_argument("--scene-candidates", type=int, default=2000, help="in each image of post-processing alone")
    parser.add_argument("--peer-repeats", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--peer-amp", action="store_true", help="the peer's network in bfloat16 too")
    return parser.parse_args()


def main() -> None:
    args = parse()
    harness.check_device(args.device)
    fast, wide = our_model(args), our_model(args)
    ways = {OURS_FAST: Way(fast, args.device, True), OURS_WIDE: Way(wide, args.device, False)}
    theirs, why = peer_ways(wide, args)
    ways |= theirs
    rows = [row for images in args.batch for row in measure(ways, images, args)]
    heads = wide.bbox_head, theirs[PEER_WIDE].model.bbox_head if theirs else None
    mmcv = mmcv_ops(args.device)[0] if theirs else None
    repeats = args.repeats, args.peer_repeats
    scenes = [
        {"of": name, **postprocess.measure(outputs, heads, mmcv, args, repeats)}
        for name, outputs in raw_outputs(wide, args)
    ]
    print(harness.table([shown(row) for row in rows]))
    print("\n".join(f"{row['way']}, batch {row['batch']}: peak {row['peak_mb']} MB" for row in rows if row["peak_mb"]))
    print(harness.table([shown_scene(row) for row in scenes]))
    print("\n".join(f"{row['of']}, batch {row['batch']}: {row['causes']}" for row in scenes if row.get("causes")))
    print(f"mmrotate: {why}" if why else "mmrotate: RetinaNet with one prior a location, the same weights")
    promised = bars(rows, scenes, args)
    print(harness.show_bars(promised))
    setting = {key: getattr(args, key) for key in ("size", "candidates", "scene_candidates", "peer_amp")}
    payload = {"peer": "onedl-mmrotate", "peer_missing": why, "environment": harness.environment(args.device)}
    record = {**payload, "setting": setting, "bars": promised, "results": rows, "scenes": scenes}
    print(harness.save("inference", record))


if __name__ == "__main__":
    main()
