"""ATSS of horizontal boxes against Algorithm 1 written out, and against MMDetection's ATSSAssigner."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rotated_atss.assign import BACKGROUND, IGNORE, atss_assign, match_candidates, nearest_priors
from rotated_atss.ops.boxes import hbb_to_obb
from tests.references.slow_atss import slow_atss

STRIDES = (8, 16, 32, 64, 128)


def priors_of(size=256, scale=8, strides=STRIDES):
    """One square prior a location, x1 y1 x2 y2, as MMDetection's ATSS has them."""
    levels = []
    for stride in strides:
        number = -(-size // stride)
        y, x = torch.meshgrid(torch.arange(number) * stride, torch.arange(number) * stride, indexing="ij")
        center = torch.stack((x.flatten(), y.flatten()), 1).float()
        levels.append(torch.cat((center - scale * stride / 2, center + scale * stride / 2), 1))
    return torch.cat(levels), [len(level) for level in levels]


def objects(number, seed=0, size=256, on_grid=False):
    unit = torch.rand(number, 4, generator=torch.Generator().manual_seed(seed))
    low, wh = unit[:, :2] * size * 0.9, (unit[:, 2:] * 3.5 + 1.8).exp()
    if on_grid:  # integer labels, most of them centred on cell borders: distances tie
        low, wh = (low / 4).round() * 4, (wh / 8).ceil() * 8
    return torch.cat((low, low + wh), 1)


@pytest.mark.parametrize("on_grid", [False, True])
@pytest.mark.parametrize("number, topk", [(1, 9), (12, 9), (12, 3), (30, 19)])
def test_equals_algorithm_1(number, topk, on_grid):
    priors, sizes = priors_of(128)
    for seed in range(3):
        gt = objects(number, seed, 128, on_grid)
        gt_index, iou = atss_assign(priors, sizes, gt, topk=topk)
        expected, best = slow_atss(priors, sizes, gt, topk)
        assert torch.equal(gt_index, expected)
        assert torch.allclose(iou, best, atol=1e-6)


def peer_distances(priors, gt):
    """MMDetection's (A, G) distances: with the root, which makes ties of what squares tell apart by a rounding."""
    center = (priors[:, :2] + priors[:, 2:]) / 2
    return (center[:, None] - (gt[:, :2] + gt[:, 2:]) / 2).pow(2).sum(-1).sqrt()


def peer_candidates(priors, sizes, gt, topk=9):
    """What its topk takes: among equal distances, whichever."""
    levels = peer_distances(priors, gt).split(sizes)
    starts = torch.tensor(sizes).cumsum(0) - torch.tensor(sizes)
    taken = [level.topk(min(topk, len(level)), 0, largest=False).indices + s for level, s in zip(levels, starts)]
    return torch.cat(taken).T


def peer_assign(priors, sizes, gt):
    task_modules = pytest.importorskip("mmdet.models.task_modules")
    from mmengine.structures import InstanceData

    truths = InstanceData(bboxes=gt, labels=torch.zeros(len(gt), dtype=torch.int64))
    return task_modules.ATSSAssigner(topk=9).assign(InstanceData(priors=priors), sizes, truths).gt_inds - 1


@pytest.mark.parametrize("size, number", [(256, 40), (512, 100)])
def test_equals_mmdetection_on_random_scenes(size, number):
    priors, sizes = priors_of(size)
    for seed in range(5):
        gt = objects(number, seed, size)
        assert torch.equal(atss_assign(priors, sizes, gt)[0], peer_assign(priors, sizes, gt))


def test_equals_mmdetection_on_integer_grids_but_for_distance_ties():
    """With its candidates ours is its assignment to the prior; and where the candidates differ, those that only one
    side has are exactly as far from the object as those that only the other has.
    """
    priors, sizes = priors_of(256)
    differing = 0
    for seed in range(12):
        gt = objects(40, seed, on_grid=True)
        theirs = peer_assign(priors, sizes, gt)
        candidates, distances = peer_candidates(priors, sizes, gt), peer_distances(priors, gt)
        assert torch.equal(match_candidates(priors, gt, candidates, torch.ones(40, dtype=torch.bool))[0], theirs)
        centers = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (priors, gt)]
        mine = nearest_priors(centers[0], sizes, centers[1], 9)
        tied = []
        for g in range(40):
            ours, peers = set(mine[g].tolist()), set(candidates[g].tolist())
            assert sorted(distances[sorted(ours - peers), g]) == sorted(distances[sorted(peers - ours), g])
            tied += [g] if ours != peers else []
        gt_index = atss_assign(priors, sizes, gt)[0]
        different = gt_index != theirs
        differing += int(different.sum())
        touched = torch.stack((gt_index[different], theirs[different]))
        assert torch.isin(touched, torch.tensor(tied)).any(0).all()  # each by an object whose candidates tie
    assert differing  # the scenes have such ties


def test_equals_the_oriented_assignment_of_the_same_boxes():
    priors, sizes = priors_of(256)
    gt = objects(40)
    gt_index, iou = atss_assign(priors, sizes, gt)
    oriented = atss_assign(hbb_to_obb(priors), sizes, hbb_to_obb(gt))
    assert torch.equal(gt_index, oriented[0])
    assert torch.allclose(iou, oriented[1], atol=1e-5)


def test_ignored_regions_and_objects_without_area():
    priors, sizes = priors_of(128)
    gt = objects(6, 1, 128)
    region = torch.tensor([[-200.0, -200, 60, 60]])
    gt_index, iou = atss_assign(priors, sizes, gt, gt_boxes_ignore=region)
    inside = torch.tensor([
        max(0, min(p[2], 60) - max(p[0], -200)) * max(0, min(p[3], 60) - max(p[1], -200))
        > 0.5 * (p[2] - p[0]) * (p[3] - p[1])
        for p in priors.tolist()
    ])  # fmt: skip
    assert torch.equal(gt_index == IGNORE, inside)
    assert inside.any()
    assert (iou[inside] == 0).all()
    gt[2, 2] = gt[2, 0] - 4
    with pytest.warns(UserWarning, match="1 of 6 objects"):
        assert (atss_assign(priors, sizes, gt)[0] != 2).all()


def test_center_on_the_border_is_outside():
    prior = torch.tensor([[0.0, 0, 20, 20]])
    for shift, expected in ((4.0, BACKGROUND), (3.995, BACKGROUND), (3.98, 0)):
        gt = torch.tensor([[6 + shift, 6, 14 + shift, 14]])
        assert atss_assign(prior, [1], gt)[0].tolist() == [expected]


class Largest(TorchDispatchMode):
    """The largest tensor that anything computes."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for each in result if isinstance(result, (tuple, list)) else [result]:
            self.numel = max(self.numel, each.numel() if isinstance(each, torch.Tensor) else 0)
        return result


@pytest.mark.parametrize("form", [torch.clone, hbb_to_obb])
def test_no_tensor_of_priors_times_objects(form):
    priors, sizes = priors_of(1024)
    gt = objects(2000, 0, 1024)
    crowd = torch.tensor([[0.0, 0, 300, 300]])
    with Largest() as largest:
        atss_assign(form(priors), sizes, form(gt), gt_boxes_ignore=form(crowd))
    assert largest.numel < 1 << 20 < len(priors) * len(gt) / 40
