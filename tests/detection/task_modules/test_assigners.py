"""Assigners as the configs build them, against the plain functions and MMDetection's own."""

import math

import pytest
import torch
from mmdet.models.task_modules import ATSSAssigner, MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from rotated_atss.assign import (
    atss_assign,
    center_sampling_assign,
    count_priors_per_location,
    ignore_outside_gt,
    max_iou_assign,
    ssc_assign,
    topk_assign,
)
from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.detection.task_modules.assigners import (
    HorizontalATSSAssigner,
    RotatedATSSAssigner,
    RotatedMaxIoUAssigner,
)
from rotated_atss.detection.task_modules.box_coders import PointDistanceCoder
from rotated_atss.detection.task_modules.prior_generators import OrientedAnchorGenerator
from rotated_atss.detection.task_modules.selection_assigner import SelectionAssigner
from rotated_atss.errors import UserError
from rotated_atss.ops import rotated_iou
from rotated_atss.ops.boxes import circumscribe, obb_to_hbb, points_in_obb

SIZES = [(16, 16), (8, 8), (4, 4)]


def priors_of(**kwargs):
    """Priors of three levels of a 128-pixel image, level after level, and the number of each level."""
    settings = dict(octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=[8, 16, 32])
    levels = OrientedAnchorGenerator(**{**settings, **kwargs}).grid_priors(SIZES, device="cpu")
    return torch.cat(levels), [len(level) for level in levels]


def objects(number=12, seed=0):
    """Long thin boxes, most of them turned."""
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    return unit * torch.tensor([108, 108, 50, 8, math.pi]) + torch.tensor([10, 10, 30, 6, -1.5])


def instances(boxes):
    return InstanceData(bboxes=boxes, labels=torch.arange(len(boxes)) % 5)


@pytest.mark.parametrize("value", [None, False])
def test_assigner_by_the_oriented_box(value):
    priors, sizes = priors_of()
    gt_index, iou = RotatedATSSAssigner(assign_by_circumhbbox=value).assign_image(priors, sizes, objects())
    expected = atss_assign(priors, sizes, objects())
    assert torch.equal(gt_index, expected[0])
    assert torch.equal(iou, expected[1])
    taken = gt_index >= 0
    assert bool(points_in_obb(priors[taken, :2], objects()[gt_index[taken]]).all())


@pytest.mark.parametrize("value", [True, "oc", "le90", "le135"])
def test_assigner_by_the_circumscribed_box(value):
    priors, sizes = priors_of()
    gt_index, iou = RotatedATSSAssigner(assign_by_circumhbbox=value).assign_image(priors, sizes, objects())
    expected = atss_assign(priors, sizes, circumscribe(objects()))
    assert torch.equal(gt_index, expected[0])
    assert torch.allclose(iou, expected[1], atol=1e-6)
    taken = gt_index >= 0
    inside = points_in_obb(priors[taken, :2], objects()[gt_index[taken]])
    assert bool(inside.any())
    assert not bool(inside.all())


def test_assigner_refuses_other_values():
    with pytest.raises(ValueError, match="oc, le90, le135, got 'hbb'"):
        RotatedATSSAssigner(assign_by_circumhbbox="hbb")


def test_assigner_passes_its_settings_on():
    priors, sizes = priors_of(scales_per_octave=2)
    assigner = RotatedATSSAssigner(topk=4, priors_per_location=2, ignore_iof_threshold=0.2)
    ignored = torch.tensor([[30.0, 30, 40, 40, 0.4]])
    expected = atss_assign(
        priors, sizes, objects(), topk=4, priors_per_location=2, gt_boxes_ignore=ignored, ignore_iof_threshold=0.2
    )
    assert torch.equal(assigner.assign_image(priors, sizes, objects(), ignored)[0], expected[0])


@pytest.mark.parametrize("wrap", [OrientedBoxes, lambda boxes: boxes])
def test_interface_of_mmdetection(wrap):
    priors, sizes = priors_of()
    labels = torch.arange(12) % 5
    ignored = InstanceData(bboxes=wrap(torch.tensor([[64.0, 64, 60, 60, 0]])))
    truths = InstanceData(bboxes=wrap(objects()), labels=labels)
    result = RotatedATSSAssigner().assign(InstanceData(priors=wrap(priors)), sizes, truths, ignored)
    gt_index, iou = atss_assign(priors, sizes, objects(), gt_boxes_ignore=torch.tensor([[64.0, 64, 60, 60, 0]]))
    assert result.num_gts == 12
    assert torch.equal(result.max_overlaps, iou)
    assert sorted(set(result.gt_inds.tolist()) - set(range(1, 13))) == [-1, 0]
    for index, label, mine in zip(result.gt_inds.tolist(), result.labels.tolist(), gt_index.tolist()):
        expected = {-1: (0, -1), -2: (-1, -1)}.get(mine, (mine + 1, mine % 5))
        assert (index, label) == expected


