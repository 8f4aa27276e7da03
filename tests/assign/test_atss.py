"""ATSS compared with a slow reference of Algorithm 1 and with mmrotate's assigner."""

import math
import subprocess
import sys
import warnings

import pytest
import torch

from rotated_atss.assign import (
    BACKGROUND,
    IGNORE,
    adaptive_threshold,
    atss_assign,
    count_candidates_above_threshold,
    nearest_priors,
)
from rotated_atss.assign.box_formats import aligned_iou
from rotated_atss.ops.boxes import hbb_to_obb, obb_to_hbb
from tests.references.scenes import grid_priors, random_boxes
from tests.references.slow_atss import slow_atss


@pytest.mark.parametrize("step", [None, 4])
@pytest.mark.parametrize(
    "number, topk, per_location", [(0, 9, 1), (1, 9, 1), (12, 9, 1), (12, 3, 1), (8, 9, 3), (40, 19, 1)]
)
def test_equals_algorithm_1(number, topk, per_location, step):
    priors, sizes = grid_priors(128, per_location=per_location)
    for seed in range(4):
        gt_boxes = random_boxes(number, seed, 128, step)
        gt_index, iou = atss_assign(priors, sizes, gt_boxes, topk=topk, priors_per_location=per_location)
        expected, expected_iou = slow_atss(priors, sizes, gt_boxes, topk, per_location)
        assert torch.equal(gt_index, expected)
        assert torch.allclose(iou, expected_iou, atol=1e-6)
        assert (iou[gt_index < 0] == 0).all()
        assert (iou[gt_index >= 0] > 0).all()


@pytest.mark.baseline
def test_equals_mmrotate_on_random_scenes():
    pytest.importorskip("mmrotate")
    pytest.importorskip("mmcv.ops")
    import mmrotate.models  # noqa: F401  registers
    from mmengine.structures import InstanceData
    from mmrotate.registry import TASK_UTILS
    from mmrotate.structures.bbox import RotatedBoxes

    priors, sizes = grid_priors(256)
    # with their scope: this package registers the same names in MMDetection's registry
    calculator = dict(type="mmrotate.RBboxOverlaps2D")
    baseline = TASK_UTILS.build(dict(type="mmrotate.RotatedATSSAssigner", topk=9, iou_calculator=calculator))
    for seed in range(3):
        gt_boxes = random_boxes(30, seed)
        gt = InstanceData(bboxes=RotatedBoxes(gt_boxes.clone()), labels=torch.zeros(30, dtype=torch.int64))
        expected = baseline.assign(InstanceData(priors=RotatedBoxes(priors.clone())), sizes, gt).gt_inds - 1
        assert torch.equal(atss_assign(priors, sizes, gt_boxes)[0], expected)


def test_square_box_equal_to_a_prior():
    """IoUs of its 9 candidates: 1, four of 0.6, four of 24 * 24 / (2 * 1024 - 576) = 0.391.

    The mean is 0.5516, the deviation 0.1974: only the central prior exceeds 0.749.
    """
    priors, sizes = grid_priors(64, strides=(8,))
    gt_index, iou = atss_assign(priors, sizes, torch.tensor([[32.0, 32, 32, 32, 0]]))
    assert torch.nonzero(gt_index >= 0).flatten().tolist() == [4 * 8 + 4]
    assert iou[36] == pytest.approx(1.0, abs=1e-6)


def test_distance_ties_select_the_lower_index():
    priors, sizes = grid_priors(64, strides=(8,))
    nearest = nearest_priors(priors[:, :2], sizes, torch.tensor([[12.0, 12.0]]), 2)  # four centers at equal distance
    assert nearest.tolist() == [[1 * 8 + 1, 1 * 8 + 2]]


def test_lower_gt_index_gets_a_prior_among_equal_ious():
    priors, sizes = grid_priors(128)
    gt_boxes = torch.tensor([[40.0, 44, 30, 22, 0.4]])
    gt_index, _ = atss_assign(priors, sizes, gt_boxes.repeat(5, 1))
    assert set(gt_index.tolist()) == {BACKGROUND, 0}
    single, _ = atss_assign(priors, sizes, gt_boxes)
    assert torch.equal(gt_index, single)


def test_deterministic_for_every_number_of_threads():
    priors, sizes = grid_priors(256)
    gt_boxes = random_boxes(200, step=4)
    threads = torch.get_num_threads()
    try:
        results = []
        for number in (1, 2, threads):
            torch.set_num_threads(number)
            results.append(atss_assign(priors, sizes, gt_boxes)[0])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_ignored_boxes():
    priors, sizes = grid_priors(128)
    gt_boxes, gt_boxes_ignore = random_boxes(10, 3, 128), torch.tensor([[32.0, 32, 80, 60, 0.2]])
    gt_index, iou = atss_assign(priors, sizes, gt_boxes, gt_boxes_ignore=gt_boxes_ignore)
    expected, expected_iou = slow_atss(priors, sizes, gt_boxes, gt_boxes_ignore=gt_boxes_ignore)
    assert torch.equal(gt_index, expected)
    assert torch.allclose(iou, expected_iou, atol=1e-6)
    assert (gt_index == IGNORE).any()
    without, _ = atss_assign(priors, sizes, gt_boxes, gt_boxes_ignore=torch.zeros(0, 5))
    assert not (without == IGNORE).any()


def test_all_priors_ignored():
    priors, sizes = grid_priors(64)
    gt_index, iou = atss_assign(
        priors, sizes, random_boxes(3, 0, 64), gt_boxes_ignore=torch.tensor([[32.0, 32, 2000, 2000, 0]])
    )
    assert (gt_index == IGNORE).all()
    assert (iou == 0).all()


