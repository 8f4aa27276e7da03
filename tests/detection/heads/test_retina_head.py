"""Losses of the RetinaNet head, compared with a slow reference of one image and one prior at a time."""

import math

import pytest
import torch
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from rotated_atss.assign import IGNORE
from rotated_atss.detection.heads.positives import gather_positives
from rotated_atss.ops import rotated_iou
from tests.detection.heads.small_retina_head import CLASSES, STRIDES, build, meta, random_outputs
from tests.references.slow_atss import slow_atss
from tests.references.slow_deltas import decode_le90, encode_le90
from tests.references.slow_heads import rows_of_priors, square_grid_priors


def ground_truth(number, size=(128, 128), seed=0):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    boxes = unit * torch.tensor([size[1], size[0], 50.0, 20, 3]) + torch.tensor([0, 0, 12.0, 10, -1.5])
    return InstanceData(bboxes=boxes, labels=torch.arange(number) % CLASSES)


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
    with pytest.warns(UserWarning, match="1 of 1 gt_boxes have no area"):
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
        (dict(loss_bbox=dict(type="RotatedIoULoss")), r"RotatedIoULoss, which compares boxes.*reg_decoded_bbox=True"),
        (dict(reg_decoded_bbox=True), r"L1Loss, which compares deltas.*RotatedIoULoss"),
        (dict(loss_cls=dict(type="SigmoidFocalLoss")), r"sigmoid loss.*Set use_sigmoid=True"),
        (dict(loss_bbox=dict(type="GIoULoss")), r"IoULoss, which compares boxes"),
    ],
)
def test_losses_that_do_not_match_the_head_raise(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


@pytest.mark.parametrize(
    "setting, message", [(dict(allowed_border=0), "allowed_border=0"), (dict(pos_weight=2.0), "pos_weight=2.0")]
)
def test_settings_without_effect_are_refused(setting, message):
    train_cfg = ConfigDict(assigner=dict(type="RotatedATSSAssigner"), **setting)
    with pytest.raises(ValueError, match=rf"got {message}\. Remove it from train_cfg"):
        build(train_cfg=train_cfg)
    build(train_cfg=ConfigDict(assigner=dict(type="RotatedATSSAssigner"), allowed_border=-1, pos_weight=-1))
