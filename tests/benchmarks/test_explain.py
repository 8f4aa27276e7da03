"""Causes of differing assignments: replay with exchanged candidates and IoUs."""

import pytest
import torch

from benchmarks import explain, inputs
from rotated_atss.assign import atss_assign


@pytest.fixture
def scene():
    priors, level_sizes = inputs.priors(256)
    return priors, level_sizes, inputs.scene(20, 1, size=256, grid=4)


def own_candidates(scene):
    priors, level_sizes, gt_boxes = scene
    return explain.nearest_priors(priors[:, :2], level_sizes, gt_boxes[:, :2], explain.TOPK)


def test_replay_with_own_candidates_and_ious_gives_the_own_assignment(scene):
    priors, level_sizes, gt_boxes = scene
    candidates = own_candidates(scene)
    iou = explain.exact_ious(priors, gt_boxes, candidates)
    result = explain.replay(priors, gt_boxes, candidates, iou)
    assert torch.equal(result, atss_assign(priors, level_sizes, gt_boxes)[0])


def causes(scene, monkeypatch, choose=lambda own: own, wrong=0.0):
    """The causes found for a baseline with other candidates, and IoUs too high by ``wrong`` for every third of them."""
    priors, level_sizes, gt_boxes = scene
    candidates = choose(own_candidates(scene))

    def ious(priors, gt_boxes, candidates, device):
        return explain.exact_ious(priors, gt_boxes, candidates) + wrong * (candidates % 3 == 0)

    monkeypatch.setattr(explain, "baseline_candidates", lambda *_: candidates)
    monkeypatch.setattr(explain, "baseline_ious", ious)
    baseline = explain.replay(priors, gt_boxes, candidates, ious(priors, gt_boxes, candidates, "cpu"))
    result = atss_assign(priors, level_sizes, gt_boxes)[0]
    return {each["cause"] for each in explain.explain(priors, level_sizes, gt_boxes, result, baseline)}


def test_wrong_ious_of_the_baseline_are_the_cause(scene, monkeypatch):
    assert causes(scene, monkeypatch, wrong=0.2) == {explain.WRONG}


def test_distance_ties_are_the_cause(scene, monkeypatch):
    priors, level_sizes, gt_boxes = scene

    def highest_index(_):
        """The highest index of equally distant priors instead of the lowest."""
        flipped = explain.nearest_priors(priors.flip(0)[:, :2], level_sizes[::-1], gt_boxes[:, :2], explain.TOPK)
        levels = (len(priors) - 1 - flipped).split([min(explain.TOPK, size) for size in level_sizes[::-1]], 1)
        return torch.cat(levels[::-1], 1)

    assert causes(scene, monkeypatch, highest_index) == {explain.TIE}


def test_other_candidates_without_a_tie_stay_unexplained(scene, monkeypatch):
    last = len(scene[0]) - 1
    assert causes(scene, monkeypatch, lambda own: (own + 3).clamp(max=last)) == {explain.UNEXPLAINED}
