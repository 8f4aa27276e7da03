"""ATSS against Algorithm 1 written out object by object, prior by prior."""

import math
import warnings

import pytest
import torch

from rotated_atss.assign import (
    BACKGROUND,
    IGNORE,
    adaptive_threshold,
    atss_assign,
    count_candidates_above_threshold,
    match_candidates,
    nearest_priors,
)
from rotated_atss.assign.box_forms import aligned_iou
from rotated_atss.ops.boxes import circumscribe, obb_to_hbb
from tests.references.slow_atss import slow_atss


def grid_priors(size=256, strides=(8, 16, 32, 64, 128), per_location=1):
    levels = []
    for stride in strides:
        number = -(-size // stride)
        y, x = torch.meshgrid(torch.arange(number) * stride, torch.arange(number) * stride, indexing="ij")
        centers = torch.stack((x.flatten(), y.flatten()), 1).float().repeat_interleave(per_location, 0)
        sides = stride * 4.0 * (1 + torch.arange(per_location) / 3).repeat(number * number)
        levels.append(torch.cat((centers, sides[:, None], sides[:, None], torch.zeros(len(centers), 1)), 1))
    return torch.cat(levels), [len(level) for level in levels]


def objects(number, seed=0, size=256, on_grid=False):
    draw = torch.Generator().manual_seed(seed)
    unit = torch.rand(number, 5, generator=draw)
    boxes = torch.cat((unit[:, :2] * size, (unit[:, 2:4] * 3 + 1.8).exp(), (unit[:, 4:] - 0.5) * math.pi), 1)
    if on_grid:  # centres on cell borders and corners, as integer labels have them: distances tie
        boxes[:, :2] = (boxes[:, :2] / 4).round() * 4
    return boxes


@pytest.mark.parametrize("on_grid", [False, True])
@pytest.mark.parametrize(
    "number, topk, per_location", [(0, 9, 1), (1, 9, 1), (12, 9, 1), (12, 3, 1), (8, 9, 3), (40, 19, 1)]
)
def test_equals_algorithm_1(number, topk, per_location, on_grid):
    priors, sizes = grid_priors(128, per_location=per_location)
    for seed in range(4):
        boxes = objects(number, seed, 128, on_grid)
        gt_index, iou = atss_assign(priors, sizes, boxes, topk=topk, priors_per_location=per_location)
        expected, best = slow_atss(priors, sizes, boxes, topk, per_location)
        assert torch.equal(gt_index, expected)
        assert torch.allclose(iou, best, atol=1e-6)
        assert (iou[gt_index < 0] == 0).all()
        assert (iou[gt_index >= 0] > 0).all()


def test_equals_the_peer_where_the_peer_is_right():
    """onedl-mmrotate's dense assigner on a random scene: the same assignment, to the prior."""
    pytest.importorskip("mmrotate")
    pytest.importorskip("mmcv.ops")
    import mmrotate.models  # noqa: F401  registers
    from mmengine.structures import InstanceData
    from mmrotate.registry import TASK_UTILS
    from mmrotate.structures.bbox import RotatedBoxes

    priors, sizes = grid_priors(256)
    # named with its scope: ours has the same name in MMDetection's
    calculator = dict(type="mmrotate.RBboxOverlaps2D")
    peer = TASK_UTILS.build(dict(type="mmrotate.RotatedATSSAssigner", topk=9, iou_calculator=calculator))
    for seed in range(3):
        boxes = objects(30, seed)
        gt = InstanceData(bboxes=RotatedBoxes(boxes.clone()), labels=torch.zeros(30, dtype=torch.int64))
        theirs = peer.assign(InstanceData(priors=RotatedBoxes(priors.clone())), sizes, gt).gt_inds - 1
        assert torch.equal(atss_assign(priors, sizes, boxes)[0], theirs)


def test_literal_case():
    """One square object that is a prior: of its 9 candidates a level, those near enough win; worked out by hand."""
    priors, sizes = grid_priors(64, strides=(8,))
    gt_index, iou = atss_assign(priors, sizes, torch.tensor([[32.0, 32, 32, 32, 0]]))
    # IoUs: 1, four at 0.6, four at (24*24)/(2*1024-576) = 0.391; mean 0.5516, deviation 0.1974: only the centre is
    # above 0.749
    assert torch.nonzero(gt_index >= 0).flatten().tolist() == [4 * 8 + 4]
    assert iou[36] == pytest.approx(1.0, abs=1e-6)


def test_distance_ties_take_the_lower_index():
    priors, sizes = grid_priors(64, strides=(8,))
    nearest = nearest_priors(priors[:, :2], sizes, torch.tensor([[12.0, 12.0]]), 2)  # four centres equally far
    assert nearest.tolist() == [[1 * 8 + 1, 1 * 8 + 2]]


def test_contested_prior_goes_to_the_lower_index_among_equals():
    priors, sizes = grid_priors(128)
    box = torch.tensor([[40.0, 44, 30, 22, 0.4]])
    gt_index, _ = atss_assign(priors, sizes, box.repeat(5, 1))
    assert set(gt_index.tolist()) == {BACKGROUND, 0}
    alone, _ = atss_assign(priors, sizes, box)
    assert torch.equal(gt_index, alone)


def test_the_same_on_every_run_and_thread_count():
    priors, sizes = grid_priors(256)
    boxes = objects(200, on_grid=True)
    threads = torch.get_num_threads()
    try:
        runs = []
        for number in (1, 2, threads):
            torch.set_num_threads(number)
            runs.append(atss_assign(priors, sizes, boxes)[0])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[0], runs[2])


