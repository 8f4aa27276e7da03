"""The RetinaNet head: losses and detections, compared with slow references of one image and one prior at a time."""

import math

import pytest
import torch
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from rotated_atss.assign import IGNORE
from rotated_atss.detection.heads import retina_head as _registers  # noqa: F401
from rotated_atss.detection.heads.positives import gather_positives
from rotated_atss.ops import rotated_iou
from rotated_atss.ops.boxes import obb_to_corners, scale_obb
from tests.references.slow_atss import slow_atss
from tests.references.slow_deltas import decode_le90, encode_le90
from tests.references.slow_heads import rows_of_priors, slow_classwise_nms, square_grid_priors

CLASSES, STRIDES = 3, (8, 16, 32)


def build(**changes):
    """Build a head of three levels with one square prior per location by default."""
    generator = dict(
        type="OrientedAnchorGenerator", octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=STRIDES
    )
    config = dict(
        type="RotatedRetinaHead",
        _scope_="mmdet",
        num_classes=CLASSES,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        anchor_generator={**generator, **changes.pop("anchor_generator", {})},
        bbox_coder=dict(type="OrientedDeltaCoder", angle_version="le90", edge_swap=True, proj_xy=True),
        loss_cls=dict(type="SigmoidFocalLoss", use_sigmoid=True),
        loss_bbox=dict(type="L1Loss", loss_weight=1.5),
        train_cfg=ConfigDict(
            assigner={"type": "RotatedATSSAssigner", "topk": 9, **changes.pop("assigner", {})}, allowed_border=-1
        ),
        test_cfg=ConfigDict(nms_pre=100, min_bbox_size=0, score_thr=0.05, nms=dict(iou_threshold=0.1), max_per_img=30),
    )
    torch.manual_seed(0)
    head = MODELS.build({**config, **changes})
    head.init_weights()
    return head


def random_outputs(images, size=(128, 128), priors=1, seed=0):
    """Random raw outputs of a batch that require gradients."""
    draw = torch.Generator().manual_seed(seed)
    shapes = [(math.ceil(size[0] / stride), math.ceil(size[1] / stride)) for stride in STRIDES]
    scores = [torch.randn(images, priors * CLASSES, *shape, generator=draw) - 2 for shape in shapes]
    deltas = [torch.randn(images, priors * 5, *shape, generator=draw) * 0.3 for shape in shapes]
    return [each.requires_grad_() for each in scores], [each.requires_grad_() for each in deltas]


def ground_truth(number, size=(128, 128), seed=0):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    boxes = unit * torch.tensor([size[1], size[0], 50.0, 20, 3]) + torch.tensor([0, 0, 12.0, 10, -1.5])
    return InstanceData(bboxes=boxes, labels=torch.arange(number) % CLASSES)


def meta(pad=(128, 128), **more):
    return dict(img_shape=pad, pad_shape=pad, scale_factor=(1.0, 1.0), **more)


def valid_rows(scores, deltas, image, pad_shape, ratios):
    """List (prior, logits, deltas) of the priors on the padded image, and their number per level."""
    rows, sizes = [], []
    for score, delta, stride in zip(scores, deltas, STRIDES):
        priors = square_grid_priors(*score.shape[-2:], stride, ratios)
        limit_y, limit_x = (math.ceil(side / stride) * stride for side in pad_shape)
        level = zip(priors, rows_of_priors(score, image, CLASSES), rows_of_priors(delta, image, 5))
        valid = [row for row in level if row[0][0] < limit_x and row[0][1] < limit_y]
        rows += valid
        sizes.append(len(valid))
    return rows, sizes


def slow_losses(outputs, batch_gt, metas, ignored=None, ratios=(1.0,), decoded=False, loss_weight=1.5):
    """Compute both losses and the mean number of positives.

    Focal loss over the valid priors that are not ignored, absolute differences of deltas (or 1 - IoU of boxes) over the
    positives, both over the sum of max(positives of an image, 1).
    """
    normalizer, num_pos, focal, box_loss = 0, 0, 0.0, 0.0
    for image, (gt, info) in enumerate(zip(batch_gt, metas)):
        rows, sizes = valid_rows(*outputs, image, info["pad_shape"], ratios)
        priors = torch.tensor([prior for prior, _, _ in rows])
        regions = None if ignored is None else ignored[image].bboxes
        gt_index = slow_atss(priors, sizes, gt.bboxes, 9, 1, regions)[0].tolist()
        positives = sum(index >= 0 for index in gt_index)
        normalizer += max(positives, 1)
        num_pos += positives
        targets, counted = torch.zeros(len(rows), CLASSES), torch.ones(len(rows), 1)
        for row, ((prior, _, delta), index) in enumerate(zip(rows, gt_index)):
            counted[row] = float(index != IGNORE)
            if index < 0:
                continue
            targets[row, gt.labels[index]] = 1
            if decoded:
                box_loss = box_loss + 1 - rotated_iou(decode_le90(prior, delta)[None], gt.bboxes[index][None])[0, 0]
            else:
                expected = torch.tensor(encode_le90(prior, gt.bboxes[index].tolist()))
                box_loss = box_loss + (delta - expected).abs().sum()
        logits = torch.stack([row_logits for _, row_logits, _ in rows])
        focal = focal + (py_sigmoid_focal_loss(logits, targets, reduction="none") * counted).sum()
    return focal / normalizer, loss_weight * torch.as_tensor(box_loss) / normalizer, num_pos / len(batch_gt)


