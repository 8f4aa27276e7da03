"""Selection of detections in NumPy, compared with that of torch for the same outputs."""

import numpy as np
import pytest
import torch

from rotated_atss.checkpoints.model_info import Thresholds
from rotated_atss.ops import candidates as in_torch
from rotated_atss.runtime.selection import best_candidates, suppress_candidates

LEVEL_SIZES, CLASSES = [600, 150, 40, 0, 10], 3
LIMITS = Thresholds(score=0.05, nms_iou=0.1, nms_pre=90, max_per_image=60, merge_iou=0.1)


def outputs(seed):
    """Scores (A, C) of few different values, final scores (A, C), and boxes (A, 5), all float32."""
    draw = np.random.default_rng(seed)
    count = sum(LEVEL_SIZES)
    scores = draw.integers(0, 40, (count, CLASSES)) / np.float32(40)
    final = scores * (draw.integers(0, 5, (count, 1)) / np.float32(4))
    objects = draw.uniform((0, 0, 10, 5, -1.5), (400, 400, 60, 40, 1.5), (60, 5))
    boxes = objects[draw.integers(0, 60, count)] + draw.normal(0, 1, (count, 5)) * [2, 2, 1, 1, 0.05]
    return scores.astype(np.float32), final.astype(np.float32), boxes.astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("nms_pre", [0, 1, 90, 10_000])
@pytest.mark.parametrize("is_ranked_by_final", [False, True])
def test_the_same_pairs_as_torch_in_the_same_order(seed, nms_pre, is_ranked_by_final):
    scores, final, _ = outputs(seed)
    ranking = final if is_ranked_by_final else None
    ranking_tensor = None if ranking is None else torch.from_numpy(ranking)[None]
    expected = in_torch.best_candidates(torch.from_numpy(scores)[None], LEVEL_SIZES, 0.05, nms_pre, ranking_tensor)
    priors, labels = best_candidates(scores, LEVEL_SIZES, 0.05, nms_pre, ranking)
    assert priors.tolist() == expected.prior_index.tolist()
    assert labels.tolist() == expected.labels.tolist()
    ranked_by = scores if ranking is None else ranking
    assert ranked_by[priors, labels].tolist() == expected.scores.tolist()
    assert len(priors) >= min(nms_pre or 1, 90)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_detections_as_torch(seed):
    scores, _, boxes = outputs(seed)
    scores[5] = np.nan  # not above the threshold
    candidates = in_torch.best_candidates(torch.from_numpy(scores)[None], LEVEL_SIZES, LIMITS.score, LIMITS.nms_pre)
    boxes_of_candidates = candidates.gather(torch.from_numpy(boxes)[None])
    expected = in_torch.suppress_candidates(
        boxes_of_candidates, candidates, CLASSES, LIMITS.nms_iou, LIMITS.max_per_image
    )
    priors, labels = best_candidates(scores, LEVEL_SIZES, LIMITS.score, LIMITS.nms_pre)
    kept = suppress_candidates(boxes[priors], scores[priors, labels], labels, LIMITS)
    assert kept.tolist() == expected.tolist()
    assert len(kept) == LIMITS.max_per_image


def test_equal_scores_are_in_the_order_of_priors_and_classes():
    scores = np.full((4, 2), 0.5, np.float32)
    priors, labels = best_candidates(scores, [3, 1], 0.1, 4)
    assert list(zip(priors.tolist(), labels.tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1), (3, 0), (3, 1)]


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.3])
def test_scores_equal_to_the_threshold_are_left_out(threshold):
    scores = np.array([[threshold], [np.nextafter(np.float32(threshold), np.float32(1))]], np.float32)
    expected = in_torch.best_candidates(torch.from_numpy(scores)[None], [2], threshold, 0).prior_index.tolist()
    assert best_candidates(scores, [2], threshold, 0)[0].tolist() == expected == [1]


def test_nan_ranks_last():
    ranking = np.array([[np.nan], [0.2], [np.nan], [0.4], [0.1]], np.float32)
    for nms_pre, expected in ((0, [3, 1, 4, 0, 2]), (2, [3, 1]), (4, [3, 1, 4, 0])):
        assert best_candidates(np.full((5, 1), 0.5), [5], 0.1, nms_pre, ranking)[0].tolist() == expected


def test_no_pairs_above_the_threshold():
    priors, labels = best_candidates(np.zeros((4, 2), np.float32), [4], 0.1, 10)
    assert (priors.shape, labels.shape) == ((0,), (0,))
    assert suppress_candidates(np.empty((0, 5)), np.empty(0), labels, LIMITS).shape == (0,)
