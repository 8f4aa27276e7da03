"""The head's losses and detections against slow references that go image by image and prior by prior."""

import math

import pytest
import torch
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from rotated_atss.assign import IGNORE, atss_assign
from rotated_atss.detection.heads import retina_head as _registers  # noqa: F401
from rotated_atss.detection.heads.dense_head import gather_positives
from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.ops.boxes import obb_to_corners, scale_obb
from rotated_atss.ops.losses import rotated_iou_loss

CLASSES, STRIDES = 3, (8, 16, 32)


def build(**changes):
    """A head of three levels, one square prior a location unless told otherwise."""
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


def outputs(images, size=(128, 128), priors=1, seed=0):
    """Random raw outputs of a batch, as leaves of the graph."""
    draw = torch.Generator().manual_seed(seed)
    shapes = [(math.ceil(size[0] / stride), math.ceil(size[1] / stride)) for stride in STRIDES]
    scores = [torch.randn(images, priors * CLASSES, *shape, generator=draw) - 2 for shape in shapes]
    deltas = [torch.randn(images, priors * 5, *shape, generator=draw) * 0.3 for shape in shapes]
    return [each.requires_grad_() for each in scores], [each.requires_grad_() for each in deltas]


def objects(number, size=(128, 128), seed=0):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    boxes = unit * torch.tensor([size[1], size[0], 50.0, 20, 3]) + torch.tensor([0, 0, 12.0, 10, -1.5])
    return InstanceData(bboxes=boxes, labels=torch.arange(number) % CLASSES)


def meta(pad=(128, 128), **more):
    return dict(img_shape=pad, pad_shape=pad, scale_factor=(1.0, 1.0), **more)


def flat(level, image, channels):
    """One image's level (P * channels, H, W) as rows in the order of the priors, by loops."""
    _, rows, columns = level[image].shape
    number = level.shape[1] // channels
    return [
        level[image, prior * channels : (prior + 1) * channels, row, column]
        for row in range(rows)
        for column in range(columns)
        for prior in range(number)
    ]


def reference(head, scores, deltas, truths, metas, ignored=None, decoded=False):
    """Both losses and the number of positives, image by image: only valid priors are assigned, MMDetection's plain
    focal loss, absolute differences of deltas (or 1 - IoU of boxes) over the positives, everything over the sum of
    max(positives, 1).
    """
    assert head.bbox_coder.means == (0,) * 5
    levels = head.prior_generator.grid_priors([level.shape[-2:] for level in scores], device="cpu")
    factor, positives, focal, box = 0, 0, 0.0, 0.0
    for image, (truth, info) in enumerate(zip(truths, metas)):
        priors, sizes, logits, regressed = [], [], [], []
        for level, score, delta, stride in zip(levels, scores, deltas, STRIDES):
            rows, columns = (math.ceil(side / stride) for side in info["pad_shape"])
            valid = [int(x) < columns * stride and int(y) < rows * stride for x, y in level[:, :2].tolist()]
            rows = [row for row in zip(level, flat(score, image, CLASSES), flat(delta, image, 5), valid) if row[3]]
            priors += [row[0] for row in rows]
            logits += [row[1] for row in rows]
            regressed += [row[2] for row in rows]
            sizes.append(len(rows))
        goals, counted = torch.zeros(len(priors), CLASSES), torch.ones(len(priors), 1)
        regions = None if ignored is None else ignored[image].bboxes
        gt_index = atss_assign(torch.stack(priors), sizes, truth.bboxes, gt_boxes_ignore=regions)[0].tolist()
        factor += max(sum(index >= 0 for index in gt_index), 1)
        positives += sum(index >= 0 for index in gt_index)
        for number, (prior, delta, index) in enumerate(zip(priors, regressed, gt_index)):
            counted[number] = float(index != IGNORE)
            if index >= 0:
                goals[number, truth.labels[index]] = 1
                goal = truth.bboxes[index][None]
                if decoded:
                    box = box + rotated_iou_loss(head.bbox_coder.decode(prior[None], delta[None]), goal).sum()
                else:
                    box = box + (delta - head.bbox_coder.encode(prior[None], goal)[0]).abs().sum()
        focal = focal + (py_sigmoid_focal_loss(torch.stack(logits), goals, reduction="none") * counted).sum()
    weight = head.loss_bbox.loss_weight
    return focal / factor, weight * torch.as_tensor(box) / factor, positives / len(truths)


