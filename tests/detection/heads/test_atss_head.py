"""The ATSS head: losses compared with a slow reference, outputs with mmrotate 1.x's head."""

import math

import pytest
import torch
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from rotated_atss.detection.heads import atss_head as _registers  # noqa: F401
from rotated_atss.ops import rotated_iou
from rotated_atss.ops.boxes import obb_to_corners
from tests.references.corners import corner_distance
from tests.references.slow_atss import side_distances, slow_atss
from tests.references.slow_heads import rows_of_priors, square_grid_priors

CLASSES, STRIDES = 3, (8, 16, 32)
TEST_CFG = ConfigDict(nms_pre=100, min_bbox_size=0, score_thr=0.01, nms=dict(iou_threshold=0.1), max_per_img=50)
CODERS = {
    "oc": dict(angle_version="oc"),
    "le90": dict(angle_version="le90", edge_swap=True, proj_xy=True),
    "le135": dict(angle_version="le135", norm_factor=1, proj_xy=True),
}
ANGLES = {"oc": -math.pi / 2, "le90": -math.pi / 2, "le135": math.pi / 2}


def build(angle_version="le90", assigner=None, **changes):
    config = dict(
        type="RotatedATSSHead",
        _scope_="mmdet",
        num_classes=CLASSES,
        in_channels=32,
        feat_channels=32,
        stacked_convs=1,
        anchor_generator=dict(
            type="OrientedAnchorGenerator", octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=STRIDES,
            angle=ANGLES[angle_version],
        ),
        bbox_coder=dict(type="OrientedDeltaCoder", **CODERS[angle_version]),
        loss_cls=dict(type="SigmoidFocalLoss", use_sigmoid=True),
        loss_bbox=dict(type="RotatedIoULoss", loss_weight=2.0),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        train_cfg=ConfigDict(assigner={"type": "RotatedATSSAssigner", **(assigner or {})}, allowed_border=-1),
        test_cfg=TEST_CFG,
    )  # fmt: skip
    torch.manual_seed(0)
    head = MODELS.build({**config, **changes})
    head.init_weights()
    return head


def features(images=2, size=128, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(images, 32, size // stride, size // stride, generator=draw) for stride in STRIDES)


def ground_truth(number, seed=0):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    boxes = unit * torch.tensor([128, 128, 50.0, 20, 3]) + torch.tensor([0, 0, 12.0, 10, -1.5])
    return InstanceData(bboxes=boxes, labels=torch.arange(number) % CLASSES)


METAS = [dict(img_shape=(128, 128), pad_shape=(128, 128), scale_factor=(1.0, 1.0))] * 2


def slow_centerness(prior, gt_box, frame):
    """FCOS, arXiv 1904.01355, equation 3; in the circumscribed horizontal box (hbb) or in the box itself (obb)."""
    if frame == "hbb":
        corners = obb_to_corners(gt_box)
        gt_box = torch.cat((corners.amin(0), corners.amax(0)))
    left, top, right, bottom = (max(0.0, side) for side in side_distances(gt_box, prior[:2]))
    return math.sqrt(min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom))


def slow_losses(head, outputs, batch_gt, frame):
    """Compute the three losses prior by prior.

    Focal loss and centerness loss over the number of positives, 1 - IoU weighted by centerness over its sum.
    """
    sizes = [level.shape[-2:] for level in outputs[0]]
    priors = torch.tensor(
        [prior for size, stride in zip(sizes, STRIDES) for prior in square_grid_priors(*size, stride)]
    )
    priors[:, 4] = head.prior_generator.angle
    focal, box_loss, centerness_loss, num_pos, total_weight = 0.0, 0.0, 0.0, 0, 0.0
    for image, gt in enumerate(batch_gt):
        logits, deltas, centerness = (
            torch.stack([row for level in part for row in rows_of_priors(level, image, channels)])
            for part, channels in zip(outputs, (CLASSES, 5, 1))
        )
        gt_index = slow_atss(priors, [height * width for height, width in sizes], gt.bboxes)[0].tolist()
        num_pos += max(sum(index >= 0 for index in gt_index), 1)
        targets = torch.zeros(len(priors), CLASSES)
        for row, index in enumerate(gt_index):
            if index < 0:
                continue
            targets[row, gt.labels[index]] = 1
            weight = slow_centerness(priors[row], gt.bboxes[index], frame)
            total_weight += weight
            decoded = head.bbox_coder.decode(priors[row][None], deltas[row][None])
            box_loss = box_loss + weight * (1 - rotated_iou(decoded, gt.bboxes[index][None])[0, 0])
            probability = centerness[row, 0].sigmoid()
            centerness_loss = centerness_loss - weight * probability.log() - (1 - weight) * (1 - probability).log()
        focal = focal + py_sigmoid_focal_loss(logits, targets, reduction="sum")
    return focal / num_pos, 2 * box_loss / max(total_weight, 1), centerness_loss / num_pos


@pytest.mark.parametrize("frame", ["hbb", "obb"])
@pytest.mark.parametrize("angle_version", ["oc", "le90", "le135"])
def test_losses_and_gradients_equal_the_reference(angle_version, frame):
    head = build(angle_version, centerness_frame=frame)
    outputs = head(features())
    batch_gt = [ground_truth(5), ground_truth(0)]
    losses = head.loss_by_feat(*outputs, batch_gt, METAS)
    expected = slow_losses(head, outputs, batch_gt, frame)
    names = ("loss_cls", "loss_bbox", "loss_centerness")
    for name, value in zip(names, expected):
        assert float(losses[name].detach()) == pytest.approx(float(value.detach()), rel=2e-5), name
    gradients = torch.autograd.grad(sum(losses[name] for name in names), head.parameters(), retain_graph=True)
    expected_gradients = torch.autograd.grad(sum(expected), head.parameters())
    for gradient, expected_gradient in zip(gradients, expected_gradients):
        assert torch.allclose(gradient, expected_gradient, rtol=1e-3, atol=1e-6)
    assert any(bool(each.abs().max() > 0) for each in gradients)


def test_images_without_objects_give_every_parameter_a_gradient():
    head = build()
    losses = head.loss_by_feat(*head(features()), [ground_truth(0), ground_truth(0)], METAS)
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert all(param.grad is not None for param in head.parameters())
    assert float(losses["loss_bbox"].detach()) == float(losses["loss_centerness"].detach()) == 0


def mmrotate_head(angle_version):
    """Build mmrotate's head with the same settings."""
    pytest.importorskip("mmrotate.models")
    from mmengine.registry import DefaultScope
    from mmrotate.registry import MODELS as MMROTATE_MODELS

    coder = {"norm_factor": None, "edge_swap": False, "proj_xy": False, **CODERS[angle_version]}
    coder.pop("angle_version")
    with DefaultScope.overwrite_default_scope("mmrotate"):
        return MMROTATE_MODELS.build(
            dict(
                type="RotatedATSSHead", num_classes=CLASSES, in_channels=32, feat_channels=32, stacked_convs=1,
                anchor_generator=dict(
                    type="FakeRotatedAnchorGenerator", angle_version=angle_version, octave_base_scale=4,
                    scales_per_octave=1, ratios=[1.0], strides=STRIDES,
                ),
                bbox_coder=dict(
                    type="DeltaXYWHTRBBoxCoder", angle_version=angle_version, use_box_type=False, **coder
                ),
                loss_cls=dict(type="mmdet.FocalLoss", use_sigmoid=True),
                loss_bbox=dict(type="RotatedIoULoss", mode="linear", loss_weight=2.0),
                loss_centerness=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True),
                test_cfg=TEST_CFG,
            )
        )  # fmt: skip


