"""Candidates of a batch: order of ties, and ranking by other scores than those of the threshold."""

import torch

from rotated_atss.ops.candidates import best_candidates, rank_within_groups

SIZES = [64, 16, 4]


def test_candidates_of_equal_score_keep_the_order_of_the_priors():
    candidates = best_candidates(torch.full((2, sum(SIZES), 1), 0.5), SIZES, 0.1, 3)
    assert candidates.prior_index.tolist() == [0, 1, 2, 64, 65, 66, 80, 81, 82] * 2


def test_rank_within_groups():
    assert rank_within_groups(torch.tensor([0, 0, 3, 3, 3, 7])).tolist() == [0, 1, 0, 1, 2, 0]


def test_ranking_by_other_scores_than_those_of_the_threshold():
    scores = torch.tensor([[[0.9], [0.8], [0.1], [0.7]]])
    ranking = torch.tensor([[[0.2], [0.4], [0.9], [0.3]]])
    candidates = best_candidates(scores, [4], 0.5, 2, ranking)
    assert candidates.prior_index.tolist() == [1, 3]
    torch.testing.assert_close(candidates.scores, torch.tensor([0.4, 0.3]))
