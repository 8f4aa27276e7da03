"""Strategies of the ATSS paper's ablations compared with the functions of :mod:`rotated_atss.assign`."""

import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from rotated_atss.assign import (
    atss_assign,
    center_sampling_assign,
    ignore_outside_gt,
    max_iou_assign,
    ssc_assign,
    topk_assign,
)
from rotated_atss.detection.task_modules.assigners import RotatedATSSAssigner
from rotated_atss.detection.task_modules.selection_assigner import SelectionAssigner
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import obb_to_hbb
from tests.references.task_modules import generate_priors, long_boxes

LIMITS = (16, 32)
EXPECTED = dict(
    atss=lambda p, s, g: atss_assign(p, s, g, topk=5),
    ssc=lambda p, s, g: ssc_assign(p, s, g, regress_limits=LIMITS),
    topk=lambda p, s, g: topk_assign(p, s, g, topk=5),
    center_sampling=lambda p, s, g: center_sampling_assign(p, s, g, topk=5, regress_limits=LIMITS),
    iou=lambda p, s, g: ignore_outside_gt(
        p, g, *max_iou_assign(p, g, pos_iou=0.4, neg_iou=0.3, low_quality_rule="highest_iou")
    ),
)


@pytest.mark.parametrize("strategy", EXPECTED)
@pytest.mark.parametrize("form", ["oriented", "circumscribed", "horizontal"])
def test_strategies(strategy, form):
    priors, sizes = generate_priors()
    settings = dict(topk=5, regress_limits=LIMITS, pos_iou_thr=0.4, neg_iou_thr=0.3)
    assigner = TASK_UTILS.build(
        dict(type="SelectionAssigner", strategy=strategy, **settings, assign_by_circumhbbox=form == "circumscribed")
    )
    horizontal = (obb_to_hbb(priors), sizes, obb_to_hbb(long_boxes()))
    arguments = horizontal if form == "horizontal" else (priors, sizes, long_boxes())
    gt_index, iou = assigner.assign_image(*arguments)
    expected = EXPECTED[strategy](*(arguments if form == "oriented" else horizontal))
    assert torch.equal(gt_index, expected[0])
    assert torch.equal(iou, expected[1])
    assert (gt_index >= 0).any()
    gt_instances = InstanceData(bboxes=arguments[2], labels=torch.zeros(12, dtype=torch.int64))
    result = assigner.assign(InstanceData(priors=arguments[0]), sizes, gt_instances)
    assert torch.equal(result.gt_inds == 0, gt_index == -1)


def test_strategies_with_several_priors_per_location():
    priors, sizes = generate_priors(scales_per_octave=3)
    for strategy, assign in (("atss", atss_assign), ("center_sampling", center_sampling_assign)):
        options = {} if strategy == "atss" else dict(regress_limits=LIMITS)
        expected = assign(priors, sizes, long_boxes(), topk=4, priors_per_location=3, **options)[0]
        gt_index = SelectionAssigner(strategy, topk=4, regress_limits=LIMITS).assign_image(priors, sizes, long_boxes())[
            0
        ]
        assert torch.equal(gt_index, expected)


def test_positives_by_iou_outside_their_box_can_be_kept():
    priors, sizes = generate_priors()
    kept = SelectionAssigner("iou", center_inside=False).assign_image(priors, sizes, long_boxes())[0]
    assert torch.equal(kept, max_iou_assign(priors, long_boxes(), low_quality_rule="highest_iou")[0])
    last_match = SelectionAssigner("iou", center_inside=False, low_quality_rule="last_match")
    assert torch.equal(last_match.assign_image(priors, sizes, long_boxes())[0], max_iou_assign(priors, long_boxes())[0])


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(strategy="fcos"), "unknown strategy 'fcos'. Choose one of atss, ssc, iou, topk"),
        (dict(topk=0), "topk must be at least 1, got 0"),
        (dict(regress_limits=(64, 32)), "must increase and be above 0"),
        (dict(pos_iou_thr=0.3), "0 < neg_iou <= pos_iou <= 1"),
        (dict(priors_per_location=0), "priors_per_location must be at least 1"),
    ],
)
def test_invalid_arguments_are_rejected_when_built(changes, message):
    with pytest.raises(ValueError, match=message):
        SelectionAssigner(**changes)
    if "topk" in changes:
        with pytest.raises(ValueError, match=message):
            RotatedATSSAssigner(**changes)


def test_regress_limits_for_another_number_of_levels_are_a_user_error():
    priors, sizes = generate_priors()
    with pytest.raises(
        UserError, match=r"must have 2 values for 3 levels.*set model.train_cfg.assigner.regress_limits"
    ):
        SelectionAssigner("ssc").assign_image(priors, sizes, long_boxes())
