"""Max-IoU assignment compared with a slow reference, pair by pair, and with MMDetection's MaxIoUAssigner."""

import math
import subprocess
import sys

import pytest
import torch

from rotated_atss.assign import BACKGROUND, IGNORE, ignore_outside_gt, max_iou_assign
from rotated_atss.assign.box_formats import aligned_iou
from rotated_atss.assign.max_iou import TIE_TOLERANCE
from rotated_atss.ops.boxes import obb_to_hbb
from tests.references.scenes import grid_priors, random_boxes
from tests.references.slow_atss import contains_center

SIZE = 96


def retina_priors(size=SIZE, strides=(8, 16, 32), sides=(4.0, 5.04, 6.35), ratios=(1.0, 0.5, 2.0)):
    levels = []
    for stride in strides:
        number = size // stride
        shapes = [(stride * side / ratio**0.5, stride * side * ratio**0.5, 0) for ratio in ratios for side in sides]
        for y in range(number):
            for x in range(number):
                levels += [(x * stride, y * stride, *shape) for shape in shapes]
    return torch.tensor(levels)


def pairwise_iou(boxes1, boxes2, mode="iou"):
    """(N, M), every row compared with every row."""
    first = boxes1.repeat_interleave(len(boxes2), 0)
    return aligned_iou(first, boxes2.repeat(len(boxes1), 1), mode).view(len(boxes1), len(boxes2))


def slow_max_iou(
    priors,
    gt_boxes,
    pos_iou=0.5,
    neg_iou=0.4,
    min_pos_iou=0.0,
    match_low_quality=True,
    gt_max_assign_all=True,
    low_quality_rule="last_match",
    gt_boxes_ignore=None,
):
    ious = pairwise_iou(gt_boxes, priors)  # (G, A)
    ignored = torch.zeros(len(priors), dtype=torch.bool)
    if gt_boxes_ignore is not None:
        ignored = (pairwise_iou(priors, gt_boxes_ignore, "iof") > 0.5).any(1)
    gt_index, iou, best_of_prior = [], [], []
    for a in range(len(priors)):
        column = [float(value) for value in ious[:, a]]
        best_of_prior.append((column.index(max(column)), max(column)) if column else None)
        best = max(column, default=0)
        index = column.index(best) if best >= pos_iou else (IGNORE if best >= neg_iou else BACKGROUND)
        gt_index.append(index)
        iou.append(best if index >= 0 else 0)
    for g in range(len(gt_boxes) if match_low_quality else 0):
        row = [float(value) if not ignored[a] else -1 for a, value in enumerate(ious[g])]
        best = max(row)
        if best > 0 and best >= min_pos_iou:
            matches = [a for a, value in enumerate(row) if value >= best * (1 - TIE_TOLERANCE)]
            for a in matches if gt_max_assign_all else matches[:1]:
                gt_index[a], iou[a] = (g, row[a]) if low_quality_rule == "last_match" else best_of_prior[a]
    gt_index, iou = torch.tensor(gt_index), torch.tensor(iou)
    gt_index[ignored], iou[ignored] = IGNORE, 0
    return gt_index, iou


FORMS = pytest.mark.parametrize("form", [torch.clone, obb_to_hbb], ids=["oriented", "horizontal"])


