"""Greedy suppression against a loop over the boxes."""

import numpy as np
import pytest
import torch

from rotated_atss.ops import greedy_suppression
from rotated_atss.ops.greedy_suppression import decide_in_rounds, greedy_keep


def slow_keep(count, suppressors, suppressed):
    pairs = set(zip(suppressors.tolist(), suppressed.tolist()))
    kept = []
    for box in range(count):
        if not any((other, box) in pairs for other in kept):
            kept.append(box)
    return kept


def random_pairs(seed, count):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, max(count, 1), (2, 2 * count))
    pairs = np.sort(pairs[:, pairs[0] != pairs[1]], axis=0)
    return pairs[0], pairs[1]


@pytest.mark.parametrize("max_rounds", [64, 1, 0])
def test_numpy_arrays_equal_the_loop(max_rounds, monkeypatch):
    monkeypatch.setattr(greedy_suppression, "MAX_ROUNDS", max_rounds)
    for seed in range(60):
        count = 2 * seed
        pairs = random_pairs(seed, count)
        assert np.flatnonzero(greedy_keep(count, *pairs)).tolist() == slow_keep(count, *pairs)


def test_rounds_on_tensors_equal_the_loop():
    for seed in range(60):
        count = 2 * seed
        pairs = random_pairs(seed, count)
        tensors = (torch.from_numpy(side) for side in pairs)
        kept, undecided, *left = decide_in_rounds(torch.ones(count, dtype=torch.bool), *tensors, max_rounds=count)
        assert torch.nonzero(kept | undecided).squeeze(1).tolist() == slow_keep(count, *pairs)
        assert not len(left[0])
        assert not len(left[1])


def test_input_arrays_are_not_modified():
    undecided, pairs = np.ones(4, dtype=bool), (np.array([0, 1, 2]), np.array([1, 2, 3]))
    decide_in_rounds(undecided, *pairs, max_rounds=9)
    assert undecided.all()
    assert pairs[0].tolist() == [0, 1, 2]
    assert pairs[1].tolist() == [1, 2, 3]


def test_long_chains_are_followed_to_the_end():
    count = 1000  # each box suppresses only the next one, so every other box is kept
    first = np.arange(count - 1)
    assert np.flatnonzero(greedy_keep(count, first, first + 1)).tolist() == list(range(0, count, 2))
    tensors = torch.from_numpy(first), torch.from_numpy(first + 1)
    kept, undecided, *_ = decide_in_rounds(torch.ones(count, dtype=torch.bool), *tensors, max_rounds=count)
    assert torch.nonzero(kept | undecided).squeeze(1).tolist() == list(range(0, count, 2))