def check_losses(head, scores, deltas, batch_gt, metas, ignored=None, **options):
    losses = head.loss_by_feat(scores, deltas, batch_gt, metas, ignored)
    expected = slow_losses((scores, deltas), batch_gt, metas, ignored, **options)
    for name, value in zip(("loss_cls", "loss_bbox", "num_pos"), expected):
        assert float(losses[name].detach()) == pytest.approx(float(torch.as_tensor(value).detach()), rel=2e-5), name
    assert expected[2] > 0
    outputs = [*scores, *deltas]
    gradients = torch.autograd.grad(losses["loss_cls"] + losses["loss_bbox"], outputs, retain_graph=True)
    expected_gradients = torch.autograd.grad(expected[0] + expected[1], outputs, materialize_grads=True)
    for gradient, expected_gradient in zip(gradients, expected_gradients):
        assert torch.allclose(gradient, expected_gradient, atol=1e-6)
    return losses


# -- losses ------------------------------------------------------------------------------------------------------------


def test_losses_and_gradients_equal_the_reference():
    batch_gt = [ground_truth(6, seed=1), ground_truth(0), ground_truth(3, seed=2)]
    check_losses(build(), *random_outputs(3), batch_gt, [meta()] * 3)


def test_losses_with_two_priors_per_location():
    ratios = [0.5, 2.0]
    head = build(anchor_generator=dict(ratios=ratios))
    check_losses(head, *random_outputs(1, priors=2), [ground_truth(5, seed=1)], [meta()], ratios=ratios)


def test_priors_outside_a_smaller_image_of_the_batch_are_ignored():
    batch_gt = [ground_truth(6, size=(64, 96), seed=1), ground_truth(6, seed=2)]
    scores, deltas = random_outputs(2)
    losses = check_losses(build(), scores, deltas, batch_gt, [meta((64, 96)), meta()])
    (losses["loss_cls"] + losses["loss_bbox"]).backward()
    assert float(scores[0].grad[0, :, 8:].abs().max()) == float(scores[0].grad[0, :, :, 12:].abs().max()) == 0
    assert float(scores[0].grad[0, :, :8, :12].abs().min()) > 0


def test_priors_in_ignored_regions_have_no_loss():
    batch_gt = [ground_truth(6, seed=1), ground_truth(4, seed=2)]
    region = InstanceData(bboxes=torch.tensor([[90.0, 40, 70, 60, 0.3]]), labels=torch.tensor([0]))
    ignored = [region, InstanceData(bboxes=torch.zeros(0, 5), labels=torch.zeros(0, dtype=torch.int64))]
    scores, deltas = random_outputs(2)
    head = build()
    check_losses(head, scores, deltas, batch_gt, [meta()] * 2, ignored)
    head.loss_by_feat(scores, deltas, batch_gt, [meta()] * 2, ignored)["loss_cls"].backward()
    # this prior of the first level lies inside the region of the first image
    assert float(scores[0].grad[0, :, 5, 11].abs().max()) == 0
    assert float(scores[0].grad[1, :, 5, 11].abs().min()) > 0


def test_images_without_objects_have_background_loss_only():
    head = build()
    scores, deltas = random_outputs(2)
    losses = head.loss_by_feat(scores, deltas, [ground_truth(0), ground_truth(0)], [meta()] * 2)
    assert float(losses["loss_bbox"].detach()) == 0
    assert float(losses["num_pos"]) == 0
    background = 0.0
    for image in (0, 1):
        logits = torch.stack([row for level in scores for row in rows_of_priors(level, image, CLASSES)])
        background += float(py_sigmoid_focal_loss(logits, torch.zeros_like(logits), reduction="sum").detach())
    assert float(losses["loss_cls"].detach()) == pytest.approx(background / 2, rel=1e-5)
    (losses["loss_cls"] + losses["loss_bbox"]).backward()
    assert all(level.grad is not None and float(level.grad.abs().max()) == 0 for level in deltas)


def test_objects_without_area_are_skipped_with_a_warning():
    gt = InstanceData(bboxes=torch.tensor([[64.0, 64, 0, 20, 0]]), labels=torch.tensor([1]))
    with pytest.warns(UserWarning, match="1 of 1 objects have no area"):
        losses = build().loss_by_feat(*random_outputs(1), [gt], [meta()])
    assert float(losses["num_pos"]) == 0
    assert math.isfinite(float(losses["loss_cls"].detach()))


