"""Losses against torchvision, shapely and numbers computed by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from rotated_atss.ops.losses import rotated_iou_loss, sigmoid_focal_loss

LOG_9 = math.log(9)  # the logit of probability 0.9


def random_logits(count, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator) * 6
    return logits, torch.randint(0, classes + 1, (count,), generator=generator)


@pytest.mark.parametrize("gamma, alpha", [(2.0, 0.25), (1.5, 0.6)])
def test_focal_loss_equals_torchvision(gamma, alpha):
    ops = pytest.importorskip("torchvision.ops")
    logits, labels = random_logits(200, 6)
    target = functional.one_hot(labels, 7)[:, :6].float()
    loss = sigmoid_focal_loss(logits, labels, gamma=gamma, alpha=alpha)
    assert torch.allclose(loss, ops.sigmoid_focal_loss(logits, target, alpha, gamma), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "logit, positive, expected",
    [
        (0.0, True, 0.0433217),  # 0.25 * 0.5^2 * ln 2
        (0.0, False, 0.1299651),  # 0.75 * 0.5^2 * ln 2
        (LOG_9, True, 0.000263401),  # 0.25 * 0.1^2 * -ln 0.9
        (LOG_9, False, 1.3988204),  # 0.75 * 0.9^2 * -ln 0.1
        (-1000.0, True, 250.0),  # 0.25 * 1 * 1000
        (-1000.0, False, 0.0),
        (1000.0, True, 0.0),
        (1000.0, False, 750.0),  # 0.75 * 1 * 1000
    ],
)
def test_focal_loss_of_one_logit(logit, positive, expected):
    logits = torch.tensor([[logit]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([0 if positive else 1]))
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.sum().backward()
    assert logits.grad.isfinite().all()


def test_focal_loss_treats_each_label_as_positive_for_its_class_only():
    loss = sigmoid_focal_loss(torch.zeros(3, 2), torch.tensor([0, 1, 2]))  # 2 is the background
    positive, negative = 0.0433217, 0.1299651
    expected = torch.tensor([[positive, negative], [negative, positive], [negative, negative]])
    assert torch.allclose(loss, expected, atol=1e-6)


def test_focal_loss_without_focusing_is_half_the_binary_cross_entropy():
    logits, labels = random_logits(100, 4, seed=1)
    target = functional.one_hot(labels, 5)[:, :4].float()
    expected = functional.binary_cross_entropy_with_logits(logits, target, reduction="none") / 2
    assert torch.allclose(sigmoid_focal_loss(logits, labels, gamma=0.0, alpha=0.5), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    logits = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = torch.zeros(50, dtype=torch.int64)
    assert torch.equal(sigmoid_focal_loss(logits, labels), sigmoid_focal_loss(logits.float(), labels))
    boxes = torch.tensor([[5.0, 5, 4, 4, 0.2]]).to(dtype)
    assert rotated_iou_loss(boxes, boxes).dtype == torch.float32


@pytest.mark.parametrize(
    "target, iou",
    [
        ([50.0, 40, 20, 10, 0], 1.0),
        ([50.0, 40, 10, 20, math.pi / 2], 1.0),  # the same rectangle
        ([60.0, 40, 20, 10, 0], 1 / 3),  # shifted by half the width
        ([50.0, 40, 20, 10, math.pi / 2], 100 / 300),  # a cross that shares a square of side 10
        ([50.0, 40, 10, 5, 0], 0.25),  # nested
        ([90.0, 40, 20, 10, 0], 0.0),
    ],
)
def test_iou_loss_of_known_pairs(target, iou):
    pred, target = torch.tensor([[50.0, 40, 20, 10, 0]]), torch.tensor([target])
    assert float(rotated_iou_loss(pred, target)) == pytest.approx(1 - iou, abs=1e-6)  # linear is the default
    assert float(rotated_iou_loss(pred, target, form="linear")) == pytest.approx(1 - iou, abs=1e-6)
    assert float(rotated_iou_loss(pred, target, form="square")) == pytest.approx(1 - iou * iou, abs=1e-6)
    log_loss = -math.log(iou) if iou else 13.815511  # -ln of the default eps
    assert float(rotated_iou_loss(pred, target, form="log")) == pytest.approx(log_loss, abs=1e-5)


def shapely_ious(boxes1, boxes2):
    """Compute the IoU of rectangles that shapely rotates and intersects."""
    shapely = pytest.importorskip("shapely")
    affinity = pytest.importorskip("shapely.affinity")

    def rectangles(boxes):
        for cx, cy, w, h, angle in boxes.tolist():
            upright = shapely.box(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
            yield affinity.rotate(upright, angle, origin=(cx, cy), use_radians=True)

    polygons1, polygons2 = (np.array(list(rectangles(boxes))) for boxes in (boxes1, boxes2))
    inter, union = shapely.intersection(polygons1, polygons2), shapely.union(polygons1, polygons2)
    return torch.from_numpy(shapely.area(inter) / shapely.area(union))


def test_iou_loss_equals_the_areas_of_shapely():
    unit = torch.rand(2, 500, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    pred, target = unit * torch.tensor([20, 20, 60, 30, 6]) + torch.tensor([0, 0, 2, 2, -3])
    iou = shapely_ious(pred, target)
    assert 0.3 < (iou > 0.1).double().mean() < 1
    assert torch.allclose(rotated_iou_loss(pred, target), 1 - iou, atol=1e-9)
    assert torch.allclose(rotated_iou_loss(pred, target, form="square"), 1 - iou**2, atol=1e-9)
    expected = torch.tensor([-math.log(max(value, 0.01)) for value in iou.tolist()], dtype=torch.float64)
    assert torch.allclose(rotated_iou_loss(pred, target, form="log", eps=0.01), expected, atol=1e-7)


def test_unknown_form_of_the_iou_loss():
    with pytest.raises(ValueError, match="form must be one of linear, square, log, got 'cubic'"):
        rotated_iou_loss(torch.ones(1, 5), torch.ones(1, 5), form="cubic")


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
