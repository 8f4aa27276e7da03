"""The paper's other ways to choose positives, each against its rule written out prior by prior."""

import math

import pytest
import torch

from rotated_atss.assign import (
    BACKGROUND,
    IGNORE,
    center_sampling_assign,
    ignore_outside_gt,
    max_iou_assign,
    ssc_assign,
    topk_assign,
)
from rotated_atss.assign.box_formats import aligned_iou, centers
from rotated_atss.assign.topk import DISTANCE_WEIGHT
from rotated_atss.ops.boxes import obb_to_hbb

RANGES = (16.0, 32.0)  # three levels of a 128-pixel image
FORMS = pytest.mark.parametrize("form", [torch.clone, obb_to_hbb], ids=["oriented", "horizontal"])


def grid_priors(size=128, strides=(8, 16, 32), per_location=1):
    levels = []
    for stride in strides:
        number = size // stride
        y, x = torch.meshgrid(torch.arange(number) * stride, torch.arange(number) * stride, indexing="ij")
        center = torch.stack((x.flatten(), y.flatten()), 1).float().repeat_interleave(per_location, 0)
        side = (stride * 4.0 * (1 + torch.arange(per_location) / 2)).repeat(number * number)
        levels.append(torch.cat((center, side[:, None], side[:, None], torch.zeros(len(center), 1)), 1))
    return torch.cat(levels), [len(level) for level in levels]


def objects(number, seed=0, size=128):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    return torch.cat((unit[:, :2] * size, (unit[:, 2:4] * 3 + 1.8).exp(), (unit[:, 4:] - 0.5) * math.pi), 1)


def distances_to_sides(point, box):
    """left, top, right, bottom in the box's own frame."""
    x, y = point
    if len(box) == 4:
        return x - box[0], y - box[1], box[2] - x, box[3] - y
    dx, dy, cos, sin = x - box[0], y - box[1], math.cos(box[4]), math.sin(box[4])
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    return box[2] / 2 + along, box[3] / 2 + across, box[2] / 2 - along, box[3] / 2 - across


def area(box):
    return box[2] * box[3] if len(box) == 5 else (box[2] - box[0]) * (box[3] - box[1])


def level_of(sizes):
    return [level for level, size in enumerate(sizes) for _ in range(size)]


def slow_ssc(priors, sizes, gt, ranges, candidates=None):
    borders = (0, *ranges, math.inf)
    gt_index, level = [], level_of(sizes)
    for i, point in enumerate(centers(priors).tolist()):
        fitting = []
        for g, box in enumerate(gt.tolist()):
            reach = distances_to_sides(point, box)
            allowed = candidates is None or i in candidates[g]
            if allowed and min(reach) > 0.01 and borders[level[i]] <= max(reach) <= borders[level[i] + 1]:
                fitting.append((area(box), g))
        gt_index.append(min(fitting)[1] if fitting else BACKGROUND)
    return gt_index


def nearest(priors, sizes, box, count):
    """The ``count`` nearest priors of every level."""
    x, y = centers(box[None])[0].tolist()
    taken, start = [], 0
    for size in sizes:
        away = [(math.dist((x, y), p), i) for i, p in enumerate(centers(priors[start : start + size]).tolist(), start)]
        taken += [i for _, i in sorted(away)[:count]]
        start += size
    return taken


def check_iou(priors, gt, gt_index, iou):
    taken = gt_index >= 0
    assert torch.allclose(iou[taken], aligned_iou(priors[taken], gt[gt_index[taken]]), atol=1e-6)
    assert (iou[~taken] == 0).all()


@FORMS
@pytest.mark.parametrize("number", [0, 1, 25])
def test_ssc(form, number):
    priors, sizes = grid_priors()
    for seed in range(3):
        gt = form(objects(number, seed))
        gt_index, iou = ssc_assign(form(priors), sizes, gt, scale_ranges=RANGES)
        assert gt_index.tolist() == slow_ssc(form(priors), sizes, gt, RANGES)
        check_iou(form(priors), gt, gt_index, iou)
        assert (gt_index >= 0).any() == (number > 0)


@FORMS
@pytest.mark.parametrize("topk, per_location", [(1, 1), (5, 1), (3, 2)])
def test_center_sampling(form, topk, per_location):
    priors, sizes = grid_priors(per_location=per_location)
    for seed in range(3):
        gt = form(objects(25, seed))
        near = [set(nearest(form(priors), sizes, box, topk * per_location)) for box in gt]
        gt_index, iou = center_sampling_assign(
            form(priors), sizes, gt, topk=topk, priors_per_location=per_location, scale_ranges=RANGES
        )
        assert gt_index.tolist() == slow_ssc(form(priors), sizes, gt, RANGES, near)
        check_iou(form(priors), gt, gt_index, iou)


def test_center_sampling_with_every_location_is_ssc():
    priors, sizes = grid_priors()
    gt = objects(20)
    everything = center_sampling_assign(priors, sizes, gt, topk=max(sizes), scale_ranges=RANGES)
    assert torch.equal(everything[0], ssc_assign(priors, sizes, gt, scale_ranges=RANGES)[0])


