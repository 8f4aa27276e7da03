"""Detections of the RetinaNet head, compared with a slow reference of one image and one prior at a time."""

import pytest
import torch
from mmengine.config import ConfigDict

from rotated_atss.ops import rotated_iou
from rotated_atss.ops.box_transforms import scale_obb
from rotated_atss.ops.boxes import obb_to_corners
from tests.detection.heads.small_retina_head import CLASSES, STRIDES, build, meta, random_outputs
from tests.references.slow_deltas import decode_le90
from tests.references.slow_heads import rows_of_priors, slow_classwise_nms, square_grid_priors


def slow_predict(head, scores, deltas, image, ratios):
    """Decode the best nms_pre (prior, class) pairs per level above the threshold one by one, then apply NMS."""
    cfg, candidates = head.test_cfg, []
    for score, delta, stride in zip(scores, deltas, STRIDES):
        priors, rows = square_grid_priors(*score.shape[-2:], stride, ratios), []
        for prior, logits, encoded in zip(
            priors, rows_of_priors(score, image, CLASSES), rows_of_priors(delta, image, 5)
        ):
            for label, value in enumerate(logits.sigmoid().tolist()):
                if value > cfg.score_thr:
                    rows.append((value, label, decode_le90(prior, encoded).tolist()))
        candidates += sorted(rows, reverse=True)[: cfg.nms_pre]
    boxes = torch.tensor([box for _, _, box in candidates])
    values, labels = (torch.tensor([row[column] for row in candidates]) for column in (0, 1))
    keep = slow_classwise_nms(boxes, values, labels, cfg.nms.iou_threshold)[: cfg.max_per_img]
    return boxes[keep], values[keep], labels[keep]


@pytest.mark.parametrize("ratios", [[1.0], [0.5, 2.0]])
def test_detections_equal_the_reference(ratios):
    head = build(anchor_generator=dict(ratios=ratios))
    with torch.no_grad():
        scores, deltas = random_outputs(2, priors=len(ratios))
        results = head.predict_by_feat(scores, deltas, batch_img_metas=[meta()] * 2)
    assert len(results) == 2
    for image, result in enumerate(results):
        boxes, values, labels = slow_predict(head, scores, deltas, image, ratios)
        assert len(result) == len(boxes) == 30  # max_per_img
        assert torch.allclose(result.scores, values)
        assert torch.equal(result.labels, labels)
        assert torch.allclose(result.bboxes, boxes, atol=1e-3)
        assert bool((result.scores.diff() <= 0).all())


def test_clamped_centers_are_those_of_mmrotates_coder():
    """Mmrotate clamps decoded centers to [0, width - 1] and [0, height - 1] of the image, before NMS."""
    coders = pytest.importorskip("mmrotate.models.task_modules.coders")
    head = build(bbox_coder=dict(type="OrientedDeltaCoder", angle_version="le90"))
    baseline = coders.DeltaXYWHTRBBoxCoder(angle_version="le90", use_box_type=False)
    shapes = [(100, 128), (128, 70)]
    metas = [meta(shape) for shape in shapes]
    with torch.no_grad():
        scores, deltas = random_outputs(2)
        plain = head.predict_by_feat(scores, deltas, batch_img_metas=metas, with_nms=False)
        cfg = ConfigDict({**head.test_cfg, "clamp_centers": True})
        clamped = head.predict_by_feat(scores, deltas, batch_img_metas=metas, with_nms=False, cfg=cfg)
        priors = torch.cat(head.multi_level_priors([level.shape[-2:] for level in scores], "cpu"))
        for before, after, (height, width), image in zip(plain, clamped, shapes, range(2)):
            expected = before.bboxes.clone()
            expected[:, 0], expected[:, 1] = (
                before.bboxes[:, 0].clamp(0, width - 1),
                before.bboxes[:, 1].clamp(0, height - 1),
            )
            assert torch.equal(after.bboxes, expected)
            assert not torch.equal(after.bboxes, before.bboxes)
            flat = torch.cat([level[image].permute(1, 2, 0).reshape(-1, 5) for level in deltas])
            decoded = head.bbox_coder.decode(priors, flat, max_shape=(height, width))
            mmrotate = baseline.decode(priors, flat, max_shape=(height, width))
            assert torch.allclose(decoded[:, :2], mmrotate[:, :2], atol=1e-3)


