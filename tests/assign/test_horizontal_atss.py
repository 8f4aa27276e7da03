"""ATSS on horizontal boxes compared with a slow reference of Algorithm 1 and with MMDetection's ATSSAssigner."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rotated_atss.assign import BACKGROUND, IGNORE, atss_assign, nearest_priors
from rotated_atss.ops.boxes import hbb_to_obb, obb_to_hbb
from tests.references.scenes import grid_priors
from tests.references.slow_atss import assign_candidates, overlaps, slow_atss


def horizontal_priors(size=256):
    """One square prior per location, ``x1, y1, x2, y2``, as in MMDetection's ATSS."""
    priors, sizes = grid_priors(size, anchor_scale=8)
    return obb_to_hbb(priors), sizes


def random_hbbs(number, seed=0, size=256, on_grid=False):
    unit = torch.rand(number, 4, generator=torch.Generator().manual_seed(seed))
    low, wh = unit[:, :2] * size * 0.9, (unit[:, 2:] * 3.5 + 1.8).exp()
    if on_grid:  # integer labels, most of them centerd on cell borders: distances tie
        low, wh = (low / 4).round() * 4, (wh / 8).ceil() * 8
    return torch.cat((low, low + wh), 1)


@pytest.mark.parametrize("on_grid", [False, True])
@pytest.mark.parametrize("number, topk", [(1, 9), (12, 9), (12, 3), (30, 19)])
def test_equals_algorithm_1(number, topk, on_grid):
    priors, sizes = horizontal_priors(128)
    for seed in range(3):
        gt_boxes = random_hbbs(number, seed, 128, on_grid)
        gt_index, iou = atss_assign(priors, sizes, gt_boxes, topk=topk)
        expected, expected_iou = slow_atss(priors, sizes, gt_boxes, topk)
        assert torch.equal(gt_index, expected)
        assert torch.allclose(iou, expected_iou, atol=1e-6)


def mmdet_distances(priors, gt_boxes):
    """(A, G) distances as MMDetection computes them. The square root makes ties of squares that differ by rounding."""
    prior_centers, gt_centers = ((boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (priors, gt_boxes))
    return (prior_centers[:, None] - gt_centers).pow(2).sum(-1).sqrt()


def mmdet_candidates(priors, sizes, gt_boxes, topk=9):
    """(G, K) candidates of MMDetection's ``torch.topk``, which breaks ties arbitrarily."""
    levels = mmdet_distances(priors, gt_boxes).split(sizes)
    starts = torch.tensor(sizes).cumsum(0) - torch.tensor(sizes)
    nearest = [level.topk(min(topk, len(level)), 0, largest=False).indices + s for level, s in zip(levels, starts)]
    return torch.cat(nearest).T


def mmdet_assign(priors, sizes, gt_boxes):
    task_modules = pytest.importorskip("mmdet.models.task_modules")
    from mmengine.structures import InstanceData

    gt_instances = InstanceData(bboxes=gt_boxes, labels=torch.zeros(len(gt_boxes), dtype=torch.int64))
    return task_modules.ATSSAssigner(topk=9).assign(InstanceData(priors=priors), sizes, gt_instances).gt_inds - 1


@pytest.mark.parametrize("size, number", [(256, 40), (512, 100)])
def test_equals_mmdetection_on_random_scenes(size, number):
    priors, sizes = horizontal_priors(size)
    for seed in range(5):
        gt_boxes = random_hbbs(number, seed, size)
        assert torch.equal(atss_assign(priors, sizes, gt_boxes)[0], mmdet_assign(priors, sizes, gt_boxes))


def test_equals_mmdetection_on_integer_grids_except_for_distance_ties():
    """With MMDetection's candidates, Algorithm 1 gives MMDetection's assignment.

    Candidates that only one of the packages selects are at the same distance from the box as those that only the other
    one selects.
    """
    priors, sizes = horizontal_priors(256)
    num_different = 0
    for seed in range(12):
        gt_boxes = random_hbbs(40, seed, on_grid=True)
        expected = mmdet_assign(priors, sizes, gt_boxes)
        expected_candidates, distances = mmdet_candidates(priors, sizes, gt_boxes), mmdet_distances(priors, gt_boxes)
        assert torch.equal(assign_candidates(priors, gt_boxes, expected_candidates)[0], expected)
        prior_centers, gt_centers = ((boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (priors, gt_boxes))
        candidates = nearest_priors(prior_centers, sizes, gt_centers, 9)
        tied = []
        for g in range(40):
            a, b = set(candidates[g].tolist()), set(expected_candidates[g].tolist())
            assert sorted(distances[sorted(a - b), g]) == sorted(distances[sorted(b - a), g])
            tied += [g] if a != b else []
        gt_index = atss_assign(priors, sizes, gt_boxes)[0]
        different = gt_index != expected
        num_different += int(different.sum())
        involved = torch.stack((gt_index[different], expected[different]))
        assert torch.isin(involved, torch.tensor(tied)).any(0).all()  # every difference is due to tied candidates
    assert num_different  # the scenes have such ties


def test_equals_the_oriented_assignment_of_the_same_boxes():
    priors, sizes = horizontal_priors(256)
    gt_boxes = random_hbbs(40)
    gt_index, iou = atss_assign(priors, sizes, gt_boxes)
    oriented = atss_assign(hbb_to_obb(priors), sizes, hbb_to_obb(gt_boxes))
    assert torch.equal(gt_index, oriented[0])
    assert torch.allclose(iou, oriented[1], atol=1e-5)


def test_ignored_boxes_and_boxes_without_area():
    priors, sizes = horizontal_priors(128)
    gt_boxes = random_hbbs(6, 1, 128)
    gt_boxes_ignore = torch.tensor([[-200.0, -200, 60, 60]])
    gt_index, iou = atss_assign(priors, sizes, gt_boxes, gt_boxes_ignore=gt_boxes_ignore)
    ignored = torch.tensor(overlaps(priors, gt_boxes_ignore[0], "iof")) > 0.5
    assert torch.equal(gt_index == IGNORE, ignored)
    assert ignored.any()
    assert (iou[ignored] == 0).all()
    gt_boxes[2, 2] = gt_boxes[2, 0] - 4
    with pytest.warns(UserWarning, match="1 of 6 gt_boxes"):
        assert (atss_assign(priors, sizes, gt_boxes)[0] != 2).all()


def test_center_on_the_border_is_outside():
    prior = torch.tensor([[0.0, 0, 20, 20]])
    for shift, expected in ((4.0, BACKGROUND), (3.995, BACKGROUND), (3.98, 0)):
        gt_boxes = torch.tensor([[6 + shift, 6, 14 + shift, 14]])
        assert atss_assign(prior, [1], gt_boxes)[0].tolist() == [expected]


class LargestTensor(TorchDispatchMode):
    """Record the size of the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for each in result if isinstance(result, (tuple, list)) else [result]:
            self.numel = max(self.numel, each.numel() if isinstance(each, torch.Tensor) else 0)
        return result


@pytest.mark.parametrize("form", [torch.clone, hbb_to_obb], ids=["horizontal", "oriented"])
def test_no_tensor_has_the_size_priors_times_boxes(form):
    priors, sizes = horizontal_priors(1024)
    gt_boxes = random_hbbs(2000, 0, 1024)
    gt_boxes_ignore = torch.tensor([[0.0, 0, 300, 300]])
    with LargestTensor() as largest:
        atss_assign(form(priors), sizes, form(gt_boxes), gt_boxes_ignore=form(gt_boxes_ignore))
    assert largest.numel < 1 << 20 < len(priors) * len(gt_boxes) / 40