def check(head, scores, deltas, truths, metas, ignored=None, decoded=False):
    losses = head.loss_by_feat(scores, deltas, truths, metas, ignored)
    expected = reference(head, scores, deltas, truths, metas, ignored, decoded)
    for name, value in zip(("loss_cls", "loss_bbox", "num_pos"), expected):
        assert float(losses[name]) == pytest.approx(float(value), rel=2e-5), name
    assert float(expected[2]) > 0
    mine = torch.autograd.grad(losses["loss_cls"] + losses["loss_bbox"], [*scores, *deltas], retain_graph=True)
    theirs = torch.autograd.grad(expected[0] + expected[1], [*scores, *deltas], materialize_grads=True)
    for first, second in zip(mine, theirs):
        assert torch.allclose(first, second, atol=1e-6)
    return losses


# -- losses ------------------------------------------------------------------------------------------------------------


def test_losses_and_gradients_equal_the_reference():
    truths = [objects(6, seed=1), objects(0), objects(3, seed=2)]
    check(build(), *outputs(3), truths, [meta()] * 3)


def test_two_priors_a_location():
    head = build(anchor_generator=dict(ratios=[0.5, 2.0]))
    check(head, *outputs(1, priors=2), [objects(5, seed=1)], [meta()])


def test_images_of_different_sizes_in_one_batch():
    truths = [objects(6, size=(64, 96), seed=1), objects(6, seed=2)]
    scores, deltas = outputs(2)
    losses = check(build(), scores, deltas, truths, [meta((64, 96)), meta()])
    sum(losses[name] for name in ("loss_cls", "loss_bbox")).backward()
    assert float(scores[0].grad[0, :, 8:].abs().max()) == float(scores[0].grad[0, :, :, 12:].abs().max()) == 0
    assert float(scores[0].grad[0, :, :8, :12].abs().min()) > 0


def test_ignored_instances():
    truths = [objects(6, seed=1), objects(4, seed=2)]
    regions = InstanceData(bboxes=torch.tensor([[90.0, 40, 70, 60, 0.3]]), labels=torch.tensor([0]))
    ignored = [regions, InstanceData(bboxes=torch.zeros(0, 5), labels=torch.zeros(0, dtype=torch.int64))]
    scores, deltas = outputs(2)
    head = build()
    check(head, scores, deltas, truths, [meta()] * 2, ignored)
    sum(head.loss_by_feat(scores, deltas, truths, [meta()] * 2, ignored)[name] for name in ("loss_cls",)).backward()
    # the prior of the first level that lies wholly in the region learns nothing, in the other image it does
    assert float(scores[0].grad[0, :, 5, 11].abs().max()) == 0
    assert float(scores[0].grad[1, :, 5, 11].abs().min()) > 0


def test_images_without_objects():
    head = build()
    scores, deltas = outputs(2)
    losses = head.loss_by_feat(scores, deltas, [objects(0), objects(0)], [meta()] * 2)
    assert float(losses["loss_bbox"]) == 0
    assert float(losses["num_pos"]) == 0
    target = torch.zeros(sum(level[0, 0].numel() for level in scores), CLASSES)
    logits = [torch.stack(sum((flat(level, image, CLASSES) for level in scores), [])) for image in (0, 1)]
    background = sum(py_sigmoid_focal_loss(each, target, reduction="sum") for each in logits)
    assert float(losses["loss_cls"]) == pytest.approx(float(background) / 2, rel=1e-5)
    (losses["loss_cls"] + losses["loss_bbox"]).backward()
    assert all(level.grad is not None and float(level.grad.abs().max()) == 0 for level in deltas)


