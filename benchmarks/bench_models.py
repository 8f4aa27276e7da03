"""Size and speed of the configs: parameters, multiply-adds, seconds and memory of one inference.

Parameters are all weights, frozen ones included. Multiply-adds are those of convolutions and matrix products of
backbone, neck and head for one image, counted by torch.utils.flop_counter.FlopCounterMode on fake tensors; one
multiply-add counts as one operation, as in the figures of MMDetection and mmrotate. A deformable convolution counts as
a convolution plus the one that predicts its offsets; bilinear sampling, norms, activations, decoding and NMS are not
counted. COCO configs are also counted at 1333 x 800, padded to multiples of 32 like the network's input.

An inference is a test step on one image of random pixels: normalization, padding, network, decoding, NMS. Untrained
weights give hardly any score above the threshold, so NMS has almost no input. Each model is timed in a fresh process.
Memory is the peak of one inference in addition to what the process held before, weights included (resident memory on
the CPU, allocated memory on CUDA).
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import torch

from benchmarks import harness, models
from benchmarks.memory import extra_megabytes
from benchmarks.records import Record, Row, environment, save
from benchmarks.timing import time_one
from benchmarks.zoo import card
from rotated_atss.configs import config_names

TIMED_ON_CPU = (
    "rotated_atss_obb_r50_fpn_1x_dota_le90",
    "rotated_atss_centerness_obb_r50_fpn_1x_dota_le90",
    "rotated_retinanet_obb_r50_fpn_1x_dota_le90",
    "r3det_r50_fpn_1x_dota_oc",
)  # an inference takes seconds there
SIDE = 1024
COCO_HW = (800, 1344)
WARMUP_SIDE = 256


def size_row(config: str) -> Row:
    """Count parameters, and multiply-adds by image size, of one config."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    sizes = [(SIDE, SIDE), *([COCO_HW] if card(config).horizontal else [])]
    with FakeTensorMode():
        model = build(config)
        parameters = sum(weights.numel() for weights in model.parameters())
        macs = {f"{width}x{height}": multiply_adds(model, (height, width)) for height, width in sizes}
    return {"config": config, "parameters": parameters, "macs": macs}


def build(config: str) -> torch.nn.Module:
    """Build the untrained model of a config in evaluation mode."""
    from rotated_atss.detection.engine.config import build_model, load_config

    return build_model(load_config(config, {"model.backbone.init_cfg": None})).eval()


def multiply_adds(model: torch.nn.Module, hw: tuple[int, int]) -> int:
    """Count the multiply-adds of backbone, neck and head for one image of height and width ``hw``."""
    import torchvision  # noqa: F401  registers its operators
    from torch.utils.flop_counter import FlopCounterMode

    deformable = {torch.ops.torchvision.deform_conv2d: deform_conv_flops}
    counter = FlopCounterMode(display=False, custom_mapping=deformable)
    with torch.no_grad(), counter:
        model(torch.zeros(1, 3, *hw), mode="tensor")
    return counter.get_total_flops() // 2  # it counts a multiply-add as two operations


def deform_conv_flops(image: Any, weight: Any, *others: Any, out_shape: Any, **named: Any) -> int:
    """Count torchvision's ``deform_conv2d`` from its shapes, with two operations per multiply-add."""
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


def speed_row(config: str, device: str, size: int, repeats: int) -> Row:
    """Measure time and memory of one inference; runs in a fresh process."""
    model = models.build_own(config).eval().to(device)
    batch = models.batch(1, 0, size)
    with torch.no_grad():
        model.test_step(models.batch(1, 0, WARMUP_SIDE))
        memory = extra_megabytes(lambda: model.test_step(batch), device)
        sync = harness.synchronizer(device)
        seconds = time_one(lambda: model.test_step(batch), repeats, warmup=0, sync=sync)
    return {"config": config, "seconds": seconds, "extra_mb": memory}


def timed_configs(args: argparse.Namespace) -> list[str]:
    """Return the configs to time: those of --time, a few on the CPU, all on a GPU."""
    if args.no_timing:
        return []
    return list(args.time or (TIMED_ON_CPU if args.device == "cpu" else config_names()))


OPTIONS = dict(device="cpu", repeats=5, no_timing=False, time=[], size=SIDE)


def measure(args: argparse.Namespace) -> Record | None:
    """Save the record of sizes and return the record of speeds."""
    where = environment()  # sizes do not depend on the device
    print(save({"name": "models", "environment": where, "rows": [size_row(config) for config in config_names()]}))
    rows = [
        harness.in_new_process(speed_row, config, args.device, args.size, args.repeats)
        for config in timed_configs(args)
    ]
    return {"name": "models_speed", "settings": {"size": args.size}, "rows": rows} if rows else None