def test_invalid_boxes_get_no_prior_and_a_warning():
    priors, sizes = grid_priors(128)
    gt_boxes = random_boxes(6, 1, 128)
    gt_boxes[1, 2], gt_boxes[4, 0] = 0, math.nan
    with pytest.warns(UserWarning, match="2 of 6 gt_boxes"):
        gt_index, iou = atss_assign(priors, sizes, gt_boxes)
    assert not torch.isin(gt_index, torch.tensor([1, 4])).any()
    assert iou.isfinite().all()
    valid = [0, 2, 3, 5]
    expected, _ = atss_assign(priors, sizes, gt_boxes[valid])
    expected = torch.where(expected >= 0, torch.tensor(valid)[expected.clamp(min=0)], expected)
    assert torch.equal(gt_index, expected)


def test_boxes_outside_the_image_and_levels_with_fewer_priors_than_k():
    priors, sizes = grid_priors(64)  # the last level has a single prior
    outside = torch.tensor([[-500.0, -500, 20, 20, 0], [1e6, 1e6, 20, 20, 0.3]])
    gt_index, _ = atss_assign(priors, sizes, outside)
    assert (gt_index == BACKGROUND).all()
    gt_index, _ = atss_assign(torch.tensor([[5.0, 5, 10, 10, 0]]), [1], torch.tensor([[5.0, 5, 10, 8, 0.1]]))
    assert gt_index.tolist() == [0]  # with one candidate the threshold is its own IoU


def test_center_on_the_border_is_outside():
    prior = torch.tensor([[10.0, 10, 20, 20, 0]])
    for shift, expected in ((4.0, BACKGROUND), (3.995, BACKGROUND), (3.98, 0)):
        assert atss_assign(prior, [1], torch.tensor([[10.0 + shift, 10, 8, 8, 0]]))[0].tolist() == [expected]


def test_empty_levels_and_no_priors():
    priors, sizes = grid_priors(64, strides=(8,))
    gt_boxes = random_boxes(4, 0, 64)
    assert torch.equal(atss_assign(priors, [0, *sizes, 0], gt_boxes)[0], atss_assign(priors, sizes, gt_boxes)[0])
    gt_index, iou = atss_assign(torch.zeros(0, 5), [0], gt_boxes)
    assert gt_index.shape == iou.shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_halves_are_upcast_and_float64_is_kept(dtype):
    priors, sizes = grid_priors(128)
    gt_boxes = random_boxes(10, 0, 128).to(dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    gt_index, iou = atss_assign(priors.to(dtype), sizes, gt_boxes)
    assert torch.equal(gt_index, atss_assign(priors.to(wide), sizes, gt_boxes.to(wide))[0])
    assert iou.dtype == wide


def test_threshold_is_mean_plus_unbiased_deviation():
    iou = torch.rand(7, 45, generator=torch.Generator().manual_seed(0))
    expected = iou.mean(1) + iou.std(1)
    assert torch.allclose(adaptive_threshold(iou, torch.ones_like(iou)), expected, atol=1e-6)


@pytest.mark.parametrize("form", [torch.clone, obb_to_hbb], ids=["oriented", "horizontal"])
def test_candidates_above_the_threshold_are_counted_before_the_center_test(form):
    priors, sizes = grid_priors(128)
    gt_boxes = random_boxes(15, 2, 128)
    gt_centers = (hbb_to_obb(obb_to_hbb(gt_boxes)) if form is obb_to_hbb else gt_boxes)[:, :2]
    candidates = nearest_priors(priors[:, :2], sizes, gt_centers, 9)
    repeated = form(gt_boxes).repeat_interleave(candidates.shape[1], 0)
    ious = aligned_iou(form(priors)[candidates.flatten()], repeated).view_as(candidates)
    expected = torch.tensor([int((row >= row.mean() + row.std()).sum()) for row in ious])
    assert torch.equal(count_candidates_above_threshold(form(priors), form(gt_boxes), candidates), expected)
    gt_index, _ = atss_assign(form(priors), sizes, form(gt_boxes))
    positives = torch.bincount(gt_index[gt_index >= 0], minlength=15)
    assert (positives <= expected).all()
    assert (positives < expected).any()


MEASURE_MEMORY = """
import resource, torch
from rotated_atss.assign import atss_assign
from tests.references.scenes import grid_priors
priors, sizes = grid_priors(1024)
gt_boxes = torch.cat([torch.rand(5000, 2) * 1024, torch.rand(5000, 2) * 40 + 6, torch.rand(5000, 1)], 1)
atss_assign(priors, sizes, gt_boxes[:10])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
atss_assign(priors, sizes, gt_boxes)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_memory_does_not_grow_with_priors_times_boxes(repo_root):
    """5,000 boxes in a tile of 1024 px: a float32 tensor of all pairs would have 436 MB."""
    command = [sys.executable, "-c", MEASURE_MEMORY]
    used_mb = float(subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=True).stdout)
    assert used_mb < 100


def test_invalid_arguments():
    priors, sizes = grid_priors(64)
    with pytest.raises(ValueError, match=r"level_sizes must sum to the number of priors \(86\), got \[64, 16, 4, 1\]"):
        atss_assign(priors, sizes[:-1], random_boxes(2))
    with pytest.raises(ValueError, match=r"gt_boxes must have shape \(N, 5\), got \(2, 4\)"):
        atss_assign(priors, sizes, torch.ones(2, 4))
    with pytest.raises(ValueError, match="topk must be at least 1, got 0"):
        atss_assign(priors, sizes, random_boxes(2), topk=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atss_assign(priors, sizes, random_boxes(2))
