"""The ATSS head with centerness: losses against a slow reference, outputs against mmrotate 1.x's head."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from rotated_atss.assign import atss_assign
from rotated_atss.detection.heads import atss_head as _registers  # noqa: F401
from rotated_atss.ops.boxes import obb_to_corners
from rotated_atss.ops.centerness import centerness
from rotated_atss.ops.losses import rotated_iou_loss, sigmoid_focal_loss

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


def objects(number, seed=0):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    boxes = unit * torch.tensor([128, 128, 50.0, 20, 3]) + torch.tensor([0, 0, 12.0, 10, -1.5])
    return InstanceData(bboxes=boxes, labels=torch.arange(number) % CLASSES)


METAS = [dict(img_shape=(128, 128), pad_shape=(128, 128), scale_factor=(1.0, 1.0))] * 2


def rows(level, image, channels):
    return level[image].permute(1, 2, 0).reshape(-1, channels)


def reference(head, outputs, truths, frame):
    """Prior by prior: focal loss and centerness over the positives' number, 1 - IoU weighted by centerness."""
    priors = torch.cat(head.prior_generator.grid_priors([level.shape[-2:] for level in outputs[0]], device="cpu"))
    sizes = [level.shape[-2] * level.shape[-1] for level in outputs[0]]
    focal, box, central, number, weights = 0.0, 0.0, 0.0, 0, 0.0
    for image, truth in enumerate(truths):
        logits, deltas, third = (
            torch.cat([rows(level, image, width) for level in part]) for part, width in zip(outputs, (CLASSES, 5, 1))
        )
        gt_index = atss_assign(priors, sizes, truth.bboxes)[0].tolist()
        number += max(sum(index >= 0 for index in gt_index), 1)
        labels = torch.tensor([CLASSES if index < 0 else int(truth.labels[index]) for index in gt_index])
        focal = focal + sigmoid_focal_loss(logits, labels).sum()
        for prior, delta, guess, index in zip(priors, deltas, third, gt_index):
            if index >= 0:
                goal = centerness(prior[:2], truth.bboxes[index], frame)
                weights += float(goal)
                decoded = head.bbox_coder.decode(prior[None], delta[None])
                box = box + goal * rotated_iou_loss(decoded, truth.bboxes[index][None])[0]
                central = central + torch.nn.functional.binary_cross_entropy_with_logits(guess[0], goal)
    return focal / number, 2 * box / max(weights, 1), central / number


@pytest.mark.parametrize("frame", ["hbb", "obb"])
@pytest.mark.parametrize("angle_version", ["oc", "le90", "le135"])
def test_losses_and_gradients_equal_the_reference(angle_version, frame):
    head = build(angle_version, centerness_frame=frame)
    outputs = head(features())
    truths = [objects(5), objects(0)]
    losses = head.loss_by_feat(*outputs, truths, METAS)
    expected = reference(head, outputs, truths, frame)
    names = ("loss_cls", "loss_bbox", "loss_centerness")
    for name, value in zip(names, expected):
        assert float(losses[name].detach()) == pytest.approx(float(value.detach()), rel=2e-5), name
    found = torch.autograd.grad(sum(losses[name] for name in names), head.parameters(), retain_graph=True)
    wanted = torch.autograd.grad(sum(expected), head.parameters())
    for one, other in zip(found, wanted):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-6)
    assert any(bool(each.abs().max() > 0) for each in found)


def test_images_without_objects_keep_every_branch_in_the_graph():
    head = build()
    losses = head.loss_by_feat(*head(features()), [objects(0), objects(0)], METAS)
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert all(param.grad is not None for param in head.parameters())
    assert float(losses["loss_bbox"]) == float(losses["loss_centerness"]) == 0


