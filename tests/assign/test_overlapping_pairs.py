"""Pairs found through blocks against the test of every pair."""

import math

import pytest
import torch

from rotated_atss.assign import overlapping_pairs as pairs
from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs
from rotated_atss.ops.boxes import obb_to_hbb


def boxes(number, seed, spread=300.0):
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    size = (unit[:, 2:4] * 8 - 2).exp()  # 0.1 to 400 px
    return torch.cat(((unit[:, :2] - 0.3) * spread, size, (unit[:, 4:] - 0.5) * math.pi), 1)


def slow(priors, objects):
    first, second = obb_to_hbb(priors), obb_to_hbb(objects)
    found = []
    for g, b in enumerate(second.tolist()):
        for a, p in enumerate(first.tolist()):
            if p[0] <= b[2] and b[0] <= p[2] and p[1] <= b[3] and b[1] <= p[3]:
                found.append((g, a))
    return found


@pytest.mark.parametrize("number", [1, 63, 64, 65, 300])
def test_all_and_only_the_pairs_that_meet(number, monkeypatch):
    monkeypatch.setattr(pairs, "_NUMBERS_PER_CHUNK", {"cpu": 300})  # several chunks
    priors, objects = boxes(number, 0), boxes(40, 1)
    chunks = list(overlapping_box_pairs(priors, objects))
    assert len(chunks) > 1
    owners = [set(j.tolist()) for _, j in chunks]
    assert sum(map(len, owners)) == len(set().union(*owners))  # an object's pairs come at once
    flat = [(g, a) for i, j in chunks for a, g in zip(i.tolist(), j.tolist())]
    assert [g for g, _ in flat] == sorted(g for g, _ in flat)
    assert sorted(flat) == slow(priors, objects)


def test_far_from_the_origin_and_not_finite():
    priors, objects = boxes(100, 2), boxes(20, 3)
    shift = torch.tensor([20000.0, 30000, 0, 0, 0])
    near = {(int(a), int(g)) for i, j in overlapping_box_pairs(priors, objects) for a, g in zip(i, j)}
    far = {(int(a), int(g)) for i, j in overlapping_box_pairs(priors + shift, objects + shift) for a, g in zip(i, j)}
    assert len(near ^ far) < 0.01 * len(near)
    priors[3, 0], objects[5, 2] = math.nan, math.inf
    left = {(int(a), int(g)) for i, j in overlapping_box_pairs(priors, objects) for a, g in zip(i, j)}
    assert left == {(a, g) for a, g in near if a != 3 and g != 5}


def test_points_touch_the_box_they_lie_on():
    points = torch.tensor([[5.0, 5, 5, 5], [10, 10, 10, 10], [11, 10, 11, 10]])
    found = [i.tolist() for i, _ in overlapping_box_pairs(points, torch.tensor([[0.0, 0, 10, 10]]))]
    assert found == [[0, 1]]


def test_nothing_meets_nothing():
    assert (
        list(overlapping_box_pairs(boxes(0, 0), boxes(5, 1)))
        == list(overlapping_box_pairs(boxes(5, 0), boxes(0, 1)))
        == []
    )