def test_interface_of_mmdetection_without_objects():
    priors, sizes = priors_of()
    truths = InstanceData(bboxes=torch.zeros(0, 5), labels=torch.zeros(0, dtype=torch.int64))
    result = RotatedATSSAssigner().assign(InstanceData(priors=priors), sizes, truths)
    assert result.num_gts == 0
    assert result.gt_inds.tolist() == [0] * len(priors)
    assert result.labels.tolist() == [-1] * len(priors)
    assert float(result.max_overlaps.max()) == 0


@pytest.mark.parametrize("octaves, ratios, number", [(1, [1.0], 1), (3, [1.0, 0.5, 2.0], 9), (1, [0.25, 4.0], 2)])
def test_priors_of_a_location_are_counted(octaves, ratios, number):
    priors, sizes = priors_of(scales_per_octave=octaves, ratios=ratios)
    assert count_priors_per_location(priors) == count_priors_per_location(obb_to_hbb(priors)) == number
    assert count_priors_per_location(priors[:0]) == 1
    counted = RotatedATSSAssigner(priors_per_location=None).assign_image(priors, sizes, objects())
    expected = atss_assign(priors, sizes, objects(), priors_per_location=number)
    assert torch.equal(counted[0], expected[0])


@pytest.mark.parametrize("threshold", [-1, 0.5])
def test_horizontal_atss_is_mmdetections(threshold):
    priors, sizes = priors_of()
    priors = obb_to_hbb(priors)
    crowd = InstanceData(bboxes=torch.tensor([[20.0, 20, 70, 60]]))
    for seed in range(5):
        truths = instances(obb_to_hbb(objects(seed=seed)))
        ours = HorizontalATSSAssigner(topk=9, ignore_iof_thr=threshold)
        theirs = ATSSAssigner(topk=9, ignore_iof_thr=threshold)
        mine, peer = (each.assign(InstanceData(priors=priors), sizes, truths, crowd) for each in (ours, theirs))
        assert torch.equal(mine.gt_inds, peer.gt_inds)
        assert torch.equal(mine.labels, peer.labels)
        assert (mine.gt_inds == -1).any() == (threshold > 0)


@pytest.mark.parametrize("threshold", [-1, 0.5])
def test_max_iou_is_mmdetections(threshold):
    priors = obb_to_hbb(priors_of(scales_per_octave=3, ratios=[1.0, 0.5, 2.0])[0])
    crowd = InstanceData(bboxes=torch.tensor([[20.0, 20, 70, 60]]))
    for seed in range(5):
        truths = instances(obb_to_hbb(objects(seed=seed)))
        ours = RotatedMaxIoUAssigner(ignore_iof_thr=threshold)
        theirs = MaxIoUAssigner(0.5, 0.4, ignore_iof_thr=threshold)
        mine, peer = (each.assign(InstanceData(priors=priors), truths, crowd) for each in (ours, theirs))
        assert torch.equal(mine.gt_inds, peer.gt_inds)
        assert torch.equal(mine.labels, peer.labels)
        assert {-1, 0, 1} <= set(mine.gt_inds.tolist())


@pytest.mark.parametrize("make", [RotatedATSSAssigner, RotatedMaxIoUAssigner, SelectionAssigner])
def test_ignored_objects_are_left_out_unless_told_otherwise(make):
    """A dataset that marks difficult objects as ignored means it, whatever the assigner."""
    priors, sizes = priors_of()
    region = torch.tensor([[64.0, 64, 60, 60, 0.3]])
    assert (make().assign_image(priors, sizes, objects(2), region)[0] == -2).sum() > 4
    assert (
        HorizontalATSSAssigner().assign_image(obb_to_hbb(priors), sizes, obb_to_hbb(objects()), obb_to_hbb(region))[0]
        > -2
    ).all()


@pytest.mark.parametrize("by_hbb", [None, "oc"])
def test_max_iou_by_either_box(by_hbb):
    priors, sizes = priors_of(scales_per_octave=3, ratios=[1.0, 0.5, 2.0])
    settings = dict(pos_iou_thr=0.4, neg_iou_thr=0.3, min_pos_iou=0.1, match_low_quality=False)
    assigner = TASK_UTILS.build(dict(type="RotatedMaxIoUAssigner", **settings, assign_by_circumhbbox=by_hbb))
    mine = assigner.assign_image(priors, sizes, objects())
    form = obb_to_hbb if by_hbb else torch.clone
    expected = max_iou_assign(
        form(priors), form(objects()), pos_iou=0.4, neg_iou=0.3, min_pos_iou=0.1, match_low_quality=False
    )
    assert torch.equal(mine[0], expected[0])
    assert torch.equal(mine[1], expected[1])
    assert (mine[0] >= 0).any()
    assert (mine[0] == -2).any()


def test_thresholds_that_do_not_fit_are_refused_when_built():
    with pytest.raises(ValueError, match="0 < neg_iou <= pos_iou <= 1"):
        RotatedMaxIoUAssigner(pos_iou_thr=0.4, neg_iou_thr=0.5)


# -- the paper's ablations ---------------------------------------------------------------------------------------------