@pytest.mark.parametrize("angle_version", ["oc", "le90", "le135"])
def test_outputs_and_boxes_equal_mmrotate_with_the_same_weights(angle_version):
    baseline = mmrotate_head(angle_version)
    head = build(angle_version)
    baseline.load_state_dict(head.state_dict())  # the same names and shapes
    with torch.no_grad():
        for layer in (head.atss_reg, baseline.atss_reg):
            torch.manual_seed(1)
            torch.nn.init.normal_(layer.weight, std=0.05)  # boxes that differ from their priors
        for layer in (head.atss_cls, baseline.atss_cls):
            torch.manual_seed(2)
            torch.nn.init.normal_(layer.weight, std=0.05)
        outputs, expected_outputs = head(features()), baseline(features())
    for levels, expected_levels in zip(outputs, expected_outputs):
        assert all(torch.equal(*pair) for pair in zip(levels, expected_levels))
    sizes = [level.shape[-2:] for level in outputs[0]]
    priors, baseline_priors = (each.prior_generator.grid_priors(sizes, device="cpu") for each in (head, baseline))
    for own, other, deltas in zip(priors, baseline_priors, outputs[1]):
        deltas = deltas.permute(0, 2, 3, 1).reshape(-1, 5)
        # without an image shape mmrotate does not clip centers to the image
        boxes = head.bbox_coder.decode(own.repeat(2, 1), deltas)
        expected = baseline.bbox_coder.decode(getattr(other, "tensor", other).repeat(2, 1), deltas)
        assert deltas.abs().max() > 0.5
        assert corner_distance(boxes, getattr(expected, "tensor", expected)).max() < 1e-3


def test_scores_are_multiplied_by_centerness_after_the_topk():
    head = build()
    with torch.no_grad():
        torch.manual_seed(3)
        torch.nn.init.normal_(head.atss_cls.weight, std=0.1)
        torch.nn.init.normal_(head.atss_centerness.weight, std=0.1)
        outputs = head(features())
        result = head.predict_by_feat(*outputs, batch_img_metas=METAS, with_nms=False)[1]
    expected = []
    for scores, centerness in zip(outputs[0], outputs[2]):
        rows = zip(rows_of_priors(scores.sigmoid(), 1, CLASSES), rows_of_priors(centerness.sigmoid(), 1, 1))
        pairs = [(float(score), float(factor)) for values, factor in rows for score in values if score > 0.01]
        pairs.sort(key=lambda pair: -pair[0])
        expected += [score * factor for score, factor in pairs[:100]]
    assert len(expected) > 100
    assert sorted(result.scores.tolist()) == pytest.approx(sorted(expected), rel=1e-5)


def test_loss_of_deltas_requires_reg_decoded_bbox_false():
    with pytest.raises(ValueError, match="L1Loss, which compares deltas"):
        build(loss_bbox=dict(type="L1Loss"))
    head = build(loss_bbox=dict(type="SmoothL1Loss", beta=0.11), reg_decoded_bbox=False)
    losses = head.loss_by_feat(*head(features()), [ground_truth(4), ground_truth(2)], METAS)
    assert float(losses["loss_bbox"].detach()) > 0


def test_invalid_centerness_frame_raises():
    with pytest.raises(ValueError, match="requires assignment by the oriented box"):
        build(assigner=dict(assign_by_circumhbbox="oc"), centerness_frame="obb")
    with pytest.raises(ValueError, match="centerness_frame must be one of hbb, obb, got 'own'"):
        build(centerness_frame="own")
