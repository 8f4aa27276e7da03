"""Assigners compared with the functions of :mod:`rotated_atss.assign` and with MMDetection's assigners."""

import pytest
import torch
from mmdet.models.task_modules import ATSSAssigner, MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from rotated_atss.assign import (
    atss_assign,
    count_priors_per_location,
    max_iou_assign,
)
from rotated_atss.assign.max_iou import TIE_TOLERANCE
from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.detection.task_modules.assigners import (
    HorizontalATSSAssigner,
    RotatedATSSAssigner,
    RotatedMaxIoUAssigner,
)
from rotated_atss.detection.task_modules.selection_assigner import SelectionAssigner
from rotated_atss.ops.boxes import hbb_to_obb, obb_to_hbb, points_in_obb
from tests.references.task_modules import generate_priors, long_boxes


def instances(boxes):
    return InstanceData(bboxes=boxes, labels=torch.arange(len(boxes)) % 5)


@pytest.mark.parametrize("value", [None, False])
def test_assigner_by_oriented_boxes(value):
    priors, sizes = generate_priors()
    gt_index, iou = RotatedATSSAssigner(assign_by_circumhbbox=value).assign_image(priors, sizes, long_boxes())
    expected = atss_assign(priors, sizes, long_boxes())
    assert torch.equal(gt_index, expected[0])
    assert torch.equal(iou, expected[1])
    positive = gt_index >= 0
    assert bool(points_in_obb(priors[positive, :2], long_boxes()[gt_index[positive]]).all())


@pytest.mark.parametrize("value", [True, "oc", "le90", "le135"])
def test_assigner_by_circumscribed_boxes(value):
    priors, sizes = generate_priors()
    gt_index, iou = RotatedATSSAssigner(assign_by_circumhbbox=value).assign_image(priors, sizes, long_boxes())
    expected = atss_assign(priors, sizes, hbb_to_obb(obb_to_hbb(long_boxes())))
    assert torch.equal(gt_index, expected[0])
    assert torch.allclose(iou, expected[1], atol=1e-6)
    positive = gt_index >= 0
    inside = points_in_obb(priors[positive, :2], long_boxes()[gt_index[positive]])
    assert bool(inside.any())
    assert not bool(inside.all())


def test_assigner_rejects_other_values_of_assign_by_circumhbbox():
    with pytest.raises(ValueError, match="oc, le90, le135, got 'hbb'"):
        RotatedATSSAssigner(assign_by_circumhbbox="hbb")


def test_assigner_passes_its_options_to_atss_assign():
    priors, sizes = generate_priors(scales_per_octave=2)
    assigner = RotatedATSSAssigner(topk=4, priors_per_location=2, ignore_iof_threshold=0.2)
    gt_boxes_ignore = torch.tensor([[30.0, 30, 40, 40, 0.4]])
    expected = atss_assign(
        priors,
        sizes,
        long_boxes(),
        topk=4,
        priors_per_location=2,
        gt_boxes_ignore=gt_boxes_ignore,
        ignore_iof_threshold=0.2,
    )
    assert torch.equal(assigner.assign_image(priors, sizes, long_boxes(), gt_boxes_ignore)[0], expected[0])


@pytest.mark.parametrize("wrap", [OrientedBoxes, lambda boxes: boxes])
def test_interface_of_mmdetection(wrap):
    priors, sizes = generate_priors()
    labels = torch.arange(12) % 5
    gt_instances_ignore = InstanceData(bboxes=wrap(torch.tensor([[64.0, 64, 60, 60, 0]])))
    gt_instances = InstanceData(bboxes=wrap(long_boxes()), labels=labels)
    result = RotatedATSSAssigner().assign(InstanceData(priors=wrap(priors)), sizes, gt_instances, gt_instances_ignore)
    gt_index, iou = atss_assign(priors, sizes, long_boxes(), gt_boxes_ignore=torch.tensor([[64.0, 64, 60, 60, 0]]))
    assert result.num_gts == 12
    assert torch.equal(result.max_overlaps, iou)
    assert sorted(set(result.gt_inds.tolist()) - set(range(1, 13))) == [-1, 0]
    for gt_ind, label, g in zip(result.gt_inds.tolist(), result.labels.tolist(), gt_index.tolist()):
        expected = {-1: (0, -1), -2: (-1, -1)}.get(g, (g + 1, g % 5))
        assert (gt_ind, label) == expected


def test_interface_of_mmdetection_without_boxes():
    priors, sizes = generate_priors()
    gt_instances = InstanceData(bboxes=torch.zeros(0, 5), labels=torch.zeros(0, dtype=torch.int64))
    result = RotatedATSSAssigner().assign(InstanceData(priors=priors), sizes, gt_instances)
    assert result.num_gts == 0
    assert result.gt_inds.tolist() == [0] * len(priors)
    assert result.labels.tolist() == [-1] * len(priors)
    assert float(result.max_overlaps.max()) == 0


