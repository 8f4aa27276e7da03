"""The official ATSS: its parameter names, network and box arithmetic, reimplemented from its formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.ops import deform_conv2d

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")

STRIDES = (8, 16, 32, 64, 128)
MEAN = (102.9801, 115.9465, 122.7717)
CLASSES = 5
BLOCKS = {"r50": (3, 4, 6, 3), "r101": (3, 4, 23, 3)}


# -- parameter names and shapes -------------------------------------------------------------------------------------


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


FULL = {
    "atss_official_r50_fpn_1x_coco": ("r50", {}),
    "atss_official_dcnv2_r50_fpn_1x_coco": ("r50", dict(dcn=(False, True, True, True))),
    "atss_official_r101_fpn_2x_ms_coco": ("r101", {}),
    "atss_official_dcnv2_r101_fpn_2x_ms_coco": ("r101", dict(dcn=(False, True, True, True))),
    "atss_official_x101_32x8d_fpn_2x_ms_coco": ("r101", dict(cell=256, groups=32)),
    "atss_official_dcnv2_x101_32x8d_fpn_2x_ms_coco": (
        "r101",
        dict(cell=256, groups=32, dcn=(False, False, True, True)),
    ),
    "atss_official_x101_64x4d_fpn_2x_ms_coco": ("r101", dict(cell=256, groups=64)),
    "atss_official_dcnv2_x101_64x4d_fpn_2x_ms_coco": (
        "r101",
        dict(cell=256, groups=64, dcn=(False, False, True, True)),
    ),
}


@pytest.mark.parametrize("config", FULL)
def test_every_published_model_is_detected_and_fits_its_config(config):
    from rotated_atss.checkpoints import convert_checkpoint, find_origin
    from rotated_atss.checkpoints.keys import rename_keys
    from rotated_atss.checkpoints.match import config_pattern, matching_configs
    from rotated_atss.configs import config_names
    from rotated_atss.detection.engine.conversion_target import describe_target

    depth, changes = FULL[config]
    shapes = official_shapes(BLOCKS[depth], **changes)
    origin = find_origin(checkpoint(shapes, "meta"), "ATSS.pth")
    assert (origin.source, origin.angle_version) == ("atss-official", None)
    pattern = config_pattern(rename_keys(origin.state, origin.source)[0], origin.source, None)
    assert matching_configs(pattern, config_names()) == [config]
    conversion = convert_checkpoint(origin, describe_target(config), "ATSS.pth")
    assert len(conversion.mapped) == len(shapes)
    assert len(conversion.dropped) == 5
    assert all(name.endswith("num_batches_tracked") for name in conversion.filled)


# -- network -------------------------------------------------------------------------------------------------------


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


# -- boxes ---------------------------------------------------------------------------------------------------------


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


SMALL = {
    "r50": ("atss_official_r50_fpn_1x_coco", {}, {}),
    "dcnv2": ("atss_official_dcnv2_r50_fpn_1x_coco", dict(dcn=(False, True, True, True)), {}),
    "resnext": (
        "atss_official_r50_fpn_1x_coco", dict(cell=16, groups=4),
        {"model.backbone.type": "ResNeXt", "model.backbone.groups": 4, "model.backbone.base_width": 4,
         "model.backbone.style": "pytorch"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SMALL)
def test_outputs_and_boxes_equal_the_reference(kind, build_converted, convert):
    from mmdet.structures import DetDataSample

    config, shapes, changes = SMALL[kind]
    shapes = official_shapes(BLOCKS["r50"], stem=4, width=64, classes=CLASSES, **{"cell": 4, **shapes})
    content = checkpoint(shapes)
    changes = {**changes, "model.bbox_head.num_classes": CLASSES}
    model = build_converted(config, convert(content, config, changes=changes).state, changes)
    state = {name.removeprefix("module."): value for name, value in content["model"].items()}
    network = Network(state, 4 if kind == "resnext" else 1, stride_in_1x1=kind != "resnext")

    image = torch.randint(0, 255, (3, 90, 150), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    meta = dict(img_shape=(90, 150), ori_shape=(60, 100), scale_factor=(1.5, 1.5), img_id=1)
    data = model.data_preprocessor({"inputs": [image], "data_samples": [DetDataSample(metainfo=meta)]})
    padded = torch.zeros(1, 3, 96, 160)
    padded[0, :, :90, :150] = image - torch.tensor(MEAN)[:, None, None]
    with torch.no_grad():
        reference = network(padded, BLOCKS["r50"])
        outputs = list(zip(*model.bbox_head(model.extract_feat(data["inputs"]))))
        detections = model.predict(data["inputs"], data["data_samples"], rescale=True)[0].pred_instances
    assert torch.allclose(data["inputs"], padded)
    for expected_level, level in zip(reference, outputs):
        assert all(torch.allclose(a, b, atol=2e-4, rtol=2e-4) for a, b in zip(expected_level, level))
    expected = detect(outputs, (150, 90), (1.5, 1.5))
    assert len(detections.bboxes) == len(expected) == 100
    assert detections.labels.tolist() == [label for _, _, label in expected]
    assert np.allclose(detections.scores.numpy(), [score for _, score, _ in expected], atol=1e-5)
    assert np.allclose(detections.bboxes.numpy(), np.stack([box for box, _, _ in expected]), atol=2e-3)


def test_decoded_boxes_equal_the_reference(convert):
    from rotated_atss.detection.engine.config import build_model, load_config

    head = build_model(load_config("atss_official_r50_fpn_1x_coco", {"model.backbone.init_cfg": None})).bbox_head
    sizes = [(5, 7), (3, 4), (2, 2), (1, 2), (1, 1)]
    draw = torch.Generator().manual_seed(4)
    for (rows, columns), stride, priors in zip(sizes, STRIDES, head.prior_generator.grid_priors(sizes, device="cpu")):
        deltas = torch.randn(rows * columns, 4, generator=draw) * torch.tensor([3.0, 3, 5, 5])
        boxes = head.bbox_coder.decode(priors, deltas).numpy()
        for index, (row, column) in enumerate(itertools.product(range(rows), range(columns))):
            expected = np.add(decode(deltas[index].double().tolist(), column, row, stride), (0, 0, 1, 1))
            assert np.allclose(boxes[index], expected, rtol=1e-5, atol=1e-3)


def test_a_level_keeps_its_best_products():
    from rotated_atss.detection.heads.official_atss_head import mask_all_but_topk

    draw = torch.Generator().manual_seed(5)
    logits, central = torch.randn(2, 3, 4, 5, generator=draw), torch.randn(2, 1, 4, 5, generator=draw)
    kept = mask_all_but_topk(logits, central, 0.3, 10)
    for image in range(2):
        candidates = [
            (float(logits[image, c, y, x].sigmoid() * central[image, 0, y, x].sigmoid()), (c, y, x))
            for c, y, x in itertools.product(range(3), range(4), range(5))
            if logits[image, c, y, x].sigmoid() > 0.3
        ]
        best = {cell for _, cell in sorted(candidates, reverse=True)[:10]}
        above = {tuple(cell) for cell in torch.nonzero(kept[image].sigmoid() > 0.3).tolist()}
        assert above == best
        assert all(kept[(image, *cell)] == logits[(image, *cell)] for cell in best)
    assert torch.equal(mask_all_but_topk(logits, central, 0.3, 100), logits)
    assert bool((mask_all_but_topk(logits, central, 0.99, 10) <= logits).all())


def test_boxes_are_resized_by_their_pixels():
    from rotated_atss.detection.heads.official_atss_head import rescale_inclusive_boxes

    one_pixel = torch.tensor([[30.0, 15.0, 31.0, 16.0]])  # pixel (30, 15) of the resized image, as an area
    assert rescale_inclusive_boxes(one_pixel, (1.5, 3.0)).tolist() == [[20.0, 5.0, 21.0, 6.0]]
    whole = torch.tensor([[0.0, 0.0, 149 + 1.0, 89 + 1.0]])
    assert torch.allclose(
        rescale_inclusive_boxes(whole, (1.5, 1.5)), torch.tensor([[0, 0, 149 / 1.5 + 1, 89 / 1.5 + 1]])
    )


def test_other_priors_raise(convert):
    from rotated_atss.errors import UserError

    content = checkpoint(official_shapes(BLOCKS["r50"], stem=4, cell=4, width=64, classes=80))
    content["model"]["module.rpn.anchor_generator.cell_anchors.1"] = torch.tensor([[-24.0, -24, 39, 39]])
    with pytest.raises(UserError, match=r"cell_anchors\.1 must be one square of 8 x 16 pixels, got \[\["):
        convert(content, "atss_official_r50_fpn_1x_coco")