@FORMS
@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(match_low_quality=False),
        dict(pos_iou=0.6, neg_iou=0.5, min_pos_iou=0.3),
        dict(gt_max_assign_all=False),
        dict(low_quality_rule="highest_iou"),
    ],
)
def test_equals_the_slow_reference(form, options):
    priors = form(retina_priors())
    for number, seed in ((0, 0), (1, 1), (20, 2), (20, 3)):
        gt_boxes = random_boxes(number, seed, SIZE)
        ties = slice(number // 2)
        gt_boxes[ties, :4] = (gt_boxes[ties, :4] / 8).round() * 8 + torch.tensor([0, 0, 8, 8])
        gt_boxes[ties, 4] = 0
        gt_boxes = form(gt_boxes)
        gt_index, iou = max_iou_assign(priors, gt_boxes, **options)
        expected, expected_iou = slow_max_iou(priors, gt_boxes, **options)
        assert torch.equal(gt_index, expected)
        assert torch.equal(iou, expected_iou)


@FORMS
def test_ignored_boxes(form):
    priors, gt_boxes = form(retina_priors()), form(random_boxes(10, 0, SIZE))
    gt_boxes_ignore = form(torch.tensor([[30.0, 30, 70, 50, 0.3], [80, 80, 60, 60, 0]]))
    gt_index, iou = max_iou_assign(priors, gt_boxes, gt_boxes_ignore=gt_boxes_ignore)
    expected, expected_iou = slow_max_iou(priors, gt_boxes, gt_boxes_ignore=gt_boxes_ignore)
    assert torch.equal(gt_index, expected)
    assert torch.equal(iou, expected_iou)
    without = max_iou_assign(priors, gt_boxes)[0]
    assert not torch.equal(gt_index, without)
    negative = max_iou_assign(priors, gt_boxes, gt_boxes_ignore=gt_boxes_ignore, ignore_iof_threshold=-1)[0]
    assert torch.equal(negative, without)


def merge_ties(ious):
    """Make the IoUs of each box that count as equal to its highest one equal."""
    highest = ious.amax(1, keepdim=True)
    return torch.where(ious >= highest * (1 - TIE_TOLERANCE), highest, ious)


def mmdet_assign(ious):
    from mmdet.models.task_modules import MaxIoUAssigner

    gt_labels = torch.zeros(len(ious), dtype=torch.int64)
    return MaxIoUAssigner(0.5, 0.4).assign_wrt_overlaps(ious, gt_labels).gt_inds - 1


@FORMS
def test_equals_mmdetection(form):
    """MMDetection's codes of background and ignored priors, 0 and -1, become -1 and -2 by subtracting 1."""
    pytest.importorskip("mmdet")
    priors = form(retina_priors())
    for seed in range(4):
        gt_boxes = form(random_boxes(25, seed, SIZE))
        assert torch.equal(
            max_iou_assign(priors, gt_boxes)[0], mmdet_assign(merge_ties(pairwise_iou(gt_boxes, priors)))
        )


def matcher_assign(ious):
    """The rule of torchvision's Matcher, which is that of maskrcnn-benchmark; its codes are those of this package."""
    from torchvision.models.detection._utils import Matcher

    return Matcher(0.5, 0.4, allow_low_quality_matches=True)(ious)


@FORMS
def test_highest_iou_equals_the_matcher_of_the_official_code(form):
    pytest.importorskip("torchvision")
    priors, differences = form(retina_priors()), 0
    for seed in range(4):
        gt_boxes = form(random_boxes(25, seed, SIZE))
        gt_index = max_iou_assign(priors, gt_boxes, low_quality_rule="highest_iou")[0]
        # Merged ties affect only the low-quality matches, not the box of highest IoU with a prior.
        assert torch.equal(gt_index, matcher_assign(merge_ties(pairwise_iou(gt_boxes, priors))))
        differences += int((gt_index != max_iou_assign(priors, gt_boxes)[0]).sum())
    assert differences > 0


def tied_boxes():
    """Boxes inside many priors of one size, and long ones that stick out of priors in the same way."""
    tiny = [[x, y, 3.0, 2.0, angle] for x, y, angle in ((35.3, 41.7, 0.4), (50.1, 22.9, -1.1), (61.7, 70.3, 1.3))]
    long = [[44.0, 44, 90, 3, 0.0], [52.0, 36, 3, 80, 0.0], [28.0, 60, 70, 2, math.pi / 2]]
    return torch.tensor(tiny + long, dtype=torch.float64)


def test_ties_do_not_depend_on_the_dtype_or_on_rounding():
    priors = grid_priors(SIZE, (8, 16, 32))[0].double()
    expected = max_iou_assign(priors, tied_boxes())[0]
    assert int((expected >= 0).sum()) == 60
    for offset in (0.0, 1000.0, 20000.0):  # rounding depends on the distance from the origin
        shift = torch.tensor([offset, offset, 0, 0, 0])
        for dtype in (torch.float32, torch.float64):
            gt_index = max_iou_assign((priors + shift).to(dtype), (tied_boxes() + shift).to(dtype))[0]
            assert torch.equal(gt_index, expected)
    iou = pairwise_iou(tied_boxes().float(), priors.float())
    exact = [int((row == row.max()).sum()) for row in iou]
    assert exact != [int((row == row.max()).sum()) for row in merge_ties(iou)]  # rounding splits ties


def test_box_that_overlaps_no_prior_gets_none():
    """MMDetection assigns it to every prior, because all its IoUs equal its best IoU of 0."""
    priors = retina_priors()
    gt_boxes = torch.tensor([[40.0, 40, 30, 30, 0], [5000, 5000, 20, 20, 0]])
    gt_index, iou = max_iou_assign(priors, gt_boxes)
    assert (gt_index != 1).all()
    assert (gt_index == 0).any()
    assert (gt_index == BACKGROUND).any()
    assert iou.isfinite().all()
    pytest.importorskip("mmdet")
    assert (mmdet_assign(pairwise_iou(gt_boxes, priors)) == 1).all()


def test_prior_that_is_the_best_of_two_boxes_goes_to_the_higher_index():
    prior = torch.tensor([[10.0, 10, 20, 20, 0]])
    gt_boxes = torch.tensor([[10.0, 10, 20, 20, 0], [10, 10, 20, 10, 0], [10, 10, 4, 4, 0]])
    gt_index, iou = max_iou_assign(prior, gt_boxes)
    assert gt_index.tolist() == [2]
    assert iou.tolist() == [pytest.approx(0.04)]
    gt_index, iou = max_iou_assign(prior, gt_boxes, min_pos_iou=0.3)
    assert gt_index.tolist() == [1]
    assert iou.tolist() == [pytest.approx(0.5)]
    gt_index, iou = max_iou_assign(prior, gt_boxes, match_low_quality=False)
    assert gt_index.tolist() == [0]
    assert iou.tolist() == [1]


def test_invalid_boxes_and_empty_inputs():
    priors, gt_boxes = retina_priors(), random_boxes(4, 0, SIZE)
    gt_boxes[1, 2], gt_boxes[2, 0] = 0, math.nan
    with pytest.warns(UserWarning, match="2 of 4 gt_boxes"):
        gt_index, iou = max_iou_assign(priors, gt_boxes)
    expected = max_iou_assign(priors, gt_boxes[[0, 3]])[0]
    assert torch.equal(gt_index, torch.where(expected == 1, 3, expected))
    assert iou.isfinite().all()
    assert max_iou_assign(priors[:0], random_boxes(4, 0, SIZE))[0].shape == (0,)
    assert (max_iou_assign(priors, gt_boxes[:0])[0] == BACKGROUND).all()


@FORMS
def test_positives_outside_their_box_are_ignored(form):
    priors, gt_boxes = form(grid_priors(128, (8, 16, 32))[0]), random_boxes(12, 0, 128)
    gt_boxes = form(gt_boxes * torch.tensor([1, 1, 1, 0.5, 1]))
    gt_index, iou = max_iou_assign(priors, gt_boxes)
    kept, kept_iou = ignore_outside_gt(priors, gt_boxes, gt_index, iou)
    expected = [
        IGNORE if g >= 0 and not contains_center(gt_boxes[g], priors[i]) else g for i, g in enumerate(gt_index.tolist())
    ]
    assert kept.tolist() == expected
    assert expected != gt_index.tolist()
    assert max(expected) >= 0
    assert torch.equal(kept_iou, torch.where(kept >= 0, iou, 0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_halves_are_upcast_and_float64_is_kept(dtype):
    priors, gt_boxes = retina_priors().to(dtype), random_boxes(10, 0, SIZE).to(dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    gt_index, iou = max_iou_assign(priors, gt_boxes)
    assert torch.equal(gt_index, max_iou_assign(priors.to(wide), gt_boxes.to(wide))[0])
    assert iou.dtype == wide


def test_invalid_arguments():
    priors = retina_priors()
    with pytest.raises(ValueError, match=r"gt_boxes must have shape \(N, 5\), got \(2, 4\)"):
        max_iou_assign(priors, torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"priors must have shape \(N, 5\) or \(N, 4\), got \(7, 3\)"):
        max_iou_assign(torch.ones(7, 3), torch.ones(2, 3))
    with pytest.raises(ValueError, match="low_quality_rule must be one of last_match, highest_iou, got 'best'"):
        max_iou_assign(priors, torch.ones(2, 5), low_quality_rule="best")
    for wrong in (dict(pos_iou=0.3), dict(neg_iou=0), dict(pos_iou=1.5), dict(min_pos_iou=-1)):
        with pytest.raises(ValueError, match="thresholds must satisfy 0 < neg_iou <= pos_iou <= 1"):
            max_iou_assign(priors, random_boxes(1, 0, SIZE), **wrong)


MEASURE = """
import resource, torch
from rotated_atss.assign import max_iou_assign
from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs
from tests.assign.test_max_iou import retina_priors
torch.manual_seed(0)
priors = retina_priors(1024, strides=(8, 16, 32, 64, 128))
gt_boxes = torch.cat([torch.rand(2000, 2) * 1024, torch.rand(2000, 2) * 40 + 6, torch.rand(2000, 1)], 1)
max_iou_assign(priors[:999], gt_boxes[:10])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
gt_index = max_iou_assign(priors, gt_boxes)[0]
used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
compared = sum(len(prior_index) for prior_index, _ in overlapping_box_pairs(priors, gt_boxes))
print(len(priors), int((gt_index >= 0).sum()), used, compared)
"""


@pytest.mark.slow
def test_memory_and_compared_pairs_are_far_below_all_pairs(repo_root):
    """2,000 boxes and 196,416 priors: all IoUs would have 1.6 GB."""
    command = [sys.executable, "-c", MEASURE]
    run = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=True)
    num_priors, num_positives, used_mb, num_compared = map(float, run.stdout.split())
    assert num_priors == 196416
    assert num_positives > 2000
    assert used_mb < 200
    assert num_compared < 0.02 * 2000 * num_priors