def test_iou_loss_is_computed_on_decoded_boxes():
    head = build(reg_decoded_bbox=True, loss_bbox=dict(type="RotatedIoULoss", loss_weight=2.0))
    batch_gt = [ground_truth(6, seed=1), ground_truth(0)]
    check_losses(head, *random_outputs(2), batch_gt, [meta()] * 2, decoded=True, loss_weight=2.0)


def test_assignment_by_the_circumscribed_box_regresses_the_oriented_box():
    head = build(assigner=dict(assign_by_circumhbbox="oc"))
    gt_box = [64.0, 64, 100, 10, math.pi / 4]
    gt = InstanceData(bboxes=torch.tensor([gt_box]), labels=torch.tensor([2]))
    sizes = [(16, 16), (8, 8), (4, 4)]
    priors = head.multi_level_priors([torch.Size(size) for size in sizes], "cpu")
    gt_index = head.assign_batch(priors, sizes, [gt], [meta()], None)
    positive = torch.nonzero(gt_index[0] >= 0).squeeze(1).tolist()
    all_priors = [prior for size, stride in zip(sizes, STRIDES) for prior in square_grid_priors(*size, stride)]
    deltas = torch.zeros(1, len(all_priors), 5)
    for row in positive:
        deltas[0, row] = torch.tensor(encode_le90(all_priors[row], gt_box))
    logits = torch.zeros(1, len(all_priors), CLASSES)
    losses = head.loss_from_targets(logits, deltas, torch.cat(priors), gt_index, [gt])
    assert positive
    assert float(losses["loss_bbox"]) == pytest.approx(0, abs=1e-6)
    decoded = head.bbox_coder.decode(torch.cat(priors)[positive], deltas[0, positive])
    assert torch.allclose(rotated_iou(decoded, gt.bboxes), torch.ones(len(positive), 1), atol=1e-4)


@pytest.mark.parametrize("decoded", [False, True])
def test_losses_are_computed_in_float32_under_autocast(decoded):
    changes = dict(reg_decoded_bbox=True, loss_bbox=dict(type="RotatedIoULoss")) if decoded else {}
    head = build(**changes)
    draw = torch.Generator().manual_seed(3)
    features = [torch.randn(2, 8, 128 // stride, 128 // stride, generator=draw) for stride in STRIDES]
    batch_gt = [ground_truth(6, seed=1), ground_truth(2, seed=2)]
    full = head.loss_by_feat(*head(features), batch_gt, [meta()] * 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        raw = head(features)
        assert raw[0][0].dtype == torch.bfloat16
        mixed = head.loss_by_feat(*raw, batch_gt, [meta()] * 2)
        (mixed["loss_cls"] + mixed["loss_bbox"]).backward()
    for name in ("loss_cls", "loss_bbox"):
        assert mixed[name].dtype == torch.float32
        assert mixed[name].item() == pytest.approx(full[name].item(), rel=0.01)
    assert float(mixed["num_pos"]) == float(full["num_pos"])
    # only the inputs of the losses are rounded
    exact = head.loss_by_feat(*[[level.float() for level in part] for part in raw], batch_gt, [meta()] * 2)
    assert all(torch.equal(exact[name], mixed[name]) for name in exact)


@pytest.mark.parametrize("decoded", [False, True])
def test_padded_positives_give_the_same_losses(decoded, monkeypatch):
    """On CUDA the positives are padded to their upper bound instead of counted."""
    options = dict(reg_decoded_bbox=True, loss_bbox=dict(type="RotatedIoULoss")) if decoded else {}
    head, outputs = build(**options), random_outputs(2)
    batch_gt = [ground_truth(6, seed=1), ground_truth(4, seed=2)]
    expected = head.loss_by_feat(*outputs, batch_gt, [meta()] * 2)
    gradients = torch.autograd.grad(sum(expected[name] for name in ("loss_cls", "loss_bbox")), outputs[1])

    def gather_padded(gt_index, batch_gt_instances):
        return gather_positives(gt_index, batch_gt_instances, head.assigner.max_num_pos(10, 3, 1))

    monkeypatch.setattr(head, "gather_positives", gather_padded)
    padded = head.loss_by_feat(*outputs, batch_gt, [meta()] * 2)
    for name, value in expected.items():
        assert float(padded[name].detach()) == pytest.approx(float(value.detach()), rel=1e-5), name
    for one, other in zip(torch.autograd.grad(padded["loss_cls"] + padded["loss_bbox"], outputs[1]), gradients):
        assert torch.allclose(one, other, atol=1e-7)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(loss_bbox=dict(type="RotatedIoULoss")), r"RotatedIoULoss compares boxes.*reg_decoded_bbox=True"),
        (dict(reg_decoded_bbox=True), r"L1Loss compares deltas.*RotatedIoULoss"),
        (dict(loss_cls=dict(type="SigmoidFocalLoss")), r"sigmoid loss.*Set use_sigmoid=True"),
        (dict(loss_bbox=dict(type="GIoULoss")), r"IoULoss compares boxes"),
    ],
)
def test_losses_that_do_not_match_the_head_raise(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


# -- detections --------------------------------------------------------------------------------------------------------


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