def test_objects_without_area_are_left_out_and_told():
    truth = InstanceData(bboxes=torch.tensor([[64.0, 64, 0, 20, 0]]), labels=torch.tensor([1]))
    with pytest.warns(UserWarning, match="1 of 1 gt_boxes have no area"):
        losses = build().loss_by_feat(*outputs(1), [truth], [meta()])
    assert float(losses["num_pos"]) == 0
    assert math.isfinite(float(losses["loss_cls"]))


def test_iou_loss_on_decoded_boxes():
    head = build(reg_decoded_bbox=True, loss_bbox=dict(type="RotatedIoULoss", loss_weight=2.0))
    truths = [objects(6, seed=1), objects(0)]
    check(head, *outputs(2), truths, [meta()] * 2, decoded=True)


def test_assigned_by_the_circumscribed_box_the_target_is_the_oriented_box():
    head = build(assigner=dict(assign_by_circumhbbox="oc"))
    truth = InstanceData(bboxes=torch.tensor([[64.0, 64, 100, 10, math.pi / 4]]), labels=torch.tensor([2]))
    priors = head.flat_priors([level.shape[-2:] for level in outputs(1)[0]], "cpu")
    gt_index = head.assign_batch(priors, [(16, 16), (8, 8), (4, 4)], [truth], [meta()], None)[0]
    chosen = torch.nonzero(gt_index >= 0).squeeze(1)
    perfect = torch.zeros(1, len(gt_index), 5)
    perfect[0, chosen] = head.bbox_coder.encode(torch.cat(priors)[chosen], truth.bboxes[gt_index[chosen]])
    losses = head.loss_of_matches(
        torch.zeros(1, len(gt_index), CLASSES), perfect, torch.cat(priors), gt_index[None], [truth]
    )
    assert len(chosen)
    assert float(losses["loss_bbox"]) == 0
    decoded = head.bbox_coder.decode(torch.cat(priors)[chosen], perfect[0, chosen])
    assert torch.allclose(rotated_iou(decoded, truth.bboxes), torch.ones(len(chosen), 1), atol=1e-4)