def test_ignored_regions():
    priors, sizes = grid_priors(128)
    boxes, region = objects(10, 3, 128), torch.tensor([[32.0, 32, 80, 60, 0.2]])
    gt_index, iou = atss_assign(priors, sizes, boxes, gt_boxes_ignore=region)
    expected, best = slow_atss(priors, sizes, boxes, gt_boxes_ignore=region)
    assert torch.equal(gt_index, expected)
    assert torch.allclose(iou, best, atol=1e-6)
    assert (gt_index == IGNORE).any()
    without, _ = atss_assign(priors, sizes, boxes, gt_boxes_ignore=torch.zeros(0, 5))
    assert not (without == IGNORE).any()


def test_everything_ignored():
    priors, sizes = grid_priors(64)
    gt_index, iou = atss_assign(
        priors, sizes, objects(3, 0, 64), gt_boxes_ignore=torch.tensor([[32.0, 32, 2000, 2000, 0]])
    )
    assert (gt_index == IGNORE).all()
    assert (iou == 0).all()


def test_objects_without_area_are_dropped_counted_and_warned_of():
    priors, sizes = grid_priors(128)
    boxes = objects(6, 1, 128)
    boxes[1, 2], boxes[4, 0] = 0, math.nan
    with pytest.warns(UserWarning, match="2 of 6 objects"):
        gt_index, iou = atss_assign(priors, sizes, boxes)
    assert not torch.isin(gt_index, torch.tensor([1, 4])).any()
    assert iou.isfinite().all()
    good = [0, 2, 3, 5]
    alone, _ = atss_assign(priors, sizes, boxes[good])
    assert torch.equal(torch.where(alone >= 0, torch.tensor(good)[alone.clamp(min=0)], alone), gt_index)


def test_objects_outside_and_levels_smaller_than_k():
    priors, sizes = grid_priors(64)  # the last level has a single prior
    outside = torch.tensor([[-500.0, -500, 20, 20, 0], [1e6, 1e6, 20, 20, 0.3]])
    gt_index, _ = atss_assign(priors, sizes, outside)
    assert (gt_index == BACKGROUND).all()
    one, _ = atss_assign(torch.tensor([[5.0, 5, 10, 10, 0]]), [1], torch.tensor([[5.0, 5, 10, 8, 0.1]]))
    assert one.tolist() == [0]  # one candidate: its own IoU is the threshold


def test_center_on_the_border_is_outside():
    prior = torch.tensor([[10.0, 10, 20, 20, 0]])
    for shift, expected in ((4.0, BACKGROUND), (3.995, BACKGROUND), (3.98, 0)):
        assert atss_assign(prior, [1], torch.tensor([[10.0 + shift, 10, 8, 8, 0]]))[0].tolist() == [expected]


