"""The horizontal ATSS head, compared with MMDetection's head and a slow NMS."""

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


def build(head_type, **changes):
    """Build a head with random weights, the same for every type."""
    config = ConfigDict(type=head_type, **{**copy.deepcopy(HEAD), **changes})
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


def ground_truth(counts, size=128):
    draw = torch.Generator().manual_seed(3)
    batch_gt = []
    for count in counts:
        low = torch.rand(count, 2, generator=draw) * size * 0.7
        boxes = torch.cat([low, low + 4 + torch.rand(count, 2, generator=draw) * size * 0.25], 1)
        batch_gt.append(InstanceData(bboxes=boxes, labels=torch.randint(0, 5, (count,), generator=draw)))
    return batch_gt


META = dict(img_shape=(128, 128), pad_shape=(128, 128), ori_shape=(64, 64), scale_factor=(2.0, 2.0))


@pytest.mark.parametrize("counts", [(6, 3), (4, 0), (0, 0)])
def test_losses_and_gradients_equal_mmdetection(counts):
    head = build("HorizontalATSSHead")
    baseline = build(
        "ATSSHead",
        loss_cls={**HEAD["loss_cls"], "type": "FocalLoss"},
        train_cfg={**HEAD["train_cfg"], "assigner": dict(type="ATSSAssigner", topk=9)},
    )
    assert type(baseline) is ATSSHead
    results = []
    for each in (head, baseline):
        losses = each.loss_by_feat(*each(features()), ground_truth(counts), [META] * 2)
        num_pos = losses.pop("num_pos", None)
        assert (num_pos is None) == (each is baseline)
        assert num_pos is None or (float(num_pos) > 0) == any(counts)
        total = sum(sum(value) for value in losses.values())
        total.backward()
        assert bool(total.isfinite())
        results.append((losses, {name: parameter.grad for name, parameter in each.named_parameters()}))
    (losses, gradients), (expected_losses, expected_gradients) = results
    for name, values in losses.items():
        assert torch.allclose(torch.stack(values), torch.stack(expected_losses[name]), rtol=1e-5, atol=1e-6)
    for name, gradient in gradients.items():
        assert gradient is not None  # also without objects, as distributed training requires
        assert torch.allclose(gradient, expected_gradients[name], rtol=1e-3, atol=1e-5)


def test_num_pos_is_the_mean_number_of_positives_per_image(monkeypatch):
    head = build("HorizontalATSSHead")
    results, assign = [], type(head.assigner).assign

    def record(*args, **kwargs):
        results.append(assign(*args, **kwargs))
        return results[-1]

    monkeypatch.setattr(type(head.assigner), "assign", record)
    losses = head.loss_by_feat(*head(features()), ground_truth((6, 3)), [META] * 2)
    counts = [int((result.gt_inds > 0).sum()) for result in results]
    assert len(counts) == 2
    assert min(counts) > 0
    assert float(losses["num_pos"]) == sum(counts) / 2


@pytest.mark.baseline
@pytest.mark.parametrize("rescale", [False, True])
def test_detections_equal_mmdetection(rescale):
    head = build("HorizontalATSSHead")
    baseline = build("ATSSHead", test_cfg={**HEAD["test_cfg"], "nms": dict(type="nms", iou_threshold=0.6)})
    with torch.no_grad():
        results, expected_results = (
            each.predict_by_feat(*each(features()), batch_img_metas=[META] * 2, rescale=rescale)
            for each in (head, baseline)
        )
    for result, expected in zip(results, expected_results):
        assert len(result) == len(expected) > 10
        assert torch.allclose(result.scores, expected.scores)
        assert torch.equal(result.labels, expected.labels)
        assert torch.allclose(result.bboxes, expected.bboxes, atol=1e-4)


def test_no_detections():
    head = build("HorizontalATSSHead", test_cfg={**HEAD["test_cfg"], "score_thr": 1.0})
    with torch.no_grad():
        (result,) = head.predict_by_feat(*head(features(1)), batch_img_metas=[META], rescale=True)
    assert result.bboxes.shape == (0, 4)
    assert result.scores.shape == result.labels.shape == (0,)


def test_losses_and_boxes_are_computed_in_float32_under_autocast():
    head = build("HorizontalATSSHead")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = head(features())
        assert outputs[0][0].dtype == torch.bfloat16
        losses = head.loss_by_feat(*outputs, ground_truth((3, 2)), [META] * 2)
        results = head.predict_by_feat(*outputs, batch_img_metas=[META] * 2)
    expected = head.loss_by_feat(
        *([level.float() for level in levels] for levels in outputs), ground_truth((3, 2)), [META] * 2
    )
    assert float(losses.pop("num_pos")) == float(expected["num_pos"])
    for name, values in losses.items():
        assert all(value.dtype == torch.float32 for value in values)
        assert torch.equal(torch.stack(values), torch.stack(expected[name]))
    assert results[0].bboxes.dtype == results[0].scores.dtype == torch.float32


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
def test_classwise_nms_equals_a_slow_reference(seed):
    draw = torch.Generator().manual_seed(seed)
    low = torch.rand(60, 2, generator=draw) * 40 - 30  # some left of and above the image
    boxes = torch.cat([low, low + 5 + torch.rand(60, 2, generator=draw) * 20], 1)
    scores = (torch.rand(60, generator=draw) * 8).round() / 8  # many ties
    labels = torch.randint(0, 3, (60,), generator=draw)
    assert classwise_nms(boxes, scores, labels, 0.3).tolist() == slow_nms(boxes, scores, labels, 0.3)


def test_nms_without_boxes():
    assert classwise_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5).tolist() == []


@pytest.mark.parametrize("stacked", [1, 3])
def test_last_layer_of_both_towers_is_deformable(stacked):
    config = dict(type="TorchvisionDCNv2", deform_groups=1)
    head = build("HorizontalATSSHead", stacked_convs=stacked, last_conv_cfg=config)
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
