"""How the cost of each stage grows with pixels, objects, detections and processes, on one machine.

    python benchmarks/bench_scaling.py [--repeats 3] [--sizes 256 512 1024] [--detections 125000 250000 500000 1000000]

Ours alone: what is compared is each stage with itself. The network is that of the R50 le90 config with --amp and one
image; two processes train the demo's network (gloo, a thread each) beside one. docs/scaling.md is made of the record by
make_scaling.py.
"""

from __future__ import annotations

import argparse
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness, inputs, models, task1
from rotated_atss.assign import atss_assign
from rotated_atss.ops import rotated_nms
from rotated_atss.tiling.merge_text import merge_folder
from rotated_atss.tiling.split import split_dota

OBJECTS = 100
STEPS, BATCH, DEMO, DEMO_PX = 8, 4, "rotated_atss_obb_r18_demo_le90", 256

Point = tuple[int, Callable[[], object]]


def stage(name: str, unit: str, points: Iterable[Point], repeats: int) -> dict[str, Any]:
    """Seconds at each point, the exponent of growth, and what one more unit costs between the first and the last."""
    rows = []
    for amount, run in points:
        rows.append({"amount": amount, **harness.time_one(run, repeats)})
        print(f"{name}: {amount:,} {unit}: {rows[-1]['median']:.4g} s", flush=True)
    amounts, seconds = np.array([[row["amount"], row["median"]] for row in rows]).T
    exponent = float(np.polyfit(np.log(amounts), np.log(seconds), 1)[0])
    marginal = float((seconds[-1] - seconds[0]) / (amounts[-1] - amounts[0]))
    return {"stage": name, "unit": unit, "points": rows, "exponent": exponent, "seconds_a_unit": marginal}


def network(sizes: list[int]) -> Iterable[tuple[str, list[Point]]]:
    """A training step and an inference of the published network on one image of each size."""
    model = models.ours().to(memory_format=torch.channels_last)
    optimiser = models.optimiser(model)

    def step(batch: dict) -> None:
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, True), mode="loss"))
        optimiser.update_params(loss)

    @torch.no_grad()
    def infer(batch: dict) -> None:
        model.eval()
        with torch.autocast("cpu", torch.bfloat16):
            model(**model.data_preprocessor(batch, False), mode="predict")

    batches = [(size * size, models.batch(1, OBJECTS, size, lambda boxes: boxes)) for size in sizes]
    for name, run in (("training step", step), ("inference", infer)):
        yield name, [(pixels, lambda run=run, batch=batch: run(batch)) for pixels, batch in batches]


def assignment() -> Iterable[tuple[str, str, list[Point]]]:
    def assign(size: int, objects: int) -> Callable[[], object]:
        (priors, sizes), grids, boxes = inputs.priors(size), inputs.grids(size), inputs.scene(objects, size=size)
        return lambda: atss_assign(priors, sizes, boxes, grids=grids)

    yield "assignment at 1024 px", "objects", [(number, assign(1024, number)) for number in (500, 1000, 2000, 5000)]
    sides = (512, 1024, 2048, 4096)
    yield "assignment of 500 objects", "pixels", [(side * side, assign(side, 500)) for side in sides]


def suppression() -> list[Point]:
    scenes = [(4 * number, inputs.harbour(number, 4)) for number in (625, 1250, 2500, 5000)]
    return [(number, lambda scene=scene: rotated_nms(*scene, 0.1)) for number, scene in scenes]


