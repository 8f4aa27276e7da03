"""Geometry, losses, assignment and a detector on CUDA, compared with the CPU. ``make bench-gpu`` runs these tests."""

import copy
import math

import pytest
import torch

from rotated_atss.assign import (
    IGNORE,
    adaptive_threshold,
    atss_assign,
    center_sampling_assign,
    max_iou_assign,
    nearest_priors,
    ssc_assign,
    topk_assign,
)
from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.ops.boxes import obb_to_hbb, points_in_obb
from rotated_atss.ops.losses import rotated_iou_loss, sigmoid_focal_loss
from tests.references import tolerances

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("exact_convolutions"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]

LOSS_TOLERANCE = 1e-4  # relative, float32 convolutions without TF32
BFLOAT16_TOLERANCE = 0.05


def random_boxes(number, seed=0, size=256, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    unit = torch.rand(number, 5, generator=draw, dtype=torch.float64)
    sides, angle = (unit[:, 2:4] * 3 + 1.8).exp(), (unit[:, 4:] - 0.5) * math.pi
    return torch.cat((unit[:, :2] * size, sides, angle), 1).to(dtype)


def near_pairs(number, dtype, seed=0):
    first = random_boxes(number, seed, dtype=dtype)
    second = random_boxes(number, seed + 1, dtype=dtype)
    second[:, :2] = first[:, :2] + (second[:, :2] / 256 - 0.5) * 20
    swapped = first[: number // 4, [0, 1, 3, 2, 4]]
    swapped[:, 4] += math.pi / 2
    second[: number // 4] = swapped
    return first, second


def grid_priors(size=512, strides=(8, 16, 32, 64, 128)):
    levels = []
    for stride in strides:
        steps = torch.arange(size // stride) * float(stride)
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        rest = [torch.full((x.numel(),), value) for value in (4.0 * stride, 4.0 * stride, 0.0)]
        levels.append(torch.stack((x.flatten(), y.flatten(), *rest), 1))
    return torch.cat(levels), [len(level) for level in levels]


@pytest.mark.parametrize("mode", ["iou", "iof"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_iou_equals_the_cpu(dtype, mode):
    first, second = near_pairs(100_000, dtype)
    on_gpu = rotated_iou(first.to(DEVICE), second.to(DEVICE), aligned=True, mode=mode)
    assert on_gpu.device.type == DEVICE
    assert on_gpu.dtype == dtype
    on_cpu = rotated_iou(first, second, aligned=True, mode=mode)
    assert (on_gpu.cpu() - on_cpu).abs().max() <= tolerances.IOU_BETWEEN_DEVICES[dtype]
    first, second = first[:700], second[:900]
    on_gpu = rotated_iou(first.to(DEVICE), second.to(DEVICE), mode=mode)
    assert (on_gpu.cpu() - rotated_iou(first, second, mode=mode)).abs().max() <= tolerances.IOU_BETWEEN_DEVICES[dtype]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_iou_of_halves_is_computed_in_float32(dtype):
    first, second = (boxes.to(dtype).to(DEVICE) for boxes in near_pairs(1000, torch.float32))
    expected = rotated_iou(first.float(), second.float(), aligned=True).to(dtype)
    assert torch.equal(rotated_iou(first, second, aligned=True), expected)


def test_iou_gradients_equal_the_cpu():
    gradients = []
    for device in ("cpu", DEVICE):
        first, second = (boxes.to(device).requires_grad_() for boxes in near_pairs(2000, torch.float64, seed=3))
        iou = rotated_iou(first, second, aligned=True)
        iou[500:].sum().backward()  # not the first quarter: coinciding edges have two valid gradients
        gradients.append(torch.cat((first.grad, second.grad)).cpu())
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-9
    assert gradients[0].abs().max() > 0


def test_losses_equal_the_cpu():
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(5000, 15, generator=draw) * 4, torch.randint(0, 16, (5000,), generator=draw)
    focal = sigmoid_focal_loss(logits.to(DEVICE), labels.to(DEVICE)).cpu()
    assert torch.allclose(focal, sigmoid_focal_loss(logits, labels), rtol=1e-5, atol=1e-7)
    pred, target = near_pairs(2000, torch.float32)
    on_gpu = rotated_iou_loss(pred.to(DEVICE), target.to(DEVICE)).cpu()
    assert (on_gpu - rotated_iou_loss(pred, target)).abs().max() <= tolerances.IOU_BETWEEN_DEVICES[torch.float32]


@pytest.mark.parametrize("number, classes, threshold", [(0, 3, 0.1), (1, 3, 0.1), (800, 15, 0.1), (3000, 1, 0.5)])
def test_nms_equals_the_cpu(number, classes, threshold):
    draw = torch.Generator().manual_seed(number)
    boxes = random_boxes(number, number, dtype=torch.float64)
    labels = torch.randint(0, classes, (number,), generator=draw)
    scores = (torch.rand(number, generator=draw) * 50).round() / 50  # ties
    on_gpu = rotated_nms(boxes.to(DEVICE), scores.to(DEVICE), labels.to(DEVICE), threshold)
    assert on_gpu.device.type == DEVICE
    assert on_gpu.tolist() == rotated_nms(boxes, scores, labels, threshold).tolist()


@pytest.mark.parametrize("grid", [None, 4])
@pytest.mark.parametrize("number", [0, 1, 60, 500])
def test_assignment_equals_the_cpu(number, grid):
    priors, sizes = grid_priors()
    gt_boxes = random_boxes(number, number, 512)
    if grid:  # distances are equal
        gt_boxes[:, :2] = (gt_boxes[:, :2] / grid).round() * grid
    ignored_region = torch.tensor([[100.0, 120, 80, 60, 0.2]])
    on_cpu, iou = atss_assign(priors, sizes, gt_boxes, gt_boxes_ignore=ignored_region)
    on_gpu, gpu_iou = atss_assign(
        priors.to(DEVICE), sizes, gt_boxes.to(DEVICE), gt_boxes_ignore=ignored_region.to(DEVICE)
    )
    assert on_gpu.device.type == DEVICE
    on_gpu = on_gpu.cpu()
    assert torch.equal(on_cpu == IGNORE, on_gpu == IGNORE)
    differing = torch.nonzero(on_cpu != on_gpu).flatten().tolist()
    unexplained = {prior: (int(on_cpu[prior]), int(on_gpu[prior])) for prior in differing}
    for prior in differing:
        if decided_by_rounding(prior, priors, sizes, gt_boxes, on_cpu == IGNORE):
            del unexplained[prior]
    assert not unexplained, f"prior: (CPU, CUDA) {unexplained}"
    assert len(differing) <= max(1, number // 100)
    same = on_cpu == on_gpu
    assert (iou - gpu_iou.cpu())[same].abs().max() <= tolerances.IOU_BETWEEN_DEVICES[torch.float32]


@pytest.mark.parametrize("form", [torch.clone, obb_to_hbb])
@pytest.mark.parametrize("number", [0, 1, 200])
@pytest.mark.parametrize(
    "assign",
    [
        atss_assign,
        topk_assign,
        lambda priors, sizes, *rest, **ignored: max_iou_assign(priors, *rest, **ignored),
        lambda priors, sizes, *rest, **ignored: ssc_assign(
            priors, sizes, *rest, regress_limits=(32, 64, 96, 128), **ignored
        ),
        lambda *given, **ignored: center_sampling_assign(*given, regress_limits=(32, 64, 96, 128), **ignored),
    ],
    ids=["atss", "topk", "max_iou", "ssc", "center_sampling"],
)
def test_every_strategy_equals_the_cpu_in_double_precision(assign, number, form):
    priors, sizes = grid_priors()
    priors, gt_boxes = form(priors.double()), form(random_boxes(number, number, 512, torch.float64))
    ignored_region = form(torch.tensor([[100.0, 120, 80, 60, 0.2]]).double())
    on_cpu, iou = assign(priors, sizes, gt_boxes, gt_boxes_ignore=ignored_region)
    on_gpu = assign(priors.to(DEVICE), sizes, gt_boxes.to(DEVICE), gt_boxes_ignore=ignored_region.to(DEVICE))
    assert torch.equal(on_cpu, on_gpu[0].cpu())
    assert (on_cpu == IGNORE).any()
    assert (iou - on_gpu[1].cpu()).abs().max() <= tolerances.IOU_BETWEEN_DEVICES[torch.float64]


def decided_by_rounding(prior, priors, sizes, gt_boxes, ignored, tolerance=1e-5):
    """Whether rounding decides the assignment: an IoU at the threshold, or two boxes with nearly the same IoU."""
    candidates = nearest_priors(priors[:, :2], sizes, gt_boxes[:, :2], 9, ignored)
    chosen = priors[candidates.flatten()].double()
    paired = gt_boxes.double().repeat_interleave(candidates.shape[1], 0)
    overlap = rotated_iou(chosen, paired, aligned=True).view_as(candidates)
    threshold = adaptive_threshold(overlap, (~ignored[candidates]).to(overlap))[:, None]
    inside = points_in_obb(chosen[:, :2], paired, 0.01).view_as(candidates)
    positive = (candidates == prior) & (overlap > threshold - tolerance) & inside
    best = overlap[positive].sort(descending=True).values
    at_threshold = ((overlap - threshold).abs()[positive] < tolerance).any()
    return bool(at_threshold) or (len(best) > 1 and bool(best[0] - best[1] < tolerance))


def test_candidates_at_equal_distances_equal_the_cpu():
    priors, sizes = grid_priors()
    gt_centers = (random_boxes(300, 4, 512)[:, :2] / 4).round() * 4
    on_gpu = nearest_priors(priors[:, :2].to(DEVICE), sizes, gt_centers.to(DEVICE), 9)
    assert torch.equal(on_gpu.cpu(), nearest_priors(priors[:, :2], sizes, gt_centers, 9))


# -- the detector ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector():
    """The R50 le90 config with a narrow head, untrained, on the CPU."""
    pytest.importorskip("mmdet")
    pytest.importorskip("mmcv.ops")
    from rotated_atss.detection.engine.config import build_model, load_config

    small = {"model.neck.out_channels": 32, "model.bbox_head.in_channels": 32, "model.bbox_head.feat_channels": 32}
    cfg = load_config("rotated_atss_obb_r50_fpn_1x_dota_le90", {"model.backbone.init_cfg": None, **small})
    torch.manual_seed(0)
    model = build_model(cfg)
    model.init_weights()
    return model


def batch(counts=(12, 0, 40), size=256):
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    draw = torch.Generator().manual_seed(1)
    samples = []
    for seed, count in enumerate(counts):
        meta = dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0), img_id=str(seed))
        sample = DetDataSample(metainfo=meta)
        labels = torch.randint(0, 15, (count,), generator=draw)
        sample.gt_instances = InstanceData(bboxes=random_boxes(count, seed, size), labels=labels)
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 5), labels=labels[:0])
        samples.append(sample)
    images = [torch.randint(0, 255, (3, size, size), generator=draw, dtype=torch.uint8) for _ in counts]
    return dict(inputs=images, data_samples=samples)


def step(model, device, bfloat16=False):
    """Losses and gradients of one training step of a copy of the model."""
    model = copy.deepcopy(model).to(device).train()
    with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
        losses = model(**model.data_preprocessor(batch(), True), mode="loss")
    (losses["loss_cls"] + losses["loss_bbox"]).backward()
    values = {name: float(value.detach()) for name, value in losses.items()}
    return values, {name: each.grad.cpu() for name, each in model.named_parameters() if each.grad is not None}


def test_losses_and_gradients_of_a_step_equal_the_cpu(detector):
    on_cpu, gradients = step(detector, "cpu")
    on_gpu, other = step(detector, DEVICE)
    assert on_gpu["num_pos"] == on_cpu["num_pos"] > 0
    assert on_gpu == pytest.approx(on_cpu, rel=LOSS_TOLERANCE)
    assert gradients.keys() == other.keys()
    for name, gradient in gradients.items():
        assert (gradient - other[name]).norm() <= 1e-2 * gradient.norm() + 1e-7, name


def test_step_under_bfloat16_autocast_is_close_to_float32(detector):
    on_cpu, _ = step(detector, "cpu")
    on_gpu, gradients = step(detector, DEVICE, bfloat16=True)
    assert on_gpu["num_pos"] == on_cpu["num_pos"]  # the assignment does not depend on the precision
    assert on_gpu == pytest.approx(on_cpu, rel=BFLOAT16_TOLERANCE)
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert all(gradient.dtype == torch.float32 for gradient in gradients.values())


def feature_maps(size=256, classes=15):
    """Raw outputs of a head with distinct scores and random deltas."""
    draw = torch.Generator().manual_seed(2)
    shapes = [(size // stride, size // stride) for stride in (8, 16, 32, 64, 128)]
    cls = [torch.randn(2, classes, *shape, generator=draw) * 2 - 4 for shape in shapes]
    return cls, [torch.randn(2, 5, *shape, generator=draw) * 0.3 for shape in shapes]


def test_predictions_equal_the_cpu(detector):
    metas = [dict(scale_factor=(1.0, 1.0), img_shape=(256, 256))] * 2
    cls, box = feature_maps()
    on_cpu = detector.bbox_head.predict_by_feat(cls, box, batch_img_metas=metas)
    head = copy.deepcopy(detector.bbox_head).to(DEVICE)
    on_gpu = head.predict_by_feat(*([level.to(DEVICE) for level in part] for part in (cls, box)), batch_img_metas=metas)
    for expected, result in zip(on_cpu, on_gpu):
        assert len(expected) > 50
        assert abs(len(expected) - len(result)) <= 2
        assert result.bboxes.device.type == DEVICE
        same_box = rotated_iou(expected.bboxes, result.bboxes.cpu()) * (expected.labels[:, None] == result.labels.cpu())
        assert (same_box.amax(1) < 0.999).sum() <= 2
    assert detector.bbox_head.prior_generator.strides == head.prior_generator.strides
