"""Parameter names and shapes of the official ATSS, and checkpoints with random weights."""

from __future__ import annotations

import itertools
import math

import torch

STRIDES = (8, 16, 32, 64, 128)
BLOCKS = {"r50": (3, 4, 6, 3), "r101": (3, 4, 23, 3)}


def conv(name, out, into, size, bias):
    shapes = {f"{name}.weight": (out, into, size, size)}
    return {**shapes, f"{name}.bias": (out,)} if bias else shapes


def deformable(name, out, into, channels, bias):
    """DFConv2d: a convolution for 18 offsets and 9 masks, and the deformable convolution."""
    return {**conv(f"{name}.offset", 27, channels, 3, True), **conv(f"{name}.conv", out, into, 3, bias)}


def frozen_norm(name, channels):
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def body(blocks, stem, cell, groups, dcn):
    """Bottleneck stages; the first has ``cell`` channels in its 3x3 convolutions and ``stem * 4`` output channels."""
    shapes = {**conv("stem.conv1", stem, 3, 7, False), **frozen_norm("stem.bn1", stem)}
    into, out = stem, stem * 4
    for stage, number in enumerate(blocks, 1):
        for block in range(number):
            name = f"layer{stage}.{block}"
            if block == 0:
                shapes |= {
                    **conv(f"{name}.downsample.0", out, into, 1, False),
                    **frozen_norm(f"{name}.downsample.1", out),
                }
            shapes |= {**conv(f"{name}.conv1", cell, into, 1, False), **frozen_norm(f"{name}.bn1", cell)}
            if dcn[stage - 1]:
                shapes |= deformable(f"{name}.conv2", cell, cell // groups, cell, False)
            else:
                shapes |= conv(f"{name}.conv2", cell, cell // groups, 3, False)
            shapes |= {**frozen_norm(f"{name}.bn2", cell), **conv(f"{name}.conv3", out, cell, 1, False)}
            shapes |= frozen_norm(f"{name}.bn3", out)
            into = out
        cell, out = cell * 2, out * 2
    return {f"backbone.body.{name}": shape for name, shape in shapes.items()}


def official_shapes(blocks, *, stem=64, cell=64, groups=1, dcn=(False,) * 4, width=256, classes=80):
    """Shapes of all parameters of a checkpoint of the official ATSS."""
    shapes, out = body(blocks, stem, cell, groups, dcn), stem * 4
    for level in (2, 3, 4):
        shapes |= conv(f"backbone.fpn.fpn_inner{level}", width, out * 2 ** (level - 1), 1, True)
        shapes |= conv(f"backbone.fpn.fpn_layer{level}", width, width, 3, True)
    for level in ("p6", "p7"):
        shapes |= conv(f"backbone.fpn.top_blocks.{level}", width, width, 3, True)
    for tower, layer in itertools.product(("cls_tower", "bbox_tower"), range(4)):
        name = f"rpn.head.{tower}.{3 * layer}"
        last = any(dcn) and layer == 3
        shapes |= deformable(name, width, width, width, True) if last else conv(name, width, width, 3, True)
        shapes |= {f"rpn.head.{tower}.{3 * layer + 1}.{part}": (width,) for part in ("weight", "bias")}
    for branch, channels in (("cls_logits", classes), ("bbox_pred", 4), ("centerness", 1)):
        shapes |= conv(f"rpn.head.{branch}", channels, width, 3, True)
    shapes |= {f"rpn.head.scales.{level}.scale": (1,) for level in range(5)}
    return shapes


def cell_anchors():
    sides = [(stride / 2 - (8 * stride - 1) / 2, stride / 2 + (8 * stride - 1) / 2) for stride in STRIDES]
    return {
        f"rpn.anchor_generator.cell_anchors.{level}": torch.tensor([[low, low, high, high]])
        for level, (low, high) in enumerate(sides)
    }


def checkpoint(shapes, device="cpu"):
    draw = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        if device == "meta":
            state[name] = torch.empty(shape, device="meta")
        elif name.endswith("running_var"):
            state[name] = torch.rand(shape, generator=draw) + 0.5
        elif len(shape) == 4:
            state[name] = torch.randn(shape, generator=draw) * math.sqrt(1 / math.prod(shape[1:]))
        else:
            state[name] = torch.randn(shape, generator=draw) * 0.3 + ("bias" not in name and "mean" not in name)
    state = {f"module.{name}": value for name, value in {**state, **cell_anchors()}.items()}
    return {"model": state, "optimizer": {}, "scheduler": {"milestones": (60000, 80000)}, "iteration": 90000}