@pytest.mark.parametrize("octaves, ratios, number", [(1, [1.0], 1), (3, [1.0, 0.5, 2.0], 9), (1, [0.25, 4.0], 2)])
def test_priors_per_location_are_counted(octaves, ratios, number):
    priors, sizes = generate_priors(scales_per_octave=octaves, ratios=ratios)
    assert count_priors_per_location(priors) == count_priors_per_location(obb_to_hbb(priors)) == number
    assert count_priors_per_location(priors[:0]) == 1
    counted = RotatedATSSAssigner(priors_per_location=None).assign_image(priors, sizes, long_boxes())
    expected = atss_assign(priors, sizes, long_boxes(), priors_per_location=number)
    assert torch.equal(counted[0], expected[0])


@pytest.mark.parametrize("threshold", [-1, 0.5])
def test_horizontal_atss_equals_mmdetection(threshold):
    priors, sizes = generate_priors()
    priors = obb_to_hbb(priors)
    crowd = InstanceData(bboxes=torch.tensor([[20.0, 20, 70, 60]]))
    for seed in range(5):
        gt_instances = instances(obb_to_hbb(long_boxes(seed=seed)))
        assigner = HorizontalATSSAssigner(topk=9, ignore_iof_thr=threshold)
        baseline = ATSSAssigner(topk=9, ignore_iof_thr=threshold)
        result, expected = (
            each.assign(InstanceData(priors=priors), sizes, gt_instances, crowd) for each in (assigner, baseline)
        )
        assert torch.equal(result.gt_inds, expected.gt_inds)
        assert torch.equal(result.labels, expected.labels)
        assert (result.gt_inds == -1).any() == (threshold > 0)


class MaxIoUAssignerWithMergedTies(MaxIoUAssigner):
    """MMDetection's assigner on IoUs in which those that count as equal to the highest one of a box are equal."""

    def assign_wrt_overlaps(self, overlaps, gt_labels):
        highest = overlaps.amax(1, keepdim=True)
        merged = torch.where(overlaps >= highest * (1 - TIE_TOLERANCE), highest, overlaps)
        return super().assign_wrt_overlaps(merged, gt_labels)


@pytest.mark.parametrize("threshold", [-1, 0.5])
def test_max_iou_equals_mmdetection(threshold):
    priors = obb_to_hbb(generate_priors(scales_per_octave=3, ratios=[1.0, 0.5, 2.0])[0])
    crowd = InstanceData(bboxes=torch.tensor([[20.0, 20, 70, 60]]))
    for seed in range(5):
        gt_instances = instances(obb_to_hbb(long_boxes(seed=seed)))
        assigner = RotatedMaxIoUAssigner(ignore_iof_thr=threshold)
        baseline = MaxIoUAssignerWithMergedTies(0.5, 0.4, ignore_iof_thr=threshold)
        result, expected = (
            each.assign(InstanceData(priors=priors), gt_instances, crowd) for each in (assigner, baseline)
        )
        assert torch.equal(result.gt_inds, expected.gt_inds)
        assert torch.equal(result.labels, expected.labels)
        assert {-1, 0, 1} <= set(result.gt_inds.tolist())


@pytest.mark.parametrize("make", [RotatedATSSAssigner, RotatedMaxIoUAssigner, SelectionAssigner])
def test_ignored_boxes_are_ignored_by_default_except_in_horizontal_atss(make):
    priors, sizes = generate_priors()
    gt_boxes_ignore = torch.tensor([[64.0, 64, 60, 60, 0.3]])
    assert (make().assign_image(priors, sizes, long_boxes(2), gt_boxes_ignore)[0] == -2).sum() > 4
    horizontal = obb_to_hbb(priors), sizes, obb_to_hbb(long_boxes()), obb_to_hbb(gt_boxes_ignore)
    assert (HorizontalATSSAssigner().assign_image(*horizontal)[0] > -2).all()


@pytest.mark.parametrize("by_hbb", [None, "oc"])
def test_max_iou_by_oriented_and_circumscribed_boxes(by_hbb):
    priors, sizes = generate_priors(scales_per_octave=3, ratios=[1.0, 0.5, 2.0])
    settings = dict(pos_iou_thr=0.4, neg_iou_thr=0.3, min_pos_iou=0.1, match_low_quality=False)
    assigner = TASK_UTILS.build(dict(type="RotatedMaxIoUAssigner", **settings, assign_by_circumhbbox=by_hbb))
    gt_index = assigner.assign_image(priors, sizes, long_boxes())
    form = obb_to_hbb if by_hbb else torch.clone
    expected = max_iou_assign(
        form(priors), form(long_boxes()), pos_iou=0.4, neg_iou=0.3, min_pos_iou=0.1, match_low_quality=False
    )
    assert torch.equal(gt_index[0], expected[0])
    assert torch.equal(gt_index[1], expected[1])
    assert (gt_index[0] >= 0).any()
    assert (gt_index[0] == -2).any()


def test_invalid_thresholds_are_rejected_when_built():
    with pytest.raises(ValueError, match="0 < neg_iou <= pos_iou <= 1"):
        RotatedMaxIoUAssigner(pos_iou_thr=0.4, neg_iou_thr=0.5)
