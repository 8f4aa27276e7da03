"""Assigners as the configs build them, against the plain functions and MMDetection's own."""

import math

import pytest
import torch
from mmdet.models.task_modules import ATSSAssigner, MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from rotated_atss.assign import atss_assign, max_iou_assign
from rotated_atss.boxes import circumscribe, obb_to_hbb, points_in_obb
from rotated_atss.detection.assigners import (
    HorizontalATSSAssigner,
    RotatedATSSAssigner,
    RotatedMaxIoUAssigner,
    count_priors_per_location,
)
from rotated_atss.detection.structures import OrientedBoxes
from rotated_atss.detection.task_modules import OrientedAnchorGenerator

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
    matched, iou = RotatedATSSAssigner(assign_by_circumhbbox=value).match(priors, sizes, objects())
    expected = atss_assign(priors, sizes, objects())
    assert torch.equal(matched, expected[0]) and torch.equal(iou, expected[1])
    taken = matched >= 0
    assert bool(points_in_obb(priors[taken, :2], objects()[matched[taken]]).all())


@pytest.mark.parametrize("value", [True, "oc", "le90", "le135"])
def test_assigner_by_the_circumscribed_box(value):
    priors, sizes = priors_of()
    matched, iou = RotatedATSSAssigner(assign_by_circumhbbox=value).match(priors, sizes, objects())
    expected = atss_assign(priors, sizes, circumscribe(objects()))
    assert torch.equal(matched, expected[0]) and torch.allclose(iou, expected[1], atol=1e-6)
    taken = matched >= 0
    inside = points_in_obb(priors[taken, :2], objects()[matched[taken]])
    assert bool(inside.any()) and not bool(inside.all())  # the published behaviour


def test_assigner_refuses_other_values():
    with pytest.raises(ValueError, match="oc, le90, le135, not 'hbb'"):
        RotatedATSSAssigner(assign_by_circumhbbox="hbb")


def test_assigner_passes_its_settings_on():
    priors, sizes = priors_of(scales_per_octave=2)
    assigner = RotatedATSSAssigner(topk=4, priors_per_location=2, ignore_iof_threshold=0.2)
    ignored = torch.tensor([[30.0, 30, 40, 40, 0.4]])
    expected = atss_assign(
        priors, sizes, objects(), topk=4, priors_per_location=2, ignored_boxes=ignored, ignore_iof_threshold=0.2
    )
    assert torch.equal(assigner.match(priors, sizes, objects(), ignored)[0], expected[0])


@pytest.mark.parametrize("wrap", [OrientedBoxes, lambda boxes: boxes])
def test_interface_of_mmdetection(wrap):
    priors, sizes = priors_of()
    labels = torch.arange(12) % 5
    ignored = InstanceData(bboxes=wrap(torch.tensor([[64.0, 64, 60, 60, 0]])))
    truths = InstanceData(bboxes=wrap(objects()), labels=labels)
    result = RotatedATSSAssigner().assign(InstanceData(priors=wrap(priors)), sizes, truths, ignored)
    matched, iou = atss_assign(priors, sizes, objects(), ignored_boxes=torch.tensor([[64.0, 64, 60, 60, 0]]))
    assert result.num_gts == 12 and torch.equal(result.max_overlaps, iou)
    assert sorted(set(result.gt_inds.tolist()) - set(range(1, 13))) == [-1, 0]
    for index, label, mine in zip(result.gt_inds.tolist(), result.labels.tolist(), matched.tolist()):
        expected = {-1: (0, -1), -2: (-1, -1)}.get(mine, (mine + 1, mine % 5))
        assert (index, label) == expected


def test_interface_of_mmdetection_without_objects():
    priors, sizes = priors_of()
    truths = InstanceData(bboxes=torch.zeros(0, 5), labels=torch.zeros(0, dtype=torch.int64))
    result = RotatedATSSAssigner().assign(InstanceData(priors=priors), sizes, truths)
    assert result.num_gts == 0 and result.gt_inds.tolist() == [0] * len(priors)
    assert result.labels.tolist() == [-1] * len(priors) and float(result.max_overlaps.max()) == 0


def test_the_old_name_still_imports():
    from rotated_atss.detection.task_modules import RotatedATSSAssigner as same

    assert same is RotatedATSSAssigner


@pytest.mark.parametrize("octaves, ratios, number", [(1, [1.0], 1), (3, [1.0, 0.5, 2.0], 9), (1, [0.25, 4.0], 2)])
def test_priors_of_a_location_are_counted(octaves, ratios, number):
    priors, sizes = priors_of(scales_per_octave=octaves, ratios=ratios)
    assert count_priors_per_location(priors) == count_priors_per_location(obb_to_hbb(priors)) == number
    assert count_priors_per_location(priors[:0]) == 1
    counted = RotatedATSSAssigner(priors_per_location=None).match(priors, sizes, objects())
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
        assert torch.equal(mine.gt_inds, peer.gt_inds) and torch.equal(mine.labels, peer.labels)
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
        assert torch.equal(mine.gt_inds, peer.gt_inds) and torch.equal(mine.labels, peer.labels)
        assert {-1, 0, 1} <= set(mine.gt_inds.tolist())


@pytest.mark.parametrize("by_hbb", [None, "oc"])
def test_max_iou_by_either_box(by_hbb):
    priors, sizes = priors_of(scales_per_octave=3, ratios=[1.0, 0.5, 2.0])
    settings = dict(pos_iou_thr=0.4, neg_iou_thr=0.3, min_pos_iou=0.1, match_low_quality=False)
    assigner = TASK_UTILS.build(dict(type="RotatedMaxIoUAssigner", **settings, assign_by_circumhbbox=by_hbb))
    mine = assigner.match(priors, sizes, objects())
    form = obb_to_hbb if by_hbb else torch.clone
    expected = max_iou_assign(
        form(priors), form(objects()), pos_iou=0.4, neg_iou=0.3, min_pos_iou=0.1, match_low_quality=False
    )
    assert torch.equal(mine[0], expected[0]) and torch.equal(mine[1], expected[1])
    assert (mine[0] >= 0).any() and (mine[0] == -2).any()


def test_thresholds_that_do_not_fit_are_refused_when_built():
    with pytest.raises(ValueError, match="neg_iou <= pos_iou"):
        RotatedMaxIoUAssigner(pos_iou_thr=0.4, neg_iou_thr=0.5)
