"""Summary of training data, and the overlap of windows."""

from __future__ import annotations

import numpy as np
import pytest

from rotated_atss.checkpoints.model_info import TrainingData, Window
from rotated_atss.checkpoints.training_summary import summarize_training_data, widen_gap


def data(longest):
    return TrainingData(tiles=1, images=1, objects={"ship": 1}, longer_side={"0.99": longest, "1": 900.0})


def test_summary_counts_classes_and_sides():
    rng = np.random.default_rng(0)
    sides, labels = rng.uniform(5, 50, (1000, 2)), rng.integers(0, 2, 1000)
    summary = summarize_training_data(sides, labels, ["a", "b", "c"], tiles=10, images=None)
    assert summary.objects == {"a": int((labels == 0).sum()), "b": int((labels == 1).sum()), "c": 0}
    assert summary.longer_side["0.99"] == pytest.approx(np.quantile(sides.max(1), 0.99), abs=0.05)
    assert summary.shorter_side["0.01"] == pytest.approx(np.quantile(sides.min(1), 0.01), abs=0.05)
    assert (summary.tiles, summary.images) == (10, None)


def test_summary_without_objects():
    summary = summarize_training_data(np.zeros((0, 2)), np.zeros(0, int), ["a"], tiles=3, images=1)
    assert (summary.objects, summary.longer_side, summary.shorter_side) == ({"a": 0}, {}, {})


@pytest.mark.parametrize(
    ("window", "longest", "gap"),
    [
        ((1024, 200), 90.5, 200),  # at least the overlap of the split
        ((1024, 200), 300.1, 301),  # rounded up
        ((1024, 200), 800.0, 512),  # at most half a window
        ((1024, 700), 800.0, 700),  # but not less than the split's
        ((33, 8), 20.0, 16),
        ((0, 0), 90.0, 0),  # whole images
    ],
)
def test_overlap_follows_from_the_size_of_the_objects(window, longest, gap):
    assert widen_gap(Window(*window), data(longest)) == Window(window[0], gap)


def test_overlap_without_objects_is_that_of_the_split():
    window = Window(256, 64)
    assert widen_gap(window, None) is window
    assert widen_gap(window, TrainingData(tiles=1, images=1, objects={})) is window
