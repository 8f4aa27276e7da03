"""The horizontal head and the deformable layer beside MMDetection's head, mmcv's layer and slow references."""

import copy

import pytest

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")

import torch
from mmdet.models.dense_heads import ATSSHead
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from rotated_atss.detection.heads.deform_conv import TorchvisionDCNv2
from rotated_atss.detection.heads.horizontal_atss_head import HorizontalATSSHead, classwise_nms

LAYERS = [
    dict(in_channels=4, out_channels=6, kernel_size=3, padding=1),
    dict(in_channels=4, out_channels=6, kernel_size=3, stride=2, padding=2, dilation=2, bias=False),
    dict(in_channels=8, out_channels=4, kernel_size=3, padding=1, groups=4, deform_groups=2),
    dict(in_channels=4, out_channels=2, kernel_size=1, deform_groups=4),
]


def shaken(layer, seed=0, spread=0.5):
    """The layer with offsets and masks that matter."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * spread)
    return layer


@pytest.mark.parametrize("shape", LAYERS)
def test_same_as_mmcvs_layer(shape):
    from mmcv.ops import ModulatedDeformConv2dPack

    ours, theirs = shaken(TorchvisionDCNv2(**shape)).double(), ModulatedDeformConv2dPack(**shape).double()
    theirs.load_state_dict(ours.state_dict())  # strict: the same names and shapes
    x = torch.randn(2, shape["in_channels"], 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    results = []
    for layer in (ours, theirs):
        given = x.clone().requires_grad_()
        out = layer(given)
        out.square().sum().backward()
        results.append([out, given.grad, *(parameter.grad for _, parameter in sorted(layer.named_parameters()))])
    for mine, other in zip(*results):
        assert torch.allclose(mine, other, rtol=1e-9, atol=1e-9)


def test_the_layer_by_its_formula():
    """Each output sums weight x mask x the input sampled at its cell plus (dy, dx), nothing outside the image."""
    layer = shaken(TorchvisionDCNv2(2, 3, 3, padding=1, deform_groups=2), seed=3).double()
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    told = layer.conv_offset(x)[0]  # 2 groups x 9 cells x (dy, dx), then 2 x 9 masks

    def sample(channel, row, column):
        top, left = int(row // 1), int(column // 1)
        return sum(
            float(channel[r, c]) * (1 - abs(row - r)) * (1 - abs(column - c))
            for r in (top, top + 1)
            for c in (left, left + 1)
            if 0 <= r < 4 and 0 <= c < 5
        )

    expected = torch.zeros(3, 4, 5, dtype=torch.float64)
    for row in range(4):
        for column in range(5):
            for group in range(2):
                for cell in range(9):
                    dy, dx = told[(group * 9 + cell) * 2 : (group * 9 + cell) * 2 + 2, row, column].tolist()
                    mask = told[36 + group * 9 + cell, row, column].sigmoid()
                    value = sample(x[0, group], row + cell // 3 - 1 + dy, column + cell % 3 - 1 + dx)
                    expected[:, row, column] += layer.weight[:, group, cell // 3, cell % 3] * mask * value
    assert torch.allclose(layer(x)[0], expected + layer.bias[:, None, None], atol=1e-9)


def test_the_layer_is_found_in_every_scope():
    from mmcv.cnn import build_conv_layer
    from mmengine.registry import DefaultScope

    for scope in ("mmengine", "mmdet"):
        with DefaultScope.overwrite_default_scope(scope):
            assert isinstance(build_conv_layer(dict(type="TorchvisionDCNv2"), 2, 3, 1), TorchvisionDCNv2)


def test_a_new_layer_is_half_a_plain_convolution():
    layer, x = TorchvisionDCNv2(4, 6, 3, padding=1), torch.randn(1, 4, 8, 8)
    plain = nn.functional.conv2d(x, layer.weight, padding=1)
    assert torch.allclose(layer(x), plain / 2, atol=1e-5)
    assert not layer.conv_offset.weight.any()


def test_features_that_are_no_numbers_come_out_as_such():
    """Torchvision's kernel alone would end the process, and no loss could say which images it was."""
    layer = shaken(TorchvisionDCNv2(2, 3, 3, padding=1))
    x = torch.zeros(1, 2, 6, 6)
    x[0, 0, 2, 2] = torch.nan
    found = layer(x)
    assert found[0, :, 2, 2].isnan().all()
    assert found[0, :, 5, 5].isfinite().all()


