"""NMS and IoU of oriented boxes in NumPy, compared with those of torch."""

import numpy as np
import pytest
import torch

from rotated_atss.ops import polygon_nms as suppression
from rotated_atss.ops import rotated_iou, rotated_nms
from rotated_atss.ops.box_ious import box_ious
from rotated_atss.ops.box_nms import box_nms


def crowd(seed, count, groups=3):
    """Jittered copies of a few boxes, many with equal scores."""
    draw = np.random.default_rng(seed)
    objects = draw.uniform((0, 0, 10, 5, -4), (400, 400, 60, 40, 4), (max(count // 4, 1), 5))
    boxes = objects[draw.integers(0, len(objects), count)] + draw.normal(0, 1, (count, 5)) * [3, 3, 2, 2, 0.1]
    return boxes, draw.integers(0, 20, count) / 20, draw.integers(0, groups, count)


def torch_nms(boxes, scores, threshold, groups):
    return rotated_nms(*map(torch.from_numpy, (boxes, scores, groups)), threshold).tolist()


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("pairs_per_row", "block"), [(1000, 1024), (0, 20)])
def test_the_same_rows_as_torch_in_the_same_order(monkeypatch, threshold, pairs_per_row, block):
    monkeypatch.setattr(suppression, "_MAX_PAIRS_PER_SHAPE", pairs_per_row)
    monkeypatch.setattr(suppression, "_BLOCK_SIZE", block)
    boxes, scores, groups = crowd(0, 2000)
    keep = box_nms(boxes, scores, threshold, groups).tolist()
    assert keep == torch_nms(boxes, scores, threshold, groups)
    assert 200 < len(keep) < 1900


@pytest.mark.parametrize("threshold", [1 / 3, 0.5])
def test_overlaps_of_exactly_the_threshold(threshold):
    draw = np.random.default_rng(1)
    centers = draw.integers(0, 60, (3000, 2)) * 5.0
    boxes = np.concatenate((centers, np.tile([20.0, 10.0, 0.0], (3000, 1))), axis=1)  # IoU 1/3 at a shift of 10 px
    scores, groups = draw.integers(0, 9, 3000) / 9, np.zeros(3000, np.int64)
    assert box_nms(boxes, scores, threshold, groups).tolist() == torch_nms(boxes, scores, threshold, groups)


def test_ious_of_torch():
    boxes, _, _ = crowd(2, 6000)
    first, second = boxes[:3000], boxes[3000:]
    near = np.concatenate((second[:1500], first[1500:] + 0.3))
    expected = rotated_iou(torch.from_numpy(first), torch.from_numpy(near), aligned=True).numpy()
    np.testing.assert_allclose(box_ious(first, near), expected, rtol=0, atol=1e-12)
    assert (expected == 0).sum() > 500
    assert (expected > 0.5).sum() > 500


def test_nearly_parallel_boxes():
    angles = 10.0 ** -np.arange(1, 324)  # the inverse of the smallest overflows
    first = np.tile([30.0, 20, 40, 10, 0], (len(angles), 1))
    second = np.concatenate((first[:, :4] + [5, 0, 0, 0], angles[:, None]), axis=1)
    assert box_ious(first, second)[10:] == pytest.approx(350 / 450)


def test_boxes_without_area_and_infinite_boxes_are_kept_and_suppress_nothing():
    boxes = np.tile([10.0, 10, 8, 4, 0.2], (6, 1))
    boxes[0, 0], boxes[1, 4], boxes[2, 2], boxes[3, 3] = np.nan, np.inf, 0, -4
    scores, groups = np.linspace(1, 0.5, 6), np.zeros(6, np.int64)
    assert box_nms(boxes, scores, 0.1).tolist() == [0, 1, 2, 3, 4]
    assert torch_nms(boxes, scores, 0.1, groups) == [0, 1, 2, 3, 4]


def test_nan_scores_rank_last_and_no_boxes_give_none():
    boxes = np.array([[x, 10, 8, 4, 0.2] for x in (10, 110, 210)])
    assert box_nms(boxes, np.array([np.nan, 0.1, 0.3]), 0.1).tolist() == [2, 1, 0]
    assert box_nms(np.empty((0, 5)), np.empty(0), 0.1).shape == (0,)
