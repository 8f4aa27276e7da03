"""The network and box arithmetic of the official ATSS, reimplemented from its formulas."""

from __future__ import annotations

import math

import numpy as np
from torch.nn import functional
from torchvision.ops import deform_conv2d

from tests.references.official_checkpoint import STRIDES


class Network:
    """Forward pass of the official implementation, with its parameter names."""

    def __init__(self, state, groups=1, stride_in_1x1=True):
        self.state, self.groups, self.caffe = state, groups, stride_in_1x1

    def conv(self, x, name, stride=1, padding=0, groups=1):
        if f"{name}.conv.weight" in self.state:
            offsets = self.conv(x, f"{name}.offset", stride, padding)
            weight, bias = self.state[f"{name}.conv.weight"], self.state.get(f"{name}.conv.bias")
            return deform_conv2d(x, offsets[:, :18], weight, bias, stride, padding, mask=offsets[:, 18:].sigmoid())
        return functional.conv2d(
            x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), stride, padding, 1, groups
        )

    def norm(self, x, name):
        weight, bias, mean, var = (
            self.state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = weight * var.rsqrt()
        return x * scale[:, None, None] + (bias - mean * scale)[:, None, None]

    def block(self, x, name, stride):
        first, second = (stride, 1) if self.caffe else (1, stride)
        out = self.norm(self.conv(x, f"{name}.conv1", first), f"{name}.bn1").relu()
        out = self.norm(self.conv(out, f"{name}.conv2", second, 1, self.groups), f"{name}.bn2").relu()
        out = self.norm(self.conv(out, f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.downsample.0.weight" in self.state:
            x = self.norm(self.conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
        return (out + x).relu()

    def features(self, x, blocks):
        x = self.norm(self.conv(x, "backbone.body.stem.conv1", 2, 3), "backbone.body.stem.bn1").relu()
        x, stages = functional.max_pool2d(x, 3, 2, 1), []
        for stage, number in enumerate(blocks, 1):
            for block in range(number):
                x = self.block(x, f"backbone.body.layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1)
            stages.append(x)
        inner, levels = None, []
        for level in (4, 3, 2):
            lateral = self.conv(stages[level - 1], f"backbone.fpn.fpn_inner{level}")
            inner = (
                lateral if inner is None else lateral + functional.interpolate(inner, scale_factor=2, mode="nearest")
            )
            levels.insert(0, self.conv(inner, f"backbone.fpn.fpn_layer{level}", 1, 1))
        p6 = self.conv(levels[-1], "backbone.fpn.top_blocks.p6", 2, 1)
        return [*levels, p6, self.conv(p6.relu(), "backbone.fpn.top_blocks.p7", 2, 1)]

    def tower(self, x, name):
        for layer in range(4):
            x = self.conv(x, f"rpn.head.{name}.{3 * layer}", 1, 1)
            norm = f"rpn.head.{name}.{3 * layer + 1}"
            x = functional.group_norm(x, 32, self.state[f"{norm}.weight"], self.state[f"{norm}.bias"]).relu()
        return x

    def __call__(self, image, blocks):
        """Class logits, deltas and centerness logits per level."""
        outputs = []
        for level, x in enumerate(self.features(image, blocks)):
            cls, box = self.tower(x, "cls_tower"), self.tower(x, "bbox_tower")
            outputs.append((
                self.conv(cls, "rpn.head.cls_logits", 1, 1),
                self.conv(box, "rpn.head.bbox_pred", 1, 1) * self.state[f"rpn.head.scales.{level}.scale"],
                self.conv(box, "rpn.head.centerness", 1, 1),
            ))  # fmt: skip
        return outputs


def decode(delta, column, row, stride):
    """Decode one box as its first and last pixels."""
    point = np.array([column * stride + stride / 2, row * stride + stride / 2])
    low, high = point - (8 * stride - 1) / 2, point + (8 * stride - 1) / 2
    size, prior_center = high - low + 1, (low + high) / 2
    center = np.array(delta[:2]) / 10 * size + prior_center
    size = np.exp(np.minimum(np.array(delta[2:]) / 5, math.log(1000 / 16))) * size
    return np.concatenate([center - (size - 1) / 2, center + (size - 1) / 2])


def pixel_iou(box1, box2):
    width = min(box1[2], box2[2]) - max(box1[0], box2[0]) + 1
    height = min(box1[3], box2[3]) - max(box1[1], box2[1]) + 1
    intersection = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (box1, box2)]
    return intersection / (sum(areas) - intersection)


def detect(outputs, size_wh, scale_wh, per_level=1000, per_image=100):
    """(corners in the original image, score, class) of the detections, best first."""
    candidates = []
    for stride, (logits, deltas, central) in zip(STRIDES, outputs):
        level = []
        classes, centerness = logits[0].sigmoid().double().numpy(), central[0, 0].sigmoid().double().numpy()
        for label, row, column in np.argwhere(classes > 0.05):
            score = classes[label, row, column] * centerness[row, column]
            box = decode(deltas[0, :, row, column].double().tolist(), column, row, stride)
            box[0::2], box[1::2] = box[0::2].clip(0, size_wh[0] - 1), box[1::2].clip(0, size_wh[1] - 1)
            level.append((box, math.sqrt(score), int(label)))
        candidates += sorted(level, key=lambda each: -each[1])[:per_level]
    kept = []
    for box, score, label in sorted(candidates, key=lambda each: -each[1]):
        if all(label != other[2] or pixel_iou(box, other[0]) <= 0.6 for other in kept):
            kept.append((box, score, label))
    scale = np.array([*scale_wh, *scale_wh])
    return [(box / scale + (0, 0, 1, 1), score, label) for box, score, label in kept[:per_image]]