def text_stages(folder: Path, counts: list[int]) -> Iterable[tuple[str, list[Point]]]:
    """Merging and evaluation, files included, in two workers."""
    from benchmarks.bench_evaluate import IMAGES, ours

    merges, evaluations = [], []
    for count in counts:
        tiles, merged = folder / f"tiles{count}", folder / f"merged{count}"
        written = task1.write_tiles(tiles, count, IMAGES)
        merges.append((written, lambda tiles=tiles: merge_folder(tiles, folder / "out", workers=2, progress=False)))
        written = task1.write_merged(merged, count, count // 5, IMAGES)
        evaluations.append((written, lambda merged=merged: ours(merged)))
    yield "merging", merges
    yield "evaluation", evaluations


def splitting(folder: Path) -> list[Point]:
    """Images of 4, 16 and 64 megapixels, one each, in two workers."""
    points = []
    for side in (2000, 4000, 8000):
        images = folder / f"side{side}"
        images.mkdir()
        y, x = np.mgrid[:side, :side].astype(np.float32) * (255 / side)
        noise = np.random.default_rng(0).normal(0, 6, (side, side)).astype(np.float32)
        picture = np.stack((x, y, x / 2 + y / 2), 2) + noise[..., None]
        cv2.imwrite(str(images / "P0000.png"), picture.clip(0, 255).astype(np.uint8))
        points.append((side * side, lambda images=images, side=side: _split(images, folder / f"out{side}")))
    return points


def _split(images: Path, out: Path) -> None:
    split_dota(images, None, out / str(time.monotonic_ns()), workers=2, progress=False)


def processes(repeats: int) -> dict[str, Any]:
    """Seconds of a step of one and of two processes that train together, each on its own batch with one thread."""
    seconds = {number: [_together(number) for _ in range(repeats)] for number in (1, 2)}
    one, two = (harness.summary(seconds[number]) for number in (1, 2))
    print(f"a step of one process: {one['median']:.3f} s, of two: {two['median']:.3f} s", flush=True)
    return {"one": one, "two": two, "efficiency": one["median"] / two["median"], "batch": BATCH, "size": DEMO_PX}


def _together(number: int) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(number), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, __file__, "--worker"]
    started = [
        subprocess.Popen(words, env={**os.environ, **shared, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(number)
    ]
    told = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("a training process failed")
    return max(float(text.splitlines()[-1]) for text in told)


def worker() -> None:
    """One of the processes of :func:`_together`: prints its seconds a step."""
    from rotated_atss.detection.engine.config import build_model, load_config

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    torch.manual_seed(0)
    model = build_model(load_config(DEMO)).to(memory_format=torch.channels_last).train()
    model = torch.nn.parallel.DistributedDataParallel(Losses(model), broadcast_buffers=False)
    optimiser = torch.optim.SGD(model.parameters(), 1e-4, fused=True)
    batch = models.batch(BATCH, 20, DEMO_PX, lambda boxes: boxes)
    for number in range(STEPS + 2):
        if number == 2:  # two to warm up
            torch.distributed.barrier()
            started = time.perf_counter()
        optimiser.zero_grad()
        model(batch).backward()
        optimiser.step()
    print((time.perf_counter() - started) / STEPS)
    torch.distributed.destroy_process_group()


class Losses(torch.nn.Module):
    """A detector as a module that takes a batch and gives one loss."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.model.parse_losses(
                self.model(**self.model.data_preprocessor(batch, True), mode="loss")
            )[0]  # fmt: skip


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = [stage(name, "pixels", points, args.repeats) for name, points in network(args.sizes)]
    rows += [stage(name, unit, points, 5 * args.repeats) for name, unit, points in assignment()]
    rows.append(stage("NMS of a harbour", "boxes", suppression(), args.repeats))
    with tempfile.TemporaryDirectory() as folder:
        rows.append(stage("splitting", "pixels", splitting(Path(folder)), args.repeats))
    with tempfile.TemporaryDirectory() as folder:
        texts = text_stages(Path(folder), args.detections)
        rows += [stage(name, "detections", points, args.repeats) for name, points in texts]
    return rows


def main() -> None:
    parser = harness.arguments(__doc__, repeats=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--detections", type=int, nargs="+", default=[125_000, 250_000, 500_000, 1_000_000])
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker()
        return
    where = harness.environment()
    rows = measure(args)
    print(harness.table([
        {"stage": row["stage"], "unit": row["unit"], "exponent": round(row["exponent"], 2)} for row in rows
    ]))  # fmt: skip
    record = {"environment": where, "results": rows, "processes": processes(args.repeats)}
    assert all(math.isfinite(row["exponent"]) for row in rows)
    print(harness.save("scaling", record))


if __name__ == "__main__":
    main()