@pytest.mark.parametrize("angle_version", ["oc", "le90", "le135"])
def test_outputs_and_boxes_are_mmrotates(angle_version):
    """With the same weights: equal raw outputs, equal rectangles."""
    mmrotate = pytest.importorskip("mmrotate.models")
    from mmengine.registry import DefaultScope
    from mmrotate.registry import MODELS as PEERS

    assert mmrotate
    coder = {"angle_version": angle_version, **CODERS[angle_version]}
    coder.pop("angle_version")
    with DefaultScope.overwrite_default_scope("mmrotate"):
        peer = PEERS.build(
            dict(
                type="RotatedATSSHead", num_classes=CLASSES, in_channels=32, feat_channels=32, stacked_convs=1,
                anchor_generator=dict(
                    type="FakeRotatedAnchorGenerator", angle_version=angle_version, octave_base_scale=4,
                    scales_per_octave=1, ratios=[1.0], strides=STRIDES,
                ),
                bbox_coder=dict(
                    type="DeltaXYWHTRBBoxCoder",
                    **{"norm_factor": None, "edge_swap": False, "proj_xy": False, **coder, "use_box_type": False},
                ),
                loss_cls=dict(type="mmdet.FocalLoss", use_sigmoid=True),
                loss_bbox=dict(type="RotatedIoULoss", mode="linear", loss_weight=2.0),
                loss_centerness=dict(type="mmdet.CrossEntropyLoss", use_sigmoid=True),
                test_cfg=TEST_CFG,
            )
        )  # fmt: skip
    head = build(angle_version)
    peer.load_state_dict(head.state_dict())  # the same names and shapes
    with torch.no_grad():
        for layer in (head.atss_reg, peer.atss_reg):
            torch.manual_seed(1)
            torch.nn.init.normal_(layer.weight, std=0.05)  # boxes that differ from their priors
        for layer in (head.atss_cls, peer.atss_cls):
            torch.manual_seed(2)
            torch.nn.init.normal_(layer.weight, std=0.05)
        ours, theirs = head(features()), peer(features())
        for one, other in zip(ours, theirs):
            assert all(torch.equal(*pair) for pair in zip(one, other))
    for level, (one, other, deltas) in enumerate(zip(*priors_of(head, peer, ours), ours[1])):
        deltas = torch.cat([rows(deltas, image, 5) for image in range(2)])
        found = head.bbox_coder.decode(one.repeat(2, 1), deltas)
        # the peer moves centres into the image where it is told the image's shape; ours are left where they are
        wanted = peer.bbox_coder.decode(other.repeat(2, 1), deltas)
        assert deltas.abs().max() > 0.5
        assert same_rectangles(found, getattr(wanted, "tensor", wanted)) < 1e-3, level


def priors_of(head, peer, outputs):
    sizes = [level.shape[-2:] for level in outputs[0]]
    theirs = peer.prior_generator.grid_priors(sizes, device="cpu")
    return head.prior_generator.grid_priors(sizes, device="cpu"), [getattr(each, "tensor", each) for each in theirs]


def test_scores_count_centerness_after_the_topk():
    head = build()
    with torch.no_grad():
        torch.manual_seed(3)
        torch.nn.init.normal_(head.atss_cls.weight, std=0.1)
        torch.nn.init.normal_(head.atss_centerness.weight, std=0.1)
        outputs = head(features())
        found = head.predict_by_feat(*outputs, batch_img_metas=METAS, with_nms=False)[1]
    expected = []
    for scores, central in zip(outputs[0], outputs[2]):
        scores, central = rows(scores, 1, CLASSES).sigmoid(), rows(central, 1, 1).sigmoid()
        pairs = [(float(value), int(row)) for row, values in enumerate(scores) for value in values if value > 0.01]
        pairs.sort(reverse=True)
        expected += [value * float(central[row]) for value, row in pairs[:100]]
    assert len(expected) > 100
    assert sorted(found.scores.tolist()) == pytest.approx(sorted(expected), rel=1e-5)


def same_rectangles(first, second):
    """Largest distance from a corner of one to the nearest corner of the other, pixels."""
    one, other = obb_to_corners(first.double()), obb_to_corners(second.double())
    return float(torch.cdist(one, other).amin(-1).max())


def test_a_loss_of_deltas_wants_deltas():
    with pytest.raises(ValueError, match="L1Loss compares deltas"):
        build(loss_bbox=dict(type="L1Loss"))
    head = build(loss_bbox=dict(type="SmoothL1Loss", beta=0.11), reg_decoded_bbox=False)
    losses = head.loss_by_feat(*head(features()), [objects(4), objects(2)], METAS)
    assert float(losses["loss_bbox"].detach()) > 0


def test_the_objects_own_frame_needs_assignment_by_the_object():
    with pytest.raises(ValueError, match="requires assignment by the oriented box"):
        build(assigner=dict(assign_by_circumhbbox="oc"), centerness_frame="obb")
    with pytest.raises(ValueError, match="centerness_frame must be one of hbb, obb, got 'own'"):
        build(centerness_frame="own")
