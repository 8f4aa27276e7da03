"""Losses against their formulas written out, and against torchvision."""

import math

import pytest
import torch

from rotated_atss.ops import rotated_iou
from rotated_atss.ops.losses import rotated_iou_loss, sigmoid_focal_loss


def test_focal_loss_equals_torchvision():
    ops = pytest.importorskip("torchvision.ops")
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(200, 6, generator=draw) * 6, torch.randint(0, 7, (200,), generator=draw)
    target = torch.nn.functional.one_hot(labels, 7)[:, :6].float()
    for gamma, alpha in ((2.0, 0.25), (1.5, 0.6)):
        mine = sigmoid_focal_loss(logits, labels, gamma=gamma, alpha=alpha)
        assert torch.allclose(mine, ops.sigmoid_focal_loss(logits, target, alpha, gamma), atol=1e-6, rtol=1e-5)


def test_focal_loss_by_hand_and_far_from_zero():
    loss = sigmoid_focal_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    assert loss[0].tolist() == pytest.approx([0.75 * 0.25 * math.log(2), 0.25 * 0.25 * math.log(2)])
    extreme = torch.tensor([[1000.0, -1000.0]], requires_grad=True)
    sigmoid_focal_loss(extreme, torch.tensor([0])).sum().backward()
    assert extreme.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_computed_wider(dtype):
    logits = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = torch.zeros(50, dtype=torch.int64)
    assert torch.equal(sigmoid_focal_loss(logits, labels), sigmoid_focal_loss(logits.float(), labels))
    boxes = torch.tensor([[5.0, 5, 4, 4, 0.2]]).to(dtype)
    assert rotated_iou_loss(boxes, boxes).dtype == torch.float32


def test_iou_loss_forms():
    pred = torch.tensor([[5.0, 5, 8, 4, 0.2], [50, 50, 8, 4, 0]])
    target = torch.tensor([[6.0, 5, 8, 5, 0.4], [0, 0, 8, 4, 0]])
    iou = rotated_iou(pred, target, aligned=True)
    assert torch.equal(rotated_iou_loss(pred, target), 1 - iou)  # linear is the default (R25)
    assert torch.equal(rotated_iou_loss(pred, target, form="square"), 1 - iou**2)
    assert rotated_iou_loss(pred, target, form="log").tolist() == pytest.approx([-math.log(iou[0]), -math.log(1e-6)])
    with pytest.raises(ValueError, match="form must be one of linear, square, log, got 'cubic'"):
        rotated_iou_loss(pred, target, form="cubic")


def test_gradient_descent_on_the_iou_loss_fits_a_box():
    target = torch.tensor([[50.0, 40, 30, 12, 0.6]])
    pred = torch.tensor([[46.0, 44, 20, 18, 0.2]], requires_grad=True)
    optimizer = torch.optim.Adam([pred], lr=0.2)
    for _ in range(400):
        optimizer.zero_grad()
        loss = rotated_iou_loss(pred, target).sum()
        loss.backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.99
    assert float(loss.detach()) < 0.03