def test_empty_levels_and_no_priors():
    priors, sizes = grid_priors(64, strides=(8,))
    boxes = objects(4, 0, 64)
    assert torch.equal(atss_assign(priors, [0, *sizes, 0], boxes)[0], atss_assign(priors, sizes, boxes)[0])
    gt_index, iou = atss_assign(torch.zeros(0, 5), [0], boxes)
    assert gt_index.shape == iou.shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    priors, sizes = grid_priors(128)
    boxes = objects(10, 0, 128).to(dtype)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    gt_index, iou = atss_assign(priors.to(dtype), sizes, boxes)
    assert torch.equal(gt_index, atss_assign(priors.to(wide), sizes, boxes.to(wide))[0])
    assert iou.dtype == wide


def test_threshold_is_mean_plus_unbiased_deviation():
    overlap = torch.rand(7, 45, generator=torch.Generator().manual_seed(0))
    expected = overlap.mean(1) + overlap.std(1)
    assert torch.allclose(adaptive_threshold(overlap, torch.ones_like(overlap)), expected, atol=1e-6)


@pytest.mark.parametrize("form", [torch.clone, obb_to_hbb])
def test_candidates_above_the_threshold_are_counted_before_the_centre_test(form):
    priors, sizes = grid_priors(128)
    gt = objects(15, 2, 128)
    candidates = nearest_priors(priors[:, :2], sizes, circumscribe(gt)[:, :2] if form is obb_to_hbb else gt[:, :2], 9)
    objects_ = form(gt).repeat_interleave(candidates.shape[1], 0)
    overlaps = aligned_iou(form(priors)[candidates.flatten()], objects_).view_as(candidates)
    expected = [int((row >= row.mean() + row.std()).sum()) for row in overlaps]
    assert count_candidates_above_threshold(form(priors), form(gt), candidates).tolist() == expected
    gt_index, _ = match_candidates(form(priors), form(gt), candidates, torch.ones(15, dtype=torch.bool))
    positives = torch.bincount(gt_index[gt_index >= 0], minlength=15)
    assert (positives <= torch.tensor(expected)).all()
    assert (positives < torch.tensor(expected)).any()


def test_memory_grows_with_candidates_not_with_all_pairs():
    """R12: 5,000 objects in one 1024 tile. All pairs would be 436 MB a float tensor; the peak here stays below 100
    MB.
    """
    import subprocess
    import sys

    code = (
        "import resource, math, torch\n"
        "from rotated_atss.assign import atss_assign\n"
        "out, sizes = [], []\n"
        "for s in (8, 16, 32, 64, 128):\n"
        "    n = 1024 // s\n"
        "    y, x = torch.meshgrid(torch.arange(n) * s, torch.arange(n) * s, indexing='ij')\n"
        "    rest = [torch.full((n * n,), v) for v in (4 * s, 4 * s, 0)]\n"
        "    out.append(torch.stack([x.flatten(), y.flatten(), *rest], 1).float())\n"
        "    sizes.append(n * n)\n"
        "priors = torch.cat(out)\n"
        "gt = torch.cat([torch.rand(5000, 2) * 1024, torch.rand(5000, 2) * 40 + 6, torch.rand(5000, 1)], 1)\n"
        "atss_assign(priors, sizes, gt[:10])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "atss_assign(priors, sizes, gt)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    used = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert used < 100


def test_wrong_arguments_say_what_is_wrong():
    priors, sizes = grid_priors(64)
    with pytest.raises(ValueError, match="sum to"):
        atss_assign(priors, sizes[:-1], objects(2))
    with pytest.raises(ValueError, match=r"gt_boxes must have shape \(N, 5\), not \(2, 4\)"):
        atss_assign(priors, sizes, torch.ones(2, 4))
    with pytest.raises(ValueError, match="at least 1"):
        atss_assign(priors, sizes, objects(2), topk=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atss_assign(priors, sizes, objects(2))
