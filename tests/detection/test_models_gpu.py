"""Detectors of every family on CUDA: losses of the CPU, training and inference without mmcv's CUDA kernels."""

import copy

import pytest
import torch

from rotated_atss.assign import max_iou_assign
from rotated_atss.ops.box_fusion import merge_by_voting
from rotated_atss.ops.centerness import centerness
from rotated_atss.ops.feature_align import align_features

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("exact_convolutions"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]

FAMILIES = [
    "rotated_atss_hbb_r50_fpn_1x_dota_oc",
    "rotated_atss_centerness_obb_r50_fpn_1x_dota_le90",
    "rotated_retinanet_obb_r50_fpn_1x_dota_le135",
    "r3det_r50_fpn_1x_dota_oc",
    "r3det_atss_r50_fpn_1x_dota_oc",
    "atss_dcnv2_r50_fpn_1x_coco",
]
LOSS_TOLERANCE = 2e-3  # relative; the boxes of R3Det's first stage, rounded differently, are priors of the second


def boxes(number, size=256, seed=0):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    return unit * torch.tensor([size, size, 60.0, 30, 1.5]) + torch.tensor([0, 0, 10.0, 8, 0.01])


def build(name):
    pytest.importorskip("mmdet")
    pytest.importorskip("mmcv.ops")
    from rotated_atss.detection.engine.config import build_model, load_config

    torch.manual_seed(0)
    model = build_model(load_config(name, {"model.backbone.init_cfg": None}))
    model.init_weights()
    return model


def batch(name, counts=(8, 0), size=256):
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import HorizontalBoxes
    from mmengine.structures import InstanceData

    samples = []
    for seed, count in enumerate(counts):
        meta = dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0), img_id=str(seed))
        sample, gt_boxes = DetDataSample(metainfo=meta), boxes(count, size, seed)
        if name.endswith("coco"):
            gt_boxes = HorizontalBoxes(torch.cat((gt_boxes[:, :2] - gt_boxes[:, 2:4] / 2, gt_boxes[:, :2] + 30), 1))
        sample.gt_instances = InstanceData(bboxes=gt_boxes, labels=torch.arange(count) % 15)
        sample.ignored_instances = InstanceData(bboxes=gt_boxes[:0], labels=torch.zeros(0, dtype=torch.int64))
        samples.append(sample)
    draw = torch.Generator().manual_seed(1)
    images = [torch.randint(0, 255, (3, size, size), generator=draw, dtype=torch.uint8) for _ in counts]
    return dict(inputs=images, data_samples=samples)


def losses_of(model, name, device):
    model = copy.deepcopy(model).to(device).train()
    losses = model(**model.data_preprocessor(batch(name), True), mode="loss")
    parts = {key: sum(value) if isinstance(value, list) else value for key, value in losses.items()}
    sum(value for key, value in parts.items() if "loss" in key).backward()
    assert all(
        each.grad is not None and each.grad.isfinite().all() for each in model.parameters() if each.requires_grad
    )
    return {key: float(value.detach()) for key, value in parts.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_losses_of_a_training_step_equal_the_cpu(name):
    model = build(name)
    on_cpu, on_gpu = losses_of(model, name, "cpu"), losses_of(model, name, DEVICE)
    assert on_gpu == pytest.approx(on_cpu, rel=LOSS_TOLERANCE)
    assert on_cpu["loss_bbox"] > 0


@pytest.mark.parametrize("name", FAMILIES)
def test_inference_detects_on_the_gpu(name):
    model = build(name).to(DEVICE).eval()
    for part in model.modules():
        if getattr(part, "test_cfg", None):
            part.test_cfg.score_thr = 0.005  # low enough for detections of an untrained model
    with torch.no_grad():
        samples = model(**model.data_preprocessor(batch(name), False), mode="predict")
    assert all(len(each.pred_instances.scores) == len(each.pred_instances.bboxes) > 0 for each in samples)
    assert all(each.pred_instances.bboxes.device.type == DEVICE for each in samples)


@pytest.mark.parametrize("columns", [4, 5])
def test_max_iou_assignment_equals_the_cpu(columns):
    gt_boxes, priors = boxes(40).double(), boxes(5000, seed=1).double()
    if columns == 4:
        gt_boxes, priors = (
            torch.cat((each[:, :2] - each[:, 2:4] / 2, each[:, :2] + 20), 1) for each in (gt_boxes, priors)
        )
    on_cpu = max_iou_assign(priors, gt_boxes)[0]
    on_gpu = max_iou_assign(priors.to(DEVICE), gt_boxes.to(DEVICE))[0]
    assert on_gpu.device.type == DEVICE
    assert int((on_cpu != on_gpu.cpu()).sum()) <= 1  # an IoU within rounding of a threshold
    assert len(on_cpu.unique()) > 20


def test_centerness_equals_the_cpu():
    gt_boxes = boxes(300).double()
    points = gt_boxes[:, :2] + 5
    for frame in ("hbb", "obb"):
        on_gpu = centerness(points.to(DEVICE), gt_boxes.to(DEVICE), frame).cpu()
        assert torch.allclose(on_gpu, centerness(points, gt_boxes, frame), atol=1e-12)


def test_feature_alignment_equals_the_cpu():
    features, aligned_to = torch.randn(1, 4, 12, 12, dtype=torch.float64), boxes(300).double()[:144][None] / 3
    on_gpu = align_features(features.to(DEVICE), aligned_to.to(DEVICE), 8).cpu()
    assert torch.allclose(on_gpu, align_features(features, aligned_to, 8), atol=1e-12)


def test_box_voting_equals_the_cpu():
    rows = boxes(300).double(), torch.linspace(1, 0.1, 300, dtype=torch.float64), torch.arange(300) % 3
    on_cpu = merge_by_voting(*rows, 0.3, 0.05)
    on_gpu = merge_by_voting(*(each.to(DEVICE) for each in rows), 0.3, 0.05)
    assert all(torch.allclose(one, other.cpu(), atol=1e-9) for one, other in zip(on_cpu, on_gpu))
