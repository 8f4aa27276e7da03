"""Training of the official ATSS: labels, targets and losses compared with a slow reference of the authors' rules."""

import pytest

pytest.importorskip("mmdet")

import torch
from mmdet.registry import MODELS
from mmengine.structures import InstanceData

from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.heads import official_atss_head as _registers  # noqa: F401
from tests.references import official_atss

STRIDES = (8, 16, 32, 64, 128)
CLASSES = 2
SIZE = (96, 128)  # height and width of the padded batch
LEVELS = official_atss.official_priors(SIZE, STRIDES)
FEATMAP_SIZES = [(-(-SIZE[0] // stride), -(-SIZE[1] // stride)) for stride in STRIDES]


def build_head():
    cfg = load_config("atss_official_r50_fpn_1x_coco").model
    head = dict(cfg.bbox_head, num_classes=CLASSES, in_channels=32, feat_channels=32, stacked_convs=1)
    return MODELS.build(dict(head, train_cfg=cfg.train_cfg, test_cfg=cfg.test_cfg))


def ground_truth(counts, seed=0):
    """Objects of many sizes; every other one lies on whole pixels, so that centers lie on sides."""
    draw = torch.Generator().manual_seed(seed)
    batch = []
    for count in counts:
        center = torch.rand(count, 2, generator=draw) * torch.tensor([SIZE[1], SIZE[0]])
        size = (torch.rand(count, 2, generator=draw) * 3 + 1.5).exp()
        boxes = torch.cat((center - size / 2, center + size / 2), 1)
        boxes[::2] = boxes[::2].round()
        labels = torch.randint(0, CLASSES, (count,), generator=draw)
        batch.append(InstanceData(bboxes=boxes, labels=labels))
    return batch


def outputs(images, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return tuple(
        [torch.randn(images, channels, *size, generator=draw).requires_grad_() for size in FEATMAP_SIZES]
        for channels in (CLASSES, 4, 1)
    )


def pixel_boxes(gt):
    return [official_atss.to_pixel_indices(box) for box in gt.bboxes.double().tolist()]


def metas(images):
    """The first image is smaller than the batch: priors in its padding count in the official code."""
    shapes = [(60, 90), *[SIZE] * (images - 1)]
    return [dict(img_shape=shape, pad_shape=shape, scale_factor=(1.0, 1.0)) for shape in shapes]


def targets(head, batch):
    priors, flags = head.get_anchors(FEATMAP_SIZES, metas(len(batch)), device="cpu")
    return [torch.cat(levels, 1) for levels in head.get_targets(priors, flags, batch, metas(len(batch)))[:4]]


def test_priors_equal_the_reference():
    levels = build_head().prior_generator.grid_priors(FEATMAP_SIZES, device="cpu")
    for expected, level in zip(LEVELS, levels):
        pixels = torch.tensor([official_atss.to_pixel_indices(box) for box in level.tolist()])
        assert torch.equal(pixels, torch.tensor(expected))


@pytest.mark.parametrize("seed", range(4))
def test_labels_boxes_and_centerness_equal_the_reference(seed):
    head, batch = build_head(), ground_truth((12, 30), seed)
    priors, labels, weights, gt_boxes = targets(head, batch)
    assert bool((weights == 1).all())
    for image, gt in enumerate(batch):
        expected = torch.tensor(official_atss.assign(LEVELS, pixel_boxes(gt)))
        positive = expected >= 0
        assert int(positive.sum()) > 15
        assert torch.equal(labels[image], torch.where(positive, gt.labels[expected.clamp(min=0)], CLASSES))
        assert torch.equal(gt_boxes[image][positive], gt.bboxes[expected[positive]])
        centerness = head.centerness_target(priors[image][positive], gt_boxes[image][positive])
        flat = [prior for level in LEVELS for prior in level]
        reference = [
            official_atss.centerness(flat[index], pixel_boxes(gt)[int(expected[index])])
            for index in torch.nonzero(positive).flatten().tolist()
        ]
        assert torch.allclose(centerness, torch.tensor(reference), atol=1e-5)


def test_the_usual_margin_gives_other_labels():
    head, batch = build_head(), ground_truth((40,))
    expected = targets(head, batch)[1]
    head.assigner.center_margin = 0.01
    assert not torch.equal(targets(head, batch)[1], expected)


@pytest.mark.parametrize("counts", [(10, 0), (0, 25), (0, 0), (20, 20)])
def test_losses_equal_the_reference(counts):
    """An image without objects adds nothing to the normalizers."""
    head, batch, raw = build_head(), ground_truth(counts, seed=5), outputs(2)
    losses = head.loss_by_feat(*raw, batch, metas(2))
    logits, deltas, centerness = (
        torch.cat([level.permute(0, 2, 3, 1).reshape(2, -1, channels) for level in levels], 1).double().tolist()
        for levels, channels in zip(raw, (CLASSES, 4, 1))
    )
    expected = official_atss.losses(
        LEVELS, logits, deltas, [[value for (value,) in image] for image in centerness],
        [pixel_boxes(gt) for gt in batch], [gt.labels.tolist() for gt in batch],
    )  # fmt: skip
    for name, value in expected.items():
        assert float(losses[name].detach()) == pytest.approx(value, rel=2e-4, abs=1e-6)
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert all(bool(level.grad.isfinite().all()) for levels in raw for level in levels)