def test_high_score_of_one_prior_gives_its_box():
    head = build(anchor_generator=dict(ratios=[0.5, 2.0]))
    scores = [torch.full((1, 2 * CLASSES, 128 // stride, 128 // stride), -9.0) for stride in STRIDES]
    deltas = [torch.zeros(1, 10, 128 // stride, 128 // stride) for stride in STRIDES]
    scores[1][0, CLASSES + 2, 3, 5] = 9.0  # the second prior of row 3, column 5, class 2
    (result,) = head.predict_by_feat(scores, deltas, batch_img_metas=[meta()])
    assert result.labels.tolist() == [2]
    expected = torch.tensor([[5 * 16, 3 * 16, 64 / 2**0.5, 64 * 2**0.5, 0.0]])
    assert float(rotated_iou(result.bboxes, expected)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("factor", [(0.5, 0.5), (2.0, 0.5)])
def test_boxes_are_rescaled_to_the_original_image(factor):
    head = build()
    with torch.no_grad():
        scores, deltas = random_outputs(1)
        (plain,) = head.predict_by_feat(scores, deltas, batch_img_metas=[meta()], with_nms=False)
        info = {**meta(), "scale_factor": factor}
        (scaled,) = head.predict_by_feat(scores, deltas, batch_img_metas=[info], rescale=True, with_nms=False)
        (not_scaled,) = head.predict_by_feat(scores, deltas, batch_img_metas=[info], with_nms=False)
    inverse = (1 / factor[0], 1 / factor[1])
    assert torch.equal(scaled.bboxes, scale_obb(plain.bboxes, inverse))
    assert len(plain) > 50
    assert torch.equal(not_scaled.bboxes, plain.bboxes)
    if factor[0] == factor[1]:
        assert torch.allclose(obb_to_corners(scaled.bboxes), obb_to_corners(plain.bboxes) * 2, atol=1e-3)


@pytest.mark.parametrize("rescale", [False, True])
def test_no_detections(rescale):
    scores = [torch.full((1, CLASSES, 128 // stride, 128 // stride), -9.0) for stride in STRIDES]
    deltas = [torch.zeros(1, 5, 128 // stride, 128 // stride) for stride in STRIDES]
    (result,) = build().predict_by_feat(scores, deltas, batch_img_metas=[meta()], rescale=rescale)
    assert result.bboxes.shape == (0, 5)
    assert result.scores.shape == result.labels.shape == (0,)


def test_boxes_below_min_bbox_size_are_dropped():
    head = build()
    with torch.no_grad():
        scores, deltas = random_outputs(1)
        cfgs = [ConfigDict(head.test_cfg, min_bbox_size=size) for size in (0, 40)]
        every, large = (
            head.predict_by_feat(scores, deltas, batch_img_metas=[meta()], with_nms=False, cfg=cfg)[0] for cfg in cfgs
        )
    expected = (every.bboxes[:, 2:4] > 40).all(1)
    assert 0 < int(expected.sum()) < len(every)
    assert torch.equal(large.bboxes, every.bboxes[expected])


def test_boxes_are_decoded_in_float32_under_autocast():
    head = build()
    with torch.no_grad():
        scores, deltas = ([level.bfloat16() for level in part] for part in random_outputs(1))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            (mixed,) = head.predict_by_feat(scores, deltas, batch_img_metas=[meta()])
        upcast = [[level.float() for level in part] for part in (scores, deltas)]
        (full,) = head.predict_by_feat(*upcast, batch_img_metas=[meta()])
    assert mixed.bboxes.dtype == mixed.scores.dtype == torch.float32
    assert torch.equal(mixed.bboxes, full.bboxes)
    assert torch.equal(mixed.scores, full.scores)
