"""Overlapping pairs compared with a test of every pair."""

import math

import pytest
import torch

from rotated_atss.assign import overlapping_pairs as pairs
from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs
from rotated_atss.ops.boxes import obb_to_hbb


def make_boxes(number, seed):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    size = (unit[:, 2:4] * 8 - 2).exp()  # 0.1 to 400 px
    return torch.cat(((unit[:, :2] - 0.3) * 300, size, (unit[:, 4:] - 0.5) * math.pi), 1)


def slow_pairs(priors, gt_boxes):
    first, second = obb_to_hbb(priors), obb_to_hbb(gt_boxes)
    expected = []
    for g, b in enumerate(second.tolist()):
        for a, p in enumerate(first.tolist()):
            if p[0] <= b[2] and b[0] <= p[2] and p[1] <= b[3] and b[1] <= p[3]:
                expected.append((g, a))
    return expected


@pytest.mark.parametrize("number", [1, 63, 64, 65, 300])
def test_exactly_the_overlapping_pairs(number, monkeypatch):
    monkeypatch.setattr(pairs, "_ELEMENTS_PER_CHUNK", {"cpu": 300})  # several chunks
    priors, gt_boxes = make_boxes(number, 0), make_boxes(40, 1)
    chunks = list(overlapping_box_pairs(priors, gt_boxes))
    assert len(chunks) > 1
    gts = [set(j.tolist()) for _, j in chunks]
    assert sum(map(len, gts)) == len(set().union(*gts))  # all pairs of a box are in one chunk
    flat = [(g, a) for i, j in chunks for a, g in zip(i.tolist(), j.tolist())]
    assert [g for g, _ in flat] == sorted(g for g, _ in flat)
    assert sorted(flat) == slow_pairs(priors, gt_boxes)


def test_far_from_the_origin_and_not_finite():
    priors, gt_boxes = make_boxes(100, 2), make_boxes(20, 3)
    shift = torch.tensor([20000.0, 30000, 0, 0, 0])
    near = {(int(a), int(g)) for i, j in overlapping_box_pairs(priors, gt_boxes) for a, g in zip(i, j)}
    far = {(int(a), int(g)) for i, j in overlapping_box_pairs(priors + shift, gt_boxes + shift) for a, g in zip(i, j)}
    assert len(near ^ far) < 0.01 * len(near)
    priors[3, 0], gt_boxes[5, 2] = math.nan, math.inf
    remaining = {(int(a), int(g)) for i, j in overlapping_box_pairs(priors, gt_boxes) for a, g in zip(i, j)}
    assert remaining == {(a, g) for a, g in near if a != 3 and g != 5}


def test_points_on_the_border_overlap():
    points = torch.tensor([[5.0, 5, 5, 5], [10, 10, 10, 10], [11, 10, 11, 10]])
    prior_index = [i.tolist() for i, _ in overlapping_box_pairs(points, torch.tensor([[0.0, 0, 10, 10]]))]
    assert prior_index == [[0, 1]]


def test_empty_inputs_have_no_pairs():
    assert not list(overlapping_box_pairs(make_boxes(0, 0), make_boxes(5, 1)))
    assert not list(overlapping_box_pairs(make_boxes(5, 0), make_boxes(0, 1)))
