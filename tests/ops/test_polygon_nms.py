"""Polygon NMS against a slow loop."""

import numpy as np
import pytest

from rotated_atss.ops import greedy_suppression
from rotated_atss.ops import polygon_nms as nms
from rotated_atss.ops.polygon_iou import polygon_ious
from rotated_atss.ops.polygon_nms import polygon_nms


def crowd(rng, count, groups=3):
    """Jittered copies of a few boxes, some with equal scores."""
    centers = rng.uniform(0, 300, (max(count // 4, 1), 2))[rng.integers(0, max(count // 4, 1), count)]
    centers = centers + rng.normal(0, 4, (count, 2))
    angle, size = rng.uniform(0, np.pi, count), rng.uniform(10, 50, (count, 2))
    across = np.stack([np.cos(angle), np.sin(angle)], axis=1) * size[:, :1] / 2
    along = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * size[:, 1:] / 2
    corners = np.stack([-across - along, across - along, across + along, along - across], axis=1) + centers[:, None]
    return corners.reshape(count, 8), rng.integers(0, 20, count) / 20, rng.integers(0, groups, count)


def slow_nms(polygons, scores, threshold, groups):
    order = sorted(range(len(scores)), key=lambda row: -scores[row])  # stable
    keep = []
    for row in order:
        same = [other for other in keep if groups[other] == groups[row]]
        ious = polygon_ious(polygons[same], np.repeat(polygons[row][None], len(same), axis=0))
        if not (ious > threshold).any():
            keep.append(row)
    return keep


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("pairs_per_row", "block"), [(1000, 1024), (0, 4096), (0, 5)])
@pytest.mark.parametrize("rounds", [64, 1])
def test_equals_the_slow_loop(monkeypatch, threshold, pairs_per_row, block, rounds):
    monkeypatch.setattr(nms, "_MAX_PAIRS_PER_SHAPE", pairs_per_row)
    monkeypatch.setattr(nms, "_BLOCK_SIZE", block)
    monkeypatch.setattr(greedy_suppression, "MAX_ROUNDS", rounds)
    monkeypatch.setattr(nms, "_MAX_BATCH_PAIRS", 500)
    polygons, scores, groups = crowd(np.random.default_rng(0), 300)
    keep = polygon_nms(polygons, scores, threshold, groups).tolist()
    assert keep == slow_nms(polygons, scores, threshold, groups)
    assert 10 < len(keep) < 290


def test_equal_scores_keep_the_first_polygon():
    polygons = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]] * 3)
    assert polygon_nms(polygons, np.array([0.5, 0.5, 0.5]), 0.1).tolist() == [0]
    assert polygon_nms(polygons, np.array([0.5, 0.6, 0.6]), 0.1).tolist() == [1]


def test_iou_equal_to_the_threshold_does_not_suppress():
    polygons = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10], [0.0, 5, 10, 5, 10, 10, 0, 10]])  # IoU 0.5
    assert len(polygon_nms(polygons, np.array([1.0, 0.5]), 0.5)) == 2
    assert len(polygon_nms(polygons, np.array([1.0, 0.5]), 0.49999)) == 1


def test_groups_never_suppress_each_other_at_negative_coordinates():
    polygons = np.array([[-10.0, -10, 0, -10, 0, 0, -10, 0]] * 2)
    assert polygon_nms(polygons, np.ones(2), 0.1, np.array([7, -3])).tolist() == [0, 1]


def test_empty_input_and_polygons_without_area():
    assert polygon_nms(np.empty((0, 8)), np.empty(0), 0.1).shape == (0,)
    assert polygon_nms(np.ones((3, 8)), np.array([0.1, 0.3, 0.2]), 0.1).tolist() == [1, 2, 0]


def test_thousands_of_polygons_at_one_place():
    rng = np.random.default_rng(1)
    polygons = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]]) + rng.normal(0, 0.01, (6000, 8))
    scores = rng.uniform(size=6000)
    assert polygon_nms(polygons, scores, 0.5).tolist() == [scores.argmax()]
