"""Size and speed of the configs: parameters, multiply-adds, seconds and memory of one inference.

    python benchmarks/bench_models.py [--no-timing] [--time NAME ...] [--size 1024] [--repeats 5] [--device cuda]

Parameters are all weights, frozen ones included. FLOPs are those of the convolutions (and matrix products, where there
are any) of backbone, neck and head for one image, counted by torch.utils.flop_counter.FlopCounterMode on tensors
without values, so that every config takes a second; a multiply-add counts as one, as in the figures that MMDetection
and mmrotate publish. A deformable convolution counts as the convolution it is plus the one that gives its offsets; its
bilinear reading, like norms, activations, decoding and NMS, counts nothing. COCO's configs are also counted at
1333 x 800, padded to multiples of 32 as the network gets it.

An inference is the model's test step on one image of random pixels: normalising and padding, network, decoding, NMS.
The weights are untrained, so hardly a score passes the threshold, and NMS has next to nothing to do. Each model is
timed in a process of its own. Memory is the peak of one inference beyond what the process held before it, the weights
included there (on the CPU resident memory, on CUDA allocated memory).
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness
from benchmarks.memory import extra_megabytes
from benchmarks.zoo import card
from rotated_atss.configs import config_names

FEW = (
    "rotated_atss_obb_r50_fpn_1x_dota_le90",
    "rotated_atss_centerness_obb_r50_fpn_1x_dota_le90",
    "rotated_retinanet_obb_r50_fpn_1x_dota_le90",
    "r3det_r50_fpn_1x_dota_oc",
)  # on the CPU, where one of them takes seconds an image
SIDE = 1024
COCO_SIZE = (800, 1344)
WARM_SIZE = 256

Size = tuple[int, int]  # height, width in pixels


def sizes_of(config: str) -> dict[str, Any]:
    """Parameters, and multiply-adds by image size, of one config."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        model = build(config)
        parameters = sum(weights.numel() for weights in model.parameters())
        macs = {f"{width}x{height}": multiply_adds(model, (height, width)) for height, width in image_sizes(config)}
    return {"config": config, "parameters": parameters, "macs": macs}


def image_sizes(config: str) -> list[Size]:
    """At which sizes the multiply-adds of a config are counted."""
    return [(SIDE, SIDE), *([COCO_SIZE] if card(config).horizontal else [])]


def build(config: str) -> torch.nn.Module:
    """The model of a config for testing, untrained."""
    from rotated_atss.detection.engine.config import build_model, load_config

    return build_model(load_config(config, {"model.backbone.init_cfg": None})).eval()


def multiply_adds(model: torch.nn.Module, size: Size) -> int:
    """Of backbone, neck and head for one image."""
    import torchvision  # noqa: F401  registers its operators
    from torch.utils.flop_counter import FlopCounterMode

    deformable = {torch.ops.torchvision.deform_conv2d: deform_conv_flops}
    counter = FlopCounterMode(display=False, custom_mapping=deformable)
    with torch.no_grad(), counter:
        model(torch.zeros(1, 3, *size), mode="tensor")
    return counter.get_total_flops() // 2  # it counts a multiply-add as two


def deform_conv_flops(image: Any, weight: Any, *others: Any, out_shape: Any, **named: Any) -> int:
    """Torchvision's ``deform_conv2d`` from its shapes, as FlopCounterMode counts: two a multiply-add."""
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


def speed_of(config: str, args: argparse.Namespace) -> dict[str, Any]:
    """Time and memory of one inference, in a process of its own."""
    words = [sys.executable, __file__, "--one", config, "--device", args.device]
    words += ["--size", str(args.size), "--repeats", str(args.repeats)]
    done = subprocess.run(words, cwd=harness.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{config}: timing failed: {' '.join(done.stderr.strip().splitlines()[-1:])}")
    return json.loads(done.stdout.splitlines()[-1])


def print_speed(config: str, args: argparse.Namespace) -> None:
    """What the process of :func:`speed_of` does."""
    model = build(config)
    model.init_weights()
    model.to(args.device)
    with torch.no_grad():
        model.test_step(batch(WARM_SIZE))
        large = batch(args.size)
        memory = extra_megabytes(lambda: model.test_step(large), args.device)
        sync = harness.synchroniser(args.device)
        seconds = harness.time_one(lambda: model.test_step(large), args.repeats, warmup=0, sync=sync)
    print(json.dumps({"config": config, "seconds": seconds, "extra_mb": memory}))


def batch(side: int) -> dict[str, list]:
    """What a loader gives for one image (3, side, side) of random pixels."""
    from mmdet.structures import DetDataSample

    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (3, side, side), generator=draw, dtype=torch.uint8)
    meta = dict(img_shape=(side, side), ori_shape=(side, side), scale_factor=(1.0, 1.0), img_id="random")
    return {"inputs": [pixels], "data_samples": [DetDataSample(metainfo=meta)]}


def chosen(args: argparse.Namespace) -> list[str]:
    """The configs to time: those asked for, a few on the CPU, all on a GPU."""
    if args.no_timing:
        return []
    return list(args.time or (FEW if args.device == "cpu" else config_names()))


def shown_size(row: dict[str, Any]) -> dict[str, Any]:
    macs = {f"GFLOPs {size}": row["macs"].get(size, 0) / 1e9 for size in (f"{SIDE}x{SIDE}", "1344x800")}
    return {"config": row["config"], "parameters_m": row["parameters"] / 1e6, **macs}


def measure_sizes(where: dict[str, Any]) -> None:
    rows = [sizes_of(config) for config in config_names()]
    print(harness.table([shown_size(row) for row in rows]))
    print(harness.save("models", {"environment": {**where, "device": "cpu"}, "results": rows}))  # whatever is timed


def measure_speed(configs: list[str], args: argparse.Namespace, where: dict[str, Any]) -> None:
    rows = [speed_of(config, args) for config in configs]
    print(harness.table([{**row, "seconds": row["seconds"]["median"]} for row in rows]))
    print(harness.save("models_speed", {"environment": where, "setting": {"size": args.size}, "results": rows}))


def main() -> None:
    parser = harness.arguments(__doc__, repeats=5)
    parser.add_argument("--no-timing", action="store_true", help="parameters and FLOPs only")
    parser.add_argument(
        "--time", nargs="+", metavar="NAME", help="configs to time (default: a few on the CPU, all on a GPU)"
    )
    parser.add_argument("--size", type=int, default=SIDE, help="side of the timed image in pixels")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)
    args = parser.parse_args()
    harness.check_device(args.device)
    if args.one:
        print_speed(args.one, args)
        return
    where = harness.environment(args.device)  # before a record that git tracks is written anew
    measure_sizes(where)
    if configs := chosen(args):
        measure_speed(configs, args, where)


if __name__ == "__main__":
    main()
