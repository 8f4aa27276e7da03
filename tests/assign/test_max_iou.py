"""Max-IoU assignment against its rule written out pair by pair, and against MMDetection's."""

import math
import subprocess
import sys

import pytest
import torch

from rotated_atss.assign import BACKGROUND, IGNORE, max_iou_assign
from rotated_atss.assign.box_formats import aligned_iou
from rotated_atss.ops.boxes import obb_to_hbb


def retina_priors(size=96, strides=(8, 16, 32), sides=(4.0, 5.04, 6.35), ratios=(1.0, 0.5, 2.0)):
    levels = []
    for stride in strides:
        number = size // stride
        shapes = [(stride * side / ratio**0.5, stride * side * ratio**0.5, 0) for ratio in ratios for side in sides]
        for y in range(number):
            for x in range(number):
                levels += [(x * stride, y * stride, *shape) for shape in shapes]
    return torch.tensor(levels)


def objects(number, seed=0, size=96):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    return torch.cat((unit[:, :2] * size, (unit[:, 2:4] * 2.5 + 1.8).exp(), (unit[:, 4:] - 0.5) * math.pi), 1)


def all_overlaps(boxes1, boxes2, mode="iou"):
    """(N, M) by comparing every row with every row."""
    first = boxes1.repeat_interleave(len(boxes2), 0)
    return aligned_iou(first, boxes2.repeat(len(boxes1), 1), mode).view(len(boxes1), len(boxes2))


def slow_max_iou(priors, gt, pos=0.5, neg=0.4, min_pos=0.0, low=True, all_equal=True, ignored=None):
    overlaps = all_overlaps(gt, priors)  # (G, A)
    skip = torch.zeros(len(priors), dtype=torch.bool)
    if ignored is not None:
        skip = (all_overlaps(priors, ignored, "iof") > 0.5).any(1)
    gt_index, iou = [], []
    for a in range(len(priors)):
        column = [float(value) for value in overlaps[:, a]]
        best = max(column, default=0)
        owner = column.index(best) if best >= pos else (IGNORE if best >= neg else BACKGROUND)
        gt_index.append(owner)
        iou.append(best if owner >= 0 else 0)
    for g in range(len(gt) if low else 0):
        row = [float(value) if not skip[a] else -1 for a, value in enumerate(overlaps[g])]
        best = max(row)
        if best > 0 and best >= min_pos:
            takers = [a for a, value in enumerate(row) if value == best]
            for a in takers if all_equal else takers[:1]:
                gt_index[a], iou[a] = g, best
    gt_index, iou = torch.tensor(gt_index), torch.tensor(iou)
    gt_index[skip], iou[skip] = IGNORE, 0
    return gt_index, iou


