"""Losses of the registry: hand-computed values, references from probability theory, and training steps with each."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch.distributions import MultivariateNormal, kl_divergence

from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.heads.loss_modules import RotatedIoULoss, SigmoidFocalLoss
from rotated_atss.errors import UserError

LOSSES = {  # config of the loss, reg_decoded_bbox
    "l1": (dict(_delete_=True, type="L1Loss", loss_weight=1.0), False),
    "smooth_l1": (dict(_delete_=True, type="SmoothL1Loss", beta=0.11, loss_weight=1.0), False),
    "iou": (dict(_delete_=True, type="RotatedIoULoss", mode="linear", loss_weight=2.0), True),
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


def random_boxes(number, seed):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    return unit * torch.tensor([20, 20, 40.0, 20, 3]) + torch.tensor([0, 0, 4.0, 4, -1.5])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "config", ["rotated_atss_obb_r50_fpn_1x_dota_le90", "rotated_atss_centerness_obb_r50_fpn_1x_dota_le90"]
)
def test_box_loss_decreases_in_a_few_steps(config, loss):
    loss_bbox, decoded = LOSSES[loss]
    changes = {"model.bbox_head.loss_bbox": loss_bbox, "model.bbox_head.reg_decoded_bbox": decoded}
    torch.manual_seed(0)
    head = build_model(load_config(config, {**SMALL, **changes})).bbox_head
    head.init_weights()
    draw = torch.Generator().manual_seed(0)
    features = tuple(torch.randn(1, 32, 64 // 2**level, 64 // 2**level, generator=draw) for level in range(5))
    boxes = torch.rand(6, 5, generator=draw) * torch.tensor([512, 512, 60.0, 20, 3]) + torch.tensor(
        [0, 0, 20.0, 15, -1.5]
    )
    gt = InstanceData(bboxes=boxes, labels=torch.arange(6))
    meta = dict(img_shape=(512, 512), pad_shape=(512, 512), scale_factor=(1.0, 1.0))
    optimizer = torch.optim.SGD(head.parameters(), lr=0.002, momentum=0.9)
    values = []
    for _ in range(8):
        losses = head.loss_by_feat(*head(features), [gt], [meta])
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if "loss" in name).backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 35)
        optimizer.step()
        values.append(float(losses["loss_bbox"].detach()))
    assert all(math.isfinite(value) for value in values)
    assert values[-1] < values[0]


def test_focal_loss_of_one_logit():
    """At logit 0 every probability is 1/2: alpha / 4 * log 2 for the positive class, (1 - alpha) / 4 * log 2 else."""
    loss = SigmoidFocalLoss(gamma=2.0, alpha=0.25, loss_weight=3.0)
    logits = torch.zeros(2, 1)
    value = loss(logits, torch.tensor([0, 1]), weight=torch.tensor([1.0, 0.5]), avg_factor=2.0)
    assert float(value) == pytest.approx(3 * (0.25 + 0.5 * 0.75) / 4 * math.log(2) / 2)


@pytest.mark.parametrize("mode, expected", [("linear", 0.5), ("square", 0.75), ("log", math.log(2))])
def test_iou_loss_of_half_a_box(mode, expected):
    """The IoU with half of the box is 1/2; weights (N, 5) are averaged per box."""
    box, half = torch.tensor([[0.0, 0, 4, 2, 0.3]]), torch.tensor([[0.0, 0, 4, 1, 0.3]])
    loss = RotatedIoULoss(mode=mode, loss_weight=2.0)
    assert float(loss(half, box)) == pytest.approx(2 * expected, rel=1e-4)
    assert float(loss(half, box, torch.full((1, 5), 0.5), avg_factor=4.0)) == pytest.approx(expected / 4, rel=1e-4)
    assert float(loss(box[:0], box[:0])) == 0


def gaussian(box):
    """Convert a box to the normal distribution with half of its sides as standard deviations."""
    cx, cy, w, h, angle = box.double().tolist()
    axes = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    covariance = axes @ torch.diag(torch.tensor([w * w / 4, h * h / 4], dtype=torch.float64)) @ axes.T
    return MultivariateNormal(torch.tensor([cx, cy], dtype=torch.float64), covariance)


def matrix_sqrt(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T


def wasserstein_distance(first, second):
    """Compute the 2-Wasserstein distance of two normal distributions."""
    root = matrix_sqrt(first.covariance_matrix)
    cross = matrix_sqrt(root @ second.covariance_matrix @ root)
    spread = torch.trace(first.covariance_matrix + second.covariance_matrix - 2 * cross)
    return math.sqrt(float((first.mean - second.mean).square().sum() + spread))


def slow_gaussian_loss(kind, pred, target):
    """``log1p`` of the distance; the Wasserstein distance relative to twice the mean side scale of both boxes."""
    first, second = gaussian(pred), gaussian(target)
    if kind == "gwd":
        scale = float(first.covariance_matrix.det() * second.covariance_matrix.det()) ** 0.125
        return math.log1p(wasserstein_distance(first, second) / (2 * scale))
    forward, backward = (float(kl_divergence(*pair)) for pair in ((second, first), (first, second)))
    divergence = dict(
        kld=forward, jd=(forward + backward) / 2, kld_symmax=max(forward, backward), kld_symmin=min(forward, backward)
    )
    return math.log1p(math.sqrt(divergence[kind]))


@pytest.mark.parametrize("kind", ["gwd", "kld", "jd", "kld_symmax", "kld_symmin"])
def test_gaussian_loss_is_the_weighted_mean_distance_of_the_distributions(kind):
    pred, target = random_boxes(50, seed=0).requires_grad_(), random_boxes(50, seed=1)
    weight = torch.rand(50, generator=torch.Generator().manual_seed(1))
    loss = MODELS.build(dict(type="GaussianLoss", kind=kind, loss_weight=3.0, _scope_="mmdet"))
    value = loss(pred, target, weight[:, None].expand(-1, 5), avg_factor=7.0)
    distances = [slow_gaussian_loss(kind, *pair) for pair in zip(pred.detach(), target)]
    expected = 3 * sum(w * distance for w, distance in zip(weight.tolist(), distances)) / 7
    assert float(value.detach()) == pytest.approx(expected, rel=1e-5)
    assert torch.autograd.grad(value, pred)[0].isfinite().all()
    assert float(loss(pred[:0].detach(), target[:0])) == 0


@pytest.mark.parametrize("fun, expected", [("none", 2 / 3), ("ln", math.log(3)), ("exp", math.exp(2 / 3) - 1)])
def test_kfiou_loss_of_equal_boxes(fun, expected):
    """The filter halves the covariance of equal boxes and their volume, so KFIoU is (1/2) / (2 - 1/2) = 1/3."""
    loss = MODELS.build(dict(type="KFIoULoss", fun=fun, loss_weight=1.0, _scope_="mmdet"))
    boxes = random_boxes(50, seed=1)
    deltas = torch.zeros_like(boxes)
    assert float(loss(deltas, deltas, torch.ones(50, 5), 50.0, boxes, boxes)) == pytest.approx(expected, abs=1e-4)


def test_kfiou_loss_adds_smooth_l1_of_the_center_deltas():
    loss = MODELS.build(dict(type="KFIoULoss", loss_weight=2.0, _scope_="mmdet"))
    boxes, deltas = random_boxes(1, seed=1), torch.tensor([[0.5, 0.05, 9.0, 9.0, 9.0]])
    smooth_l1 = (0.5 - 1 / 18) + 0.05**2 / 2 * 9  # linear and quadratic part with beta = 1/9
    value = loss(deltas, torch.zeros(1, 5), torch.ones(1, 5), 1.0, boxes, boxes)
    assert float(value) == pytest.approx(2 * (2 / 3 + smooth_l1), abs=1e-4)


@pytest.mark.parametrize(
    "loss, decoded, message",
    [
        (dict(type="GaussianLoss"), False, "GaussianLoss, which compares boxes"),
        (dict(type="KFIoULoss"), True, "KFIoULoss, which compares deltas"),
        (dict(type="GaussianLoss", kind="gaussian"), True, r"kind .*must be one of gwd, kld, .*got 'gaussian'"),
        (dict(type="KFIoULoss", fun="log"), False, "fun of KFIoULoss must be one of none, ln, exp, got 'log'"),
        (dict(type="RotatedIoULoss", mode="cube"), True, "mode of RotatedIoULoss must be one of .*got 'cube'"),
    ],
)
def test_invalid_box_loss_raises(loss, decoded, message):
    changes = {"model.bbox_head.loss_bbox": {"_delete_": True, **loss}, "model.bbox_head.reg_decoded_bbox": decoded}
    with pytest.raises(UserError, match=message):
        build_model(load_config("rotated_atss_obb_r50_fpn_1x_dota_le90", {**SMALL, **changes}))


def test_focal_loss_without_sigmoid_raises():
    with pytest.raises(ValueError, match="use_sigmoid of SigmoidFocalLoss must be True, got False"):
        SigmoidFocalLoss(use_sigmoid=False)
