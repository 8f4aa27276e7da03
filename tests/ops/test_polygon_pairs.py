"""Pairs of boxes that share area against a loop over all pairs."""

import numpy as np
import pytest

from rotated_atss.ops.polygon_iou import polygon_areas, polygon_hbbs, polygon_ious
from rotated_atss.ops.polygon_pairs import iou_upper_bounds, overlapping_pairs, overlapping_pairs_between


def boxes(rng, count):
    corners = rng.integers(0, 40, (count, 2, 2)).astype(float)  # on a grid: equal starts, touching sides, flat boxes
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def meet(box1, box2):
    return min(box1[2], box2[2]) > max(box1[0], box2[0]) and min(box1[3], box2[3]) > max(box1[1], box2[1])


@pytest.mark.parametrize("offset", [0.0, -1e6, 1e9])
def test_overlapping_pairs_are_all_pairs_that_overlap(offset):
    rng = np.random.default_rng(4)
    hbbs, groups = boxes(rng, 150) + offset, rng.integers(0, 4, 150)
    first, second = overlapping_pairs(hbbs, groups)
    expected = {
        (i, j) for i in range(150) for j in range(i + 1, 150) if groups[i] == groups[j] and meet(hbbs[i], hbbs[j])
    }
    assert len(first) == len(expected)
    assert set(zip(first.tolist(), second.tolist())) == expected


def test_overlapping_pairs_between_two_sets():
    rng = np.random.default_rng(5)
    hbbs1, hbbs2 = boxes(rng, 80), boxes(rng, 90)
    groups1, groups2 = rng.integers(0, 4, 80), rng.integers(0, 4, 90)
    first, second = overlapping_pairs_between(hbbs1, groups1, hbbs2, groups2)
    expected = {(i, j) for i in range(80) for j in range(90) if groups1[i] == groups2[j] and meet(hbbs1[i], hbbs2[j])}
    assert len(first) == len(expected)
    assert set(zip(first.tolist(), second.tolist())) == expected


def test_pairs_come_in_pieces(monkeypatch):
    rng = np.random.default_rng(6)
    hbbs, groups = boxes(rng, 200), np.zeros(200, dtype=np.int64)
    whole = set(zip(*(side.tolist() for side in overlapping_pairs(hbbs, groups))))
    monkeypatch.setattr("rotated_atss.ops.polygon_pairs._CANDIDATES", 7)
    first, second = overlapping_pairs(hbbs, groups)
    assert len(first) == len(whole)
    assert set(zip(first.tolist(), second.tolist())) == whole


def quadrilaterals(rng, count):
    """(N, 8), about as wide as they lie apart."""
    return (rng.uniform(-30, 30, (count, 1, 2)) + rng.uniform(-30, 30, (count, 4, 2))).reshape(count, 8)


def test_upper_bound_is_one():
    rng = np.random.default_rng(7)
    first, second = quadrilaterals(rng, 5000), quadrilaterals(rng, 5000)
    sides = [(polygon_hbbs(side), polygon_areas(side)) for side in (first, second)]
    assert (iou_upper_bounds(*sides[0], *sides[1]) >= polygon_ious(first, second) - 1e-12).all()


def test_no_boxes():
    none = np.empty((0, 4)), np.empty(0, dtype=np.int64)
    for first, second in (overlapping_pairs(*none), overlapping_pairs_between(*none, *none)):
        assert first.shape == second.shape == (0,)