@pytest.mark.parametrize("decoded", [False, True])
def test_autocast_computes_losses_in_float32(decoded):
    changes = dict(reg_decoded_bbox=True, loss_bbox=dict(type="RotatedIoULoss")) if decoded else {}
    head = build(**changes)
    draw = torch.Generator().manual_seed(3)
    features = [torch.randn(2, 8, 128 // stride, 128 // stride, generator=draw) for stride in STRIDES]
    truths = [objects(6, seed=1), objects(2, seed=2)]
    full = head.loss_by_feat(*head(features), truths, [meta()] * 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        raw = head(features)
        assert raw[0][0].dtype == torch.bfloat16
        mixed = head.loss_by_feat(*raw, truths, [meta()] * 2)
        (mixed["loss_cls"] + mixed["loss_bbox"]).backward()
    for name in ("loss_cls", "loss_bbox"):
        assert mixed[name].dtype == torch.float32
        assert mixed[name].item() == pytest.approx(full[name].item(), rel=0.01)
    assert float(mixed["num_pos"]) == float(full["num_pos"])
    # what enters the losses is rounded, what is computed from it is not
    exact = head.loss_by_feat(*[[level.float() for level in part] for part in raw], truths, [meta()] * 2)
    assert all(torch.equal(exact[name], mixed[name]) for name in exact)


# -- detections --------------------------------------------------------------------------------------------------------


def slow_predict(head, scores, deltas, image, cfg):
    """Every (prior, class) pair above the threshold, best nms_pre a level, decoded one by one, then NMS."""
    levels = head.prior_generator.grid_priors([level.shape[-2:] for level in scores], device="cpu")
    found = []
    for level, score, delta in zip(levels, scores, deltas):
        rows = []
        for prior, logits, encoded in zip(level, flat(score, image, CLASSES), flat(delta, image, 5)):
            for label, value in enumerate(logits.sigmoid().tolist()):
                if value > cfg.score_thr:
                    rows.append((value, label, head.bbox_coder.decode(prior[None], encoded[None])[0].tolist()))
        found += sorted(rows, reverse=True)[: cfg.nms_pre]
    boxes = torch.tensor([row[2] for row in found])
    values, labels = torch.tensor([row[0] for row in found]), torch.tensor([row[1] for row in found])
    keep = rotated_nms(boxes, values, labels, cfg.nms.iou_threshold)[: cfg.max_per_img]
    return boxes[keep], values[keep], labels[keep]


@pytest.mark.parametrize("priors", [1, 2])
def test_detections_equal_the_reference(priors):
    head = build(anchor_generator=dict(ratios=[1.0] if priors == 1 else [0.5, 2.0]))
    with torch.no_grad():
        scores, deltas = outputs(2, priors=priors)
        results = head.predict_by_feat(scores, deltas, batch_img_metas=[meta()] * 2)
    assert len(results) == 2
    for image, result in enumerate(results):
        boxes, values, labels = slow_predict(head, scores, deltas, image, head.test_cfg)
        assert len(result) == len(boxes) == 30  # max_per_img
        assert torch.allclose(result.scores, values)
        assert torch.equal(result.labels, labels)
        assert torch.allclose(result.bboxes, boxes, atol=1e-3)
        assert bool((result.scores.diff() <= 0).all())


def test_one_prior_fires_where_it_should():
    head = build(anchor_generator=dict(ratios=[0.5, 2.0]))
    scores = [torch.full((1, 2 * CLASSES, 128 // stride, 128 // stride), -9.0) for stride in STRIDES]
    deltas = [torch.zeros(1, 10, 128 // stride, 128 // stride) for stride in STRIDES]
    scores[1][0, CLASSES + 2, 3, 5] = 9.0  # the second prior of row 3, column 5, class 2
    (result,) = head.predict_by_feat(scores, deltas, batch_img_metas=[meta()])
    assert result.labels.tolist() == [2]
    expected = torch.tensor([[5 * 16, 3 * 16, 64 / 2**0.5, 64 * 2**0.5, 0.0]])
    assert float(rotated_iou(result.bboxes, expected)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("factor", [(0.5, 0.5), (2.0, 0.5)])
def test_rescaled_to_the_image_as_it_was_read(factor):
    head = build()
    with torch.no_grad():
        scores, deltas = outputs(1)
        (plain,) = head.predict_by_feat(scores, deltas, batch_img_metas=[meta()], with_nms=False)
        info = {**meta(), "scale_factor": factor}
        (scaled,) = head.predict_by_feat(scores, deltas, batch_img_metas=[info], rescale=True, with_nms=False)
        (untouched,) = head.predict_by_feat(scores, deltas, batch_img_metas=[info], with_nms=False)
    inverse = (1 / factor[0], 1 / factor[1])
    assert torch.equal(scaled.bboxes, scale_obb(plain.bboxes, inverse))
    assert len(plain) > 50
    assert torch.equal(untouched.bboxes, plain.bboxes)
    if factor[0] == factor[1]:
        assert torch.allclose(obb_to_corners(scaled.bboxes), obb_to_corners(plain.bboxes) * 2, atol=1e-3)


def test_no_detections():
    scores = [torch.full((1, CLASSES, 128 // stride, 128 // stride), -9.0) for stride in STRIDES]
    deltas = [torch.zeros(1, 5, 128 // stride, 128 // stride) for stride in STRIDES]
    for rescale in (False, True):
        (result,) = build().predict_by_feat(scores, deltas, batch_img_metas=[meta()], rescale=rescale)
        assert result.bboxes.shape == (0, 5)
        assert result.scores.shape == result.labels.shape == (0,)


def test_small_boxes_are_left_out_on_request():
    head = build()
    with torch.no_grad():
        scores, deltas = outputs(1)
        cfgs = [ConfigDict(head.test_cfg, min_bbox_size=size) for size in (0, 40)]
        every, large = (
            head.predict_by_feat(scores, deltas, batch_img_metas=[meta()], with_nms=False, cfg=cfg)[0] for cfg in cfgs
        )
    expected = (every.bboxes[:, 2:4] > 40).all(1)
    assert 0 < int(expected.sum()) < len(every)
    assert torch.equal(large.bboxes, every.bboxes[expected])


def test_autocast_decodes_in_float32():
    head = build()
    with torch.no_grad():
        scores, deltas = ([level.bfloat16() for level in part] for part in outputs(1))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            (mixed,) = head.predict_by_feat(scores, deltas, batch_img_metas=[meta()])
        wide = [[level.float() for level in part] for part in (scores, deltas)]
        (full,) = head.predict_by_feat(*wide, batch_img_metas=[meta()])
    assert mixed.bboxes.dtype == mixed.scores.dtype == torch.float32
    assert torch.equal(mixed.bboxes, full.bboxes)
    assert torch.equal(mixed.scores, full.scores)


# -- what fits together ------------------------------------------------------------------------------------------------


def test_losses_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="RotatedIoULoss compares boxes.*reg_decoded_bbox=True"):
        build(loss_bbox=dict(type="RotatedIoULoss"))
    with pytest.raises(ValueError, match="L1Loss compares deltas.*RotatedIoULoss"):
        build(reg_decoded_bbox=True)
    with pytest.raises(ValueError, match="sigmoids: set use_sigmoid=True"):
        build(loss_cls=dict(type="SigmoidFocalLoss"))
    with pytest.raises(ValueError, match="IoULoss compares boxes"):
        build(loss_bbox=dict(type="GIoULoss"))


class _Recorder(torch.utils._python_dispatch.TorchDispatchMode):
    """Names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("decoded", [False, True])
def test_a_fixed_number_of_rows_gives_the_same_losses(decoded, monkeypatch):
    """As on CUDA, where positives are not counted: rows without one weigh nothing."""
    options = dict(reg_decoded_bbox=True, loss_bbox=dict(type="RotatedIoULoss")) if decoded else {}
    head, given = build(**options), outputs(2)
    truths = [objects(6, seed=1), objects(4, seed=2)]
    expected = head.loss_by_feat(*given, truths, [meta()] * 2)
    gradients = torch.autograd.grad(sum(expected[name] for name in ("loss_cls", "loss_bbox")), given[1])

    def padded(gt_index, samples):
        return gather_positives(gt_index, samples, head.assigner.max_num_pos(10, 3, 1))

    monkeypatch.setattr(head, "positives", padded)
    found = head.loss_by_feat(*given, truths, [meta()] * 2)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-5), name
    for one, other in zip(torch.autograd.grad(found["loss_cls"] + found["loss_bbox"], given[1]), gradients):
        assert torch.allclose(one, other, atol=1e-7)


def test_padded_rows_have_no_weight_and_nothing_waits_for_their_number():
    truths = [objects(2, seed=1), objects(0), objects(3, seed=3)]
    gt_index = torch.full((3, 40), -1)
    gt_index[0, 5], gt_index[2, 7], gt_index[2, 8] = 1, 0, 2
    with _Recorder() as run:
        found = gather_positives(gt_index, truths, most=9)
    assert found.weight.tolist() == [1] * 3 + [0] * 6
    assert found.image[:3].tolist() == [0, 2, 2]
    assert found.prior[:3].tolist() == [5, 7, 8]
    expected = torch.stack([truths[0].bboxes[1], truths[2].bboxes[0], truths[2].bboxes[2]])
    assert torch.equal(found.boxes[:3], expected)
    assert found.boxes.isfinite().all()
    assert not run.names & {"nonzero", "_local_scalar_dense", "masked_select"}
    assert len(gather_positives(gt_index.fill_(-1), [objects(0)] * 3, most=0).image) == 0