def test_the_layer_computes_in_float32_under_autocast():
    layer, x = shaken(TorchvisionDCNv2(4, 6, 3, padding=1)), torch.randn(1, 4, 8, 8).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, layer(x.float()).bfloat16())


HEAD = dict(
    num_classes=5,
    in_channels=8,
    feat_channels=16,
    stacked_convs=2,
    norm_cfg=dict(type="GN", num_groups=4, requires_grad=True),
    anchor_generator=dict(
        type="AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=[8, 16, 32]
    ),
    bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
    loss_cls=dict(type="SigmoidFocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
    loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
    loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
    train_cfg=dict(assigner=dict(type="HorizontalATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.01, nms=dict(iou_threshold=0.6), max_per_img=50),
)


def head_of(kind, **changes):
    """A head with weights that say something, the same ones for every kind."""
    config = ConfigDict(type=kind, **{**copy.deepcopy(HEAD), **changes})
    torch.manual_seed(0)
    head = MODELS.build(config)
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in sorted(head.named_parameters()):
            parameter += torch.randn(parameter.shape, generator=draw) * (0.3 if "scales" not in name else 0.1)
    return head


def features(batch=2, size=128):
    draw = torch.Generator().manual_seed(2)
    return [torch.randn(batch, 8, size // s, size // s, generator=draw) for s in (8, 16, 32)]


def objects(counts, size=128):
    draw = torch.Generator().manual_seed(3)
    found = []
    for count in counts:
        low = torch.rand(count, 2, generator=draw) * size * 0.7
        boxes = torch.cat([low, low + 4 + torch.rand(count, 2, generator=draw) * size * 0.25], 1)
        found.append(InstanceData(bboxes=boxes, labels=torch.randint(0, 5, (count,), generator=draw)))
    return found


META = dict(img_shape=(128, 128), pad_shape=(128, 128), ori_shape=(64, 64), scale_factor=(2.0, 2.0))


@pytest.mark.parametrize("counts", [(6, 3), (4, 0), (0, 0)])
def test_same_losses_and_gradients_as_mmdetections_head(counts):
    ours = head_of("HorizontalATSSHead")
    theirs = head_of(
        "ATSSHead",
        loss_cls={**HEAD["loss_cls"], "type": "FocalLoss"},
        train_cfg={**HEAD["train_cfg"], "assigner": dict(type="ATSSAssigner", topk=9)},
    )
    assert type(theirs) is ATSSHead
    results = []
    for head in (ours, theirs):
        losses = head.loss_by_feat(*head(features()), objects(counts), [META] * 2)
        number = losses.pop("num_pos", None)
        assert (number is None) == (head is theirs)
        assert number is None or (float(number) > 0) == any(counts)
        total = sum(sum(value) for value in losses.values())
        total.backward()
        assert bool(total.isfinite())
        results.append((losses, {name: each.grad for name, each in head.named_parameters()}))
    for name, values in results[0][0].items():
        assert torch.allclose(torch.stack(values), torch.stack(results[1][0][name]), rtol=1e-5, atol=1e-6)
    for name, gradient in results[0][1].items():
        assert gradient is not None  # without objects too: data-parallel training waits for every one
        assert torch.allclose(gradient, results[1][1][name], rtol=1e-3, atol=1e-5)


def test_positives_are_counted_an_image(monkeypatch):
    head = head_of("HorizontalATSSHead")
    seen = []
    plain = type(head.assigner).assign
    monkeypatch.setattr(
        type(head.assigner), "assign", lambda *args, **kw: (seen.append(plain(*args, **kw)), seen[-1])[1]
    )
    losses = head.loss_by_feat(*head(features()), objects((6, 3)), [META] * 2)
    counts = [int((result.gt_inds > 0).sum()) for result in seen]
    assert len(counts) == 2
    assert min(counts) > 0
    assert float(losses["num_pos"]) == sum(counts) / 2


@pytest.mark.parametrize("rescale", [False, True])
def test_same_detections_as_mmdetections_head(rescale):
    ours = head_of("HorizontalATSSHead")
    theirs = head_of("ATSSHead", test_cfg={**HEAD["test_cfg"], "nms": dict(type="nms", iou_threshold=0.6)})
    with torch.no_grad():
        mine, other = (
            head.predict_by_feat(*head(features()), batch_img_metas=[META] * 2, rescale=rescale)
            for head in (ours, theirs)
        )
    for a, b in zip(mine, other):
        assert len(a) == len(b) > 10
        assert torch.allclose(a.scores, b.scores)
        assert torch.equal(a.labels, b.labels)
        assert torch.allclose(a.bboxes, b.bboxes, atol=1e-4)


def test_nothing_found():
    head = head_of("HorizontalATSSHead", test_cfg={**HEAD["test_cfg"], "score_thr": 1.0})
    with torch.no_grad():
        (found,) = head.predict_by_feat(*head(features(1)), batch_img_metas=[META], rescale=True)
    assert found.bboxes.shape == (0, 4)
    assert found.scores.shape == found.labels.shape == (0,)


def test_losses_and_boxes_are_float32_under_autocast():
    head = head_of("HorizontalATSSHead")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = head(features())
        assert outputs[0][0].dtype == torch.bfloat16
        losses = head.loss_by_feat(*outputs, objects((3, 2)), [META] * 2)
        found = head.predict_by_feat(*outputs, batch_img_metas=[META] * 2)
    wide = head.loss_by_feat(*([level.float() for level in levels] for levels in outputs), objects((3, 2)), [META] * 2)
    assert float(losses.pop("num_pos")) == float(wide["num_pos"])
    for name, values in losses.items():
        assert all(value.dtype == torch.float32 for value in values)
        assert torch.equal(torch.stack(values), torch.stack(wide[name]))
    assert found[0].bboxes.dtype == found[0].scores.dtype == torch.float32


def slow_nms(boxes, scores, labels, threshold):
    def iou(a, b):
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        inter = max(width, 0) * max(height, 0)
        return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)

    boxes, scores, labels = boxes.tolist(), scores.tolist(), labels.tolist()
    kept = []
    for index in sorted(range(len(boxes)), key=lambda each: -scores[each]):  # stable: ties in input order
        if all(labels[index] != labels[k] or iou(boxes[index], boxes[k]) <= threshold for k in kept):
            kept.append(index)
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_nms_by_class(seed):
    draw = torch.Generator().manual_seed(seed)
    low = torch.rand(60, 2, generator=draw) * 40 - 30  # some left of and above the image
    boxes = torch.cat([low, low + 5 + torch.rand(60, 2, generator=draw) * 20], 1)
    scores = (torch.rand(60, generator=draw) * 8).round() / 8  # many ties
    labels = torch.randint(0, 3, (60,), generator=draw)
    assert classwise_nms(boxes, scores, labels, 0.3).tolist() == slow_nms(boxes, scores, labels, 0.3)


def test_nms_of_nothing():
    assert classwise_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5).tolist() == []


@pytest.mark.parametrize("stacked", [1, 3])
def test_the_last_layer_of_both_towers_is_deformable(stacked):
    config = dict(type="TorchvisionDCNv2", deform_groups=1)
    head = head_of("HorizontalATSSHead", stacked_convs=stacked, last_conv_cfg=config)
    for tower in (head.cls_convs, head.reg_convs):
        assert [isinstance(layer.conv, TorchvisionDCNv2) for layer in tower] == [False] * (stacked - 1) + [True]
        assert tower[-1].conv.bias is None
        assert isinstance(tower[-1].gn, nn.GroupNorm)
    names = {f"cls_convs.{stacked - 1}.conv.{part}" for part in ("weight", "conv_offset.weight", "conv_offset.bias")}
    assert names <= set(head.state_dict())
    head.init_weights()
    offset = head.reg_convs[-1].conv.conv_offset
    assert not offset.weight.any()
    assert not offset.bias.any()
    assert isinstance(head, HorizontalATSSHead)
    assert config == dict(type="TorchvisionDCNv2", deform_groups=1)