def slow_topk(priors, gt, topk):
    """As the official code orders them, in double precision."""
    priors, gt = priors.double(), gt.double()
    points, middles = centers(priors), centers(gt)
    distance = (points[:, None] - middles).norm(dim=2)  # (A, G)
    overlap = torch.stack([aligned_iou(priors, box.expand_as(priors)) for box in gt], 1)
    score = overlap - distance / distance.max() * DISTANCE_WEIGHT
    gt_index, best = [BACKGROUND] * len(priors), [0.0] * len(priors)
    for g, box in enumerate(gt.tolist()):
        for i in score[:, g].topk(topk).indices.tolist():
            value = float(overlap[i, g])
            if min(distances_to_sides(points[i].tolist(), box)) > 0.01 and value > best[i]:
                gt_index[i], best[i] = g, value
    return gt_index, best


@FORMS
@pytest.mark.parametrize("topk", [1, 9, 30])
def test_topk(form, topk):
    priors, sizes = grid_priors()
    for seed in range(3):
        gt = form(objects(12, seed))
        gt_index, iou = topk_assign(form(priors), sizes, gt, topk=topk)
        expected, best = slow_topk(form(priors), gt, topk)
        assert gt_index.tolist() == expected
        assert iou.tolist() == pytest.approx(best, abs=1e-5)


def test_topk_takes_the_central_ones_of_equal_iou():
    """Priors within a large object all have the same IoU but for rounding."""
    priors, sizes = grid_priors(strides=(8,))
    gt_index, _ = topk_assign(priors, sizes, torch.tensor([[64.0, 64, 120, 120, 0.0]]), topk=9)
    taken = priors[gt_index >= 0, :2]
    assert len(taken) == 9
    assert (taken - 64).abs().max() == 8


@FORMS
def test_positives_by_iou_outside_their_object_are_left_out(form):
    priors, _ = grid_priors()
    gt = form(objects(12) * torch.tensor([1, 1, 1, 0.5, 1]))
    gt_index, iou = max_iou_assign(form(priors), gt)
    kept, kept_iou = ignore_outside_gt(form(priors), gt, gt_index, iou)
    points = centers(form(priors)).tolist()
    expected = [
        IGNORE if g >= 0 and min(distances_to_sides(points[i], gt[g].tolist())) <= 0.01 else g
        for i, g in enumerate(gt_index.tolist())
    ]
    assert kept.tolist() == expected
    assert expected != gt_index.tolist()
    assert max(expected) >= 0
    assert torch.equal(kept_iou, torch.where(kept >= 0, iou, 0))


SELECTIONS = [
    (ssc_assign, dict(scale_ranges=RANGES)),
    (center_sampling_assign, dict(scale_ranges=RANGES)),
    (topk_assign, {}),
]


@pytest.mark.parametrize("assign, options", SELECTIONS)
@FORMS
def test_ignored_regions_empty_scenes_and_flat_objects(assign, options, form):
    priors, sizes = grid_priors()
    priors, gt = form(priors), form(objects(10))
    region = form(torch.tensor([[40.0, 40, 60, 60, 0]]))
    gt_index, iou = assign(priors, sizes, gt, gt_boxes_ignore=region, **options)
    inside = aligned_iou(priors, region.expand_as(priors), "iof") > 0.5
    assert torch.equal(gt_index == IGNORE, inside)
    assert inside.any()
    assert (iou[inside] == 0).all()
    assert (assign(priors, sizes, gt[:0], **options)[0] == BACKGROUND).all()
    assert assign(priors[:0], [0, 0, 0], gt, **options)[0].shape == (0,)
    flat = gt.clone()
    flat[3, 2], flat[4, 1] = (0 if form is torch.clone else flat[3, 0]), math.nan
    with pytest.warns(UserWarning, match="2 of 10 gt_boxes"):
        gt_index, iou = assign(priors, sizes, flat, **options)
    assert not torch.isin(gt_index, torch.tensor([3, 4])).any()
    assert iou.isfinite().all()


@pytest.mark.parametrize(
    "ranges, message",
    [
        ((16,), r"scale_ranges must hold 2 borders for 3 levels, got \(16,\)"),
        ((32, 16), "must increase and be above 0"),
        ((0, 16), "must increase and be above 0"),
        ((16, 16), "must increase and be above 0"),
    ],
)
@pytest.mark.parametrize("assign", [ssc_assign, center_sampling_assign])
def test_ranges_that_do_not_fit(assign, ranges, message):
    priors, sizes = grid_priors()
    with pytest.raises(ValueError, match=message):
        assign(priors, sizes, objects(2), scale_ranges=ranges)


@pytest.mark.parametrize("assign, options", SELECTIONS[1:])
def test_k_below_one(assign, options):
    priors, sizes = grid_priors()
    with pytest.raises(ValueError, match="topk must be at least 1, got 0"):
        assign(priors, sizes, objects(2), topk=0, **options)