@pytest.mark.parametrize("form", [torch.clone, obb_to_hbb])
@pytest.mark.parametrize(
    "changes, slow",
    [
        ({}, {}),
        (dict(match_low_quality=False), dict(low=False)),
        (dict(pos_iou=0.6, neg_iou=0.5, min_pos_iou=0.3), dict(pos=0.6, neg=0.5, min_pos=0.3)),
        (dict(gt_max_assign_all=False), dict(all_equal=False)),
    ],
)
def test_equals_the_rule_written_out(form, changes, slow):
    priors = form(retina_priors())
    for number, seed in ((0, 0), (1, 1), (20, 2), (20, 3)):
        gt = objects(number, seed)
        gt[: number // 2, :4] = (gt[: number // 2, :4] / 8).round() * 8 + torch.tensor([0, 0, 8, 8])  # ties
        gt[: number // 2, 4] = 0
        gt = form(gt)
        gt_index, iou = max_iou_assign(priors, gt, **changes)
        expected, best = slow_max_iou(priors, gt, **slow)
        assert torch.equal(gt_index, expected)
        assert torch.equal(iou, best)


@pytest.mark.parametrize("form", [torch.clone, obb_to_hbb])
def test_ignored_regions(form):
    priors, gt = form(retina_priors()), form(objects(10))
    region = form(torch.tensor([[30.0, 30, 70, 50, 0.3], [80, 80, 60, 60, 0]]))
    gt_index, iou = max_iou_assign(priors, gt, gt_boxes_ignore=region)
    expected, best = slow_max_iou(priors, gt, ignored=region)
    assert torch.equal(gt_index, expected)
    assert torch.equal(iou, best)
    assert not torch.equal(gt_index, max_iou_assign(priors, gt)[0])
    ignoring_nothing = max_iou_assign(priors, gt, gt_boxes_ignore=region, ignore_iof_threshold=-1)[0]
    assert torch.equal(ignoring_nothing, max_iou_assign(priors, gt)[0])


def peer(overlaps, number):
    from mmdet.models.task_modules import MaxIoUAssigner

    return MaxIoUAssigner(0.5, 0.4).assign_wrt_overlaps(overlaps, torch.zeros(number, dtype=torch.int64)).gt_inds - 1


@pytest.mark.parametrize("form", [torch.clone, obb_to_hbb])
def test_equals_mmdetection(form):
    """Its assigner on all overlaps of a scene: the same prior for prior (-1 there is 0, -2 is -1)."""
    pytest.importorskip("mmdet")
    priors = form(retina_priors())
    for seed in range(4):
        gt = form(objects(25, seed))
        assert torch.equal(max_iou_assign(priors, gt)[0], peer(all_overlaps(gt, priors), 25))


def test_an_object_that_touches_no_prior_takes_none():
    """MMDetection hands it every prior, for their IoU 0 is the best it has."""
    priors = retina_priors()
    gt = torch.tensor([[40.0, 40, 30, 30, 0], [5000, 5000, 20, 20, 0]])
    gt_index, iou = max_iou_assign(priors, gt)
    assert (gt_index != 1).all()
    assert (gt_index == 0).any()
    assert (gt_index == BACKGROUND).any()
    assert iou.isfinite().all()
    pytest.importorskip("mmdet")
    assert (peer(all_overlaps(gt, priors), 2) == 1).all()


def test_the_later_object_keeps_a_prior_that_is_the_best_of_two():
    prior = torch.tensor([[10.0, 10, 20, 20, 0]])
    gt = torch.tensor([[10.0, 10, 20, 20, 0], [10, 10, 20, 10, 0], [10, 10, 4, 4, 0]])
    gt_index, iou = max_iou_assign(prior, gt)
    assert gt_index.tolist() == [2]
    assert iou.tolist() == [pytest.approx(0.04)]
    gt_index, iou = max_iou_assign(prior, gt, min_pos_iou=0.3)
    assert gt_index.tolist() == [1]
    assert iou.tolist() == [pytest.approx(0.5)]
    gt_index, iou = max_iou_assign(prior, gt, match_low_quality=False)
    assert gt_index.tolist() == [0]
    assert iou.tolist() == [1]


def test_objects_without_area_and_nothing_at_all():
    priors, gt = retina_priors(), objects(4)
    gt[1, 2], gt[2, 0] = 0, math.nan
    with pytest.warns(UserWarning, match="2 of 4 gt_boxes"):
        gt_index, iou = max_iou_assign(priors, gt)
    alone = max_iou_assign(priors, gt[[0, 3]])[0]
    assert torch.equal(torch.where(alone == 1, 3, alone), gt_index)
    assert iou.isfinite().all()
    assert max_iou_assign(priors[:0], objects(4))[0].shape == (0,)
    assert (max_iou_assign(priors, gt[:0])[0] == BACKGROUND).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions(dtype):
    priors, gt = retina_priors().to(dtype), objects(10).to(dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    gt_index, iou = max_iou_assign(priors, gt)
    assert torch.equal(gt_index, max_iou_assign(priors.to(wide), gt.to(wide))[0])
    assert iou.dtype == wide


def test_wrong_arguments_say_what_is_wrong():
    priors = retina_priors()
    with pytest.raises(ValueError, match=r"gt_boxes must have shape \(N, 5\), got \(2, 4\)"):
        max_iou_assign(priors, torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"priors must have shape \(N, 5\) or \(N, 4\), got \(7, 3\)"):
        max_iou_assign(torch.ones(7, 3), torch.ones(2, 3))
    for wrong in (dict(pos_iou=0.3), dict(neg_iou=0), dict(pos_iou=1.5), dict(min_pos_iou=-1)):
        with pytest.raises(ValueError, match="thresholds must satisfy 0 < neg_iou <= pos_iou <= 1"):
            max_iou_assign(priors, objects(1), **wrong)


def test_memory_and_pairs_stay_far_below_all_pairs():
    """2,000 objects x 196,416 priors: all IoUs would be 1.6 GB; here it is well under 200 MB, and about 1 % of the
    pairs are ever compared.
    """
    code = (
        "import resource, torch\n"
        "from rotated_atss.assign import max_iou_assign\n"
        "from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs\n"
        "torch.manual_seed(0)\n"
        "out = []\n"
        "for s in (8, 16, 32, 64, 128):\n"
        "    n = 1024 // s\n"
        "    y, x = torch.meshgrid(torch.arange(n) * s, torch.arange(n) * s, indexing='ij')\n"
        "    kinds = [(r, o) for r in (1, .5, 2) for o in (1, 1.26, 1.59)]\n"
        "    shapes = torch.tensor([(4 * s * o / r ** .5, 4 * s * o * r ** .5) for r, o in kinds])\n"
        "    c = torch.stack((x.flatten(), y.flatten()), 1).float().repeat_interleave(9, 0)\n"
        "    out.append(torch.cat((c, shapes.repeat(n * n, 1), torch.zeros(len(c), 1)), 1))\n"
        "priors = torch.cat(out)\n"
        "gt = torch.cat([torch.rand(2000, 2) * 1024, torch.rand(2000, 2) * 40 + 6, torch.rand(2000, 1)], 1)\n"
        "max_iou_assign(priors[:999], gt[:10])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "matched = max_iou_assign(priors, gt)[0]\n"
        "used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024\n"
        "compared = sum(len(i) for i, _ in overlapping_box_pairs(priors, gt))\n"
        "print(len(priors), int((matched >= 0).sum()), used, compared)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    priors, positives, used, compared = map(float, run.stdout.split())
    assert priors == 196416
    assert positives > 2000
    assert used < 200
    assert compared < 0.02 * 2000 * priors
