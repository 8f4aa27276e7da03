"""Every box loss that a config may choose, in every head: finite, falling, and equal to mmrotate's where it is its."""

import pytest
import torch
from mmdet.registry import MODELS

from rotated_atss.detection.engine.runner import build_model, load_config
from rotated_atss.errors import UserError

IOU = dict(_delete_=True, type="RotatedIoULoss", mode="linear", loss_weight=2.0)
CHOICES = {
    "l1": (dict(_delete_=True, type="L1Loss", loss_weight=1.0), False),
    "smooth_l1": (dict(_delete_=True, type="SmoothL1Loss", beta=0.11, loss_weight=1.0), False),
    "iou": (IOU, True),
    "gwd": (dict(_delete_=True, type="GaussianLoss", kind="gwd", loss_weight=5.0), True),
    "kld": (dict(_delete_=True, type="GaussianLoss", kind="kld", sqrt=False, loss_weight=5.5), True),
    "kfiou": (dict(_delete_=True, type="KFIoULoss", loss_weight=5.0), False),
}
SMALL = {
    "model.backbone.init_cfg": None,
    "model.backbone.depth": 18,
    "model.neck.in_channels": [64, 128, 256, 512],
    "model.neck.out_channels": 32,
    "model.bbox_head.in_channels": 32,
    "model.bbox_head.feat_channels": 32,
    "model.bbox_head.stacked_convs": 1,
}


def pairs(number=200):
    unit = torch.rand(2 * number, 5, generator=torch.Generator().manual_seed(0))
    boxes = unit * torch.tensor([20, 20, 40.0, 20, 3]) + torch.tensor([0, 0, 4.0, 4, -1.5])
    return boxes[:number].requires_grad_(), boxes[number:]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(
    "config", ["rotated_atss_obb_r50_fpn_1x_dota_le90", "rotated_atss_centerness_obb_r50_fpn_1x_dota_le90"]
)
def test_a_few_steps_bring_the_boxes_nearer(config, choice):
    loss, decoded = CHOICES[choice]
    changes = {"model.bbox_head.loss_bbox": loss, "model.bbox_head.reg_decoded_bbox": decoded}
    torch.manual_seed(0)
    head = build_model(load_config(config, {**SMALL, **changes})).bbox_head
    head.init_weights()
    draw = torch.Generator().manual_seed(0)
    features = tuple(torch.randn(1, 32, 64 // 2**level, 64 // 2**level, generator=draw) for level in range(5))
    boxes = torch.rand(6, 5, generator=draw) * torch.tensor([512, 512, 60.0, 20, 3]) + torch.tensor(
        [0, 0, 20.0, 15, -1.5]
    )
    from mmengine.structures import InstanceData

    truth = InstanceData(bboxes=boxes, labels=torch.arange(6))
    meta = dict(img_shape=(512, 512), pad_shape=(512, 512), scale_factor=(1.0, 1.0))
    optimiser = torch.optim.SGD(head.parameters(), lr=0.002, momentum=0.9)
    seen = []
    for _ in range(8):
        losses = head.loss_by_feat(*head(features), [truth], [meta])
        optimiser.zero_grad()
        sum(value for name, value in losses.items() if "loss" in name).backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 35)
        optimiser.step()
        seen.append(float(losses["loss_bbox"].detach()))
    assert all(value == value and value < float("inf") for value in seen)
    assert seen[-1] < seen[0]


@pytest.mark.parametrize("kind", ["gwd", "kld", "kld_symmax"])
def test_gaussian_distances_are_mmrotates(kind):
    losses = pytest.importorskip("mmrotate.models.losses")
    pred, target = pairs()
    weight = torch.rand(len(pred), generator=torch.Generator().manual_seed(1))
    ours = MODELS.build(dict(type="GaussianLoss", kind=kind, loss_weight=3.0, _scope_="mmdet"))
    theirs = losses.GDLoss(kind, reduction="sum", loss_weight=3.0)(pred, target, weight=weight)
    found = ours(pred, target, weight[:, None].expand(-1, 5), avg_factor=7.0)
    assert float(found.detach()) == pytest.approx(float(theirs.detach()) / 7, rel=1e-5)
    assert torch.autograd.grad(found, pred)[0].isfinite().all()
    assert float(ours(pred[:0], target[:0])) == 0


def test_kfiou_is_one_minus_the_overlap_of_gaussians():
    """For the same box Sigma / 2 is left: sqrt(det) halves, so KFIoU is (1 / 2) / (2 - 1 / 2) = 1 / 3."""
    loss = MODELS.build(dict(type="KFIoULoss", loss_weight=1.0, _scope_="mmdet"))
    boxes = pairs(50)[1]
    deltas = torch.zeros_like(boxes)
    found = loss(deltas, deltas, torch.ones(50, 5), 50.0, boxes, boxes)
    assert float(found) == pytest.approx(2 / 3, abs=1e-4)


@pytest.mark.parametrize(
    "loss, decoded, message",
    [
        (dict(type="GaussianLoss"), False, "GaussianLoss compares boxes"),
        (dict(type="KFIoULoss"), True, "KFIoULoss compares deltas"),
        (
            dict(type="GaussianLoss", kind="gaussian"),
            True,
            "kind of GaussianLoss must be one of gwd, kld, .*got 'gaussian'",
        ),
        (dict(type="KFIoULoss", fun="log"), False, "fun of KFIoULoss must be one of none, ln, exp, got 'log'"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(loss, decoded, message):
    changes = {"model.bbox_head.loss_bbox": {"_delete_": True, **loss}, "model.bbox_head.reg_decoded_bbox": decoded}
    with pytest.raises(UserError, match=message):
        build_model(load_config("rotated_atss_obb_r50_fpn_1x_dota_le90", {**SMALL, **changes}))
