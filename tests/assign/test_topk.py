"""Assignment of the highest IoUs compared with the dense computation of the official code."""

import pytest
import torch

from rotated_atss.assign import BACKGROUND, topk_assign
from rotated_atss.assign.topk import DISTANCE_WEIGHT
from rotated_atss.ops.boxes import obb_to_hbb
from tests.references.scenes import grid_priors, random_boxes
from tests.references.slow_atss import center, contains_center, overlaps

SIZE, STRIDES = 128, (8, 16, 32)


def slow_topk(priors, gt_boxes, topk):
    """Rank all pairs in float64 as the official code does."""
    priors, gt_boxes = priors.double(), gt_boxes.double()
    distance = (center(priors)[:, None] - center(gt_boxes)).norm(dim=2)  # (A, G)
    iou = torch.tensor([overlaps(priors, box) for box in gt_boxes]).T
    score = iou - distance / distance.max() * DISTANCE_WEIGHT
    gt_index, best = [BACKGROUND] * len(priors), [0.0] * len(priors)
    for g, box in enumerate(gt_boxes):
        for i in score[:, g].topk(topk).indices.tolist():
            value = float(iou[i, g])
            if contains_center(box, priors[i]) and value > best[i]:
                gt_index[i], best[i] = g, value
    return gt_index, best


@pytest.mark.parametrize("form", [torch.clone, obb_to_hbb], ids=["oriented", "horizontal"])
@pytest.mark.parametrize("topk", [1, 9, 30])
def test_equals_the_slow_reference(form, topk):
    priors, sizes = grid_priors(SIZE, STRIDES)
    for seed in range(3):
        gt_boxes = form(random_boxes(12, seed, SIZE))
        gt_index, iou = topk_assign(form(priors), sizes, gt_boxes, topk=topk)
        expected, expected_iou = slow_topk(form(priors), gt_boxes, topk)
        assert gt_index.tolist() == expected
        assert iou.tolist() == pytest.approx(expected_iou, abs=1e-5)


def test_central_priors_win_among_equal_ious():
    """All priors inside a large box have the same IoU up to rounding."""
    priors, sizes = grid_priors(SIZE, (8,))
    gt_index, _ = topk_assign(priors, sizes, torch.tensor([[64.0, 64, 120, 120, 0.0]]), topk=9)
    positives = priors[gt_index >= 0, :2]
    assert len(positives) == 9
    assert (positives - 64).abs().max() == 8