RANGES = (16, 32)
EXPECTED = dict(
    atss=lambda p, s, g: atss_assign(p, s, g, topk=5),
    ssc=lambda p, s, g: ssc_assign(p, s, g, scale_ranges=RANGES),
    topk=lambda p, s, g: topk_assign(p, s, g, topk=5),
    center_sampling=lambda p, s, g: center_sampling_assign(p, s, g, topk=5, scale_ranges=RANGES),
    iou=lambda p, s, g: ignore_outside_gt(p, g, *max_iou_assign(p, g, pos_iou=0.4, neg_iou=0.3)),
)


@pytest.mark.parametrize("strategy", EXPECTED)
@pytest.mark.parametrize("form", ["oriented", "circumscribed", "horizontal"])
def test_ways_to_choose_positives(strategy, form):
    priors, sizes = priors_of()
    settings = dict(topk=5, scale_ranges=RANGES, pos_iou_thr=0.4, neg_iou_thr=0.3)
    assigner = TASK_UTILS.build(
        dict(type="SelectionAssigner", strategy=strategy, **settings, assign_by_circumhbbox=form == "circumscribed")
    )
    flat = (obb_to_hbb(priors), sizes, obb_to_hbb(objects()))
    given = flat if form == "horizontal" else (priors, sizes, objects())
    gt_index, iou = assigner.assign_image(*given)
    expected = EXPECTED[strategy](*(given if form == "oriented" else flat))
    assert torch.equal(gt_index, expected[0])
    assert torch.equal(iou, expected[1])
    assert (gt_index >= 0).any()
    result = assigner.assign(InstanceData(priors=given[0]), sizes, instances(given[2]))
    assert torch.equal(result.gt_inds == 0, gt_index == -1)


def test_ways_with_several_priors_a_location():
    priors, sizes = priors_of(scales_per_octave=3)
    for strategy, assign in (("atss", atss_assign), ("center_sampling", center_sampling_assign)):
        options = {} if strategy == "atss" else dict(scale_ranges=RANGES)
        expected = assign(priors, sizes, objects(), topk=4, priors_per_location=3, **options)[0]
        mine = SelectionAssigner(strategy, topk=4, scale_ranges=RANGES).assign_image(priors, sizes, objects())[0]
        assert torch.equal(mine, expected)


def test_positives_by_iou_outside_are_kept_on_request():
    priors, sizes = priors_of()
    kept = SelectionAssigner("iou", center_inside=False).assign_image(priors, sizes, objects())[0]
    assert torch.equal(kept, max_iou_assign(priors, objects())[0])


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(strategy="fcos"), "unknown strategy, got 'fcos'. Choose one of atss, ssc, iou, topk"),
        (dict(topk=0), "topk must be at least 1, got 0"),
        (dict(scale_ranges=(64, 32)), "must increase and be above 0"),
        (dict(pos_iou_thr=0.3), "0 < neg_iou <= pos_iou <= 1"),
        (dict(priors_per_location=0), "priors_per_location must be at least 1"),
    ],
)
def test_nonsense_is_refused_when_built(changes, message):
    with pytest.raises(ValueError, match=message):
        SelectionAssigner(**changes)
    if "topk" in changes:
        with pytest.raises(ValueError, match=message):
            RotatedATSSAssigner(**changes)


def test_ranges_for_another_number_of_levels_are_told_in_a_line():
    priors, sizes = priors_of()
    with pytest.raises(UserError, match="must hold 2 borders for 3 levels.*set model.train_cfg.assigner.scale_ranges"):
        SelectionAssigner("ssc").assign_image(priors, sizes, objects())


# -- regression from a point -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle_version", [None, "le90"])
def test_point_coder_begins_at_its_mean_and_inverts(angle_version):
    coder = TASK_UTILS.build(
        dict(type="PointDistanceCoder", angle_version=angle_version, edge_swap=angle_version == "le90", anchor_scale=4)
    )
    priors, boxes = priors_of()[0][:12], objects()
    if angle_version is None:
        priors, boxes = obb_to_hbb(priors), obb_to_hbb(boxes)
    assert coder.encode_size == priors.shape[1]
    start = coder.decode(priors, torch.zeros_like(priors))  # 4 strides to every side: twice the prior's size
    grown = torch.tensor([1.0, 1, 2, 2, 1]) * priors if angle_version else priors + torch.tensor([-16.0, -16, 16, 16])
    assert torch.allclose(start, grown)
    decoded = coder.decode(priors, coder.encode(priors, boxes))
    if angle_version:
        assert torch.allclose(rotated_iou(decoded, boxes, aligned=True), torch.ones(12), atol=1e-4)
    else:
        assert torch.allclose(decoded, boxes, atol=1e-3)
        clipped = coder.decode(priors, coder.encode(priors, boxes), max_shape=(40, 60))
        assert torch.allclose(clipped, torch.minimum(boxes.clamp(min=0), torch.tensor([60.0, 40, 60, 40])), atol=1e-3)


@pytest.mark.parametrize("settings", [dict(angle_version="le45"), dict(anchor_scale=0), dict(edge_swap=True)])
def test_point_coder_refuses_nonsense(settings):
    with pytest.raises(ValueError, match="le45|positive|long-edge"):
        PointDistanceCoder(**settings)
