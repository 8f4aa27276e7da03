"""SSC and center sampling compared with a slow reference, prior by prior."""

import math

import pytest
import torch

from rotated_atss.assign import BACKGROUND, IGNORE, center_sampling_assign, ssc_assign, topk_assign
from rotated_atss.assign.box_formats import aligned_iou
from rotated_atss.ops.boxes import obb_to_hbb
from tests.references.scenes import grid_priors, random_boxes
from tests.references.slow_atss import center, contains_center, nearest_candidates, side_distances

SIZE, STRIDES = 128, (8, 16, 32)
LIMITS = (16.0, 32.0)
FORMS = pytest.mark.parametrize("form", [torch.clone, obb_to_hbb], ids=["oriented", "horizontal"])


def slow_ssc(priors, sizes, gt_boxes, candidates=None):
    """``gt_index``: of the boxes that contain a center and fit the level, the smallest, then the lowest index."""
    limits = (0, *LIMITS, math.inf)
    levels = [level for level, size in enumerate(sizes) for _ in range(size)]
    gt_index = []
    for i, prior in enumerate(priors):
        fitting = []
        for g, box in enumerate(gt_boxes):
            largest = max(side_distances(box, center(prior)))
            in_range = limits[levels[i]] <= largest <= limits[levels[i] + 1]
            if in_range and contains_center(box, prior) and (candidates is None or i in candidates[g]):
                w, h = (box[2:4] if len(box) == 5 else box[2:] - box[:2]).tolist()
                fitting.append((w * h, g))
        gt_index.append(min(fitting)[1] if fitting else BACKGROUND)
    return gt_index


def check_iou(priors, gt_boxes, gt_index, iou):
    positive = gt_index >= 0
    assert torch.allclose(iou[positive], aligned_iou(priors[positive], gt_boxes[gt_index[positive]]), atol=1e-6)
    assert (iou[~positive] == 0).all()


@FORMS
@pytest.mark.parametrize("number", [0, 1, 25])
def test_ssc(form, number):
    priors, sizes = grid_priors(SIZE, STRIDES)
    priors = form(priors)
    for seed in range(3):
        gt_boxes = form(random_boxes(number, seed, SIZE))
        gt_index, iou = ssc_assign(priors, sizes, gt_boxes, regress_limits=LIMITS)
        assert gt_index.tolist() == slow_ssc(priors, sizes, gt_boxes)
        check_iou(priors, gt_boxes, gt_index, iou)
        assert (gt_index >= 0).any() == (number > 0)


@FORMS
@pytest.mark.parametrize("topk, per_location", [(1, 1), (5, 1), (3, 2)])
def test_center_sampling(form, topk, per_location):
    priors, sizes = grid_priors(SIZE, STRIDES, per_location)
    priors, not_ignored = form(priors), [False] * len(priors)
    for seed in range(3):
        gt_boxes = form(random_boxes(25, seed, SIZE))
        candidates = [nearest_candidates(priors, sizes, box, topk * per_location, not_ignored) for box in gt_boxes]
        gt_index, iou = center_sampling_assign(
            priors, sizes, gt_boxes, topk=topk, priors_per_location=per_location, regress_limits=LIMITS
        )
        assert gt_index.tolist() == slow_ssc(priors, sizes, gt_boxes, candidates)
        check_iou(priors, gt_boxes, gt_index, iou)


def test_center_sampling_with_all_locations_equals_ssc():
    priors, sizes = grid_priors(SIZE, STRIDES)
    gt_boxes = random_boxes(20, 0, SIZE)
    gt_index, _ = center_sampling_assign(priors, sizes, gt_boxes, topk=max(sizes), regress_limits=LIMITS)
    assert torch.equal(gt_index, ssc_assign(priors, sizes, gt_boxes, regress_limits=LIMITS)[0])


@pytest.mark.parametrize(
    "assign, options",
    [
        (ssc_assign, dict(regress_limits=LIMITS)),
        (center_sampling_assign, dict(regress_limits=LIMITS)),
        (topk_assign, {}),
    ],
)
@FORMS
def test_ignored_boxes_empty_inputs_and_invalid_boxes(assign, options, form):
    priors, sizes = grid_priors(SIZE, STRIDES)
    priors, gt_boxes = form(priors), form(random_boxes(10, 0, SIZE))
    gt_boxes_ignore = form(torch.tensor([[40.0, 40, 60, 60, 0]]))
    gt_index, iou = assign(priors, sizes, gt_boxes, gt_boxes_ignore=gt_boxes_ignore, **options)
    ignored = aligned_iou(priors, gt_boxes_ignore.expand_as(priors), "iof") > 0.5
    assert torch.equal(gt_index == IGNORE, ignored)
    assert ignored.any()
    assert (iou[ignored] == 0).all()
    assert (assign(priors, sizes, gt_boxes[:0], **options)[0] == BACKGROUND).all()
    assert assign(priors[:0], [0, 0, 0], gt_boxes, **options)[0].shape == (0,)
    invalid = gt_boxes.clone()
    invalid[3, 2], invalid[4, 1] = (0 if form is torch.clone else invalid[3, 0]), math.nan
    with pytest.warns(UserWarning, match="2 of 10 gt_boxes"):
        gt_index, iou = assign(priors, sizes, invalid, **options)
    assert not torch.isin(gt_index, torch.tensor([3, 4])).any()
    assert iou.isfinite().all()


@pytest.mark.parametrize(
    "limits, message",
    [
        ((16,), r"regress_limits must have 2 values for 3 levels, got \(16,\)"),
        ((32, 16), "must increase and be above 0"),
        ((0, 16), "must increase and be above 0"),
        ((16, 16), "must increase and be above 0"),
    ],
)
@pytest.mark.parametrize("assign", [ssc_assign, center_sampling_assign])
def test_invalid_regress_limits(assign, limits, message):
    priors, sizes = grid_priors(SIZE, STRIDES)
    with pytest.raises(ValueError, match=message):
        assign(priors, sizes, random_boxes(2), regress_limits=limits)


@pytest.mark.parametrize("assign, options", [(center_sampling_assign, dict(regress_limits=LIMITS)), (topk_assign, {})])
def test_topk_below_one(assign, options):
    priors, sizes = grid_priors(SIZE, STRIDES)
    with pytest.raises(ValueError, match="topk must be at least 1, got 0"):
        assign(priors, sizes, random_boxes(2), topk=0, **options)
