"""Pairs of boxes that share area, compared with a loop over all pairs."""

import numpy as np
import pytest

from rotated_atss.ops.polygon_iou import polygon_areas, polygon_hbbs, polygon_ious
from rotated_atss.ops.polygon_pairs import (
    iou_upper_bounds,
    iter_overlapping_pairs,
    iter_overlapping_pairs_between,
)


def boxes(rng, count):
    corners = rng.integers(0, 40, (count, 2, 2)).astype(float)  # integers give equal starts, touching sides, flat boxes
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def all_pairs(chunks):
    """List the (i, j) of all chunks."""
    return [pair for first, second in chunks for pair in zip(first.tolist(), second.tolist())]


def overlap(box1, box2):
    return min(box1[2], box2[2]) > max(box1[0], box2[0]) and min(box1[3], box2[3]) > max(box1[1], box2[1])


@pytest.fixture(params=[64, 1], ids=["one strip", "strips"])
def strips(request, monkeypatch):
    """Divide few boxes into one strip, or into many."""
    monkeypatch.setattr("rotated_atss.ops.polygon_pairs._MIN_BOXES_PER_STRIP", request.param)


@pytest.mark.parametrize("offset", [0.0, -1e6, 1e9])
def test_overlapping_pairs_are_all_pairs_that_overlap(offset, strips):
    rng = np.random.default_rng(4)
    hbbs, groups = boxes(rng, 150) + offset, rng.integers(0, 4, 150)
    found = all_pairs(iter_overlapping_pairs(hbbs, groups))
    expected = {
        (i, j) for i in range(150) for j in range(i + 1, 150) if groups[i] == groups[j] and overlap(hbbs[i], hbbs[j])
    }
    assert len(found) == len(expected)
    assert set(found) == expected


def test_overlapping_pairs_between_two_sets(strips):
    rng = np.random.default_rng(5)
    hbbs1, hbbs2 = boxes(rng, 80), boxes(rng, 90)
    groups1, groups2 = rng.integers(0, 4, 80), rng.integers(0, 4, 90)
    found = all_pairs(iter_overlapping_pairs_between(hbbs1, groups1, hbbs2, groups2))
    expected = {
        (i, j) for i in range(80) for j in range(90) if groups1[i] == groups2[j] and overlap(hbbs1[i], hbbs2[j])
    }
    assert len(found) == len(expected)
    assert set(found) == expected


def test_chunk_size_does_not_change_the_pairs(monkeypatch, strips):
    rng = np.random.default_rng(6)
    hbbs, groups = boxes(rng, 200), np.zeros(200, dtype=np.int64)
    expected = all_pairs(iter_overlapping_pairs(hbbs, groups))
    monkeypatch.setattr("rotated_atss.ops.polygon_pairs._PAIRS_PER_CHUNK", 7)
    found = all_pairs(iter_overlapping_pairs(hbbs, groups))
    assert len(found) == len(set(found))
    assert set(found) == set(expected)


def quadrilaterals(rng, count):
    """Quadrilaterals (N, 8) about as wide as the distances between them."""
    return (rng.uniform(-30, 30, (count, 1, 2)) + rng.uniform(-30, 30, (count, 4, 2))).reshape(count, 8)


def test_iou_never_exceeds_its_upper_bound():
    rng = np.random.default_rng(7)
    first, second = quadrilaterals(rng, 5000), quadrilaterals(rng, 5000)
    sides = [(polygon_hbbs(side), polygon_areas(side)) for side in (first, second)]
    assert (iou_upper_bounds(*sides[0], *sides[1]) >= polygon_ious(first, second) - 1e-12).all()


def test_no_boxes():
    empty = np.empty((0, 4)), np.empty(0, dtype=np.int64)
    assert all_pairs(iter_overlapping_pairs(*empty)) == []
    assert all_pairs(iter_overlapping_pairs_between(*empty, *empty)) == []
