"""The comparison of max-IoU assignment on tiles counts what differs and what tied IoUs explain."""

import pytest
import torch

pytest.importorskip("mmcv.ops")
pytest.importorskip("mmdet")

from benchmarks.compare_max_iou import baseline_ious, compare_tile
from rotated_atss.assign import square_priors
from rotated_atss.ops import rotated_iou
from tests.references.scenes import random_boxes


@pytest.mark.baseline
def test_baseline_skips_only_pairs_that_do_not_overlap():
    priors, gt_boxes = square_priors((128, 128))[0], random_boxes(10, 0, 128)
    assert torch.allclose(baseline_ious(priors, gt_boxes), rotated_iou(gt_boxes, priors), atol=1e-5)


@pytest.mark.baseline
def test_merged_ties_explain_the_differences():
    row = compare_tile(square_priors((128, 128))[0], random_boxes(20, 1, 128))
    assert row["objects"] == 20
    assert row["positives"] > 0
    assert row["differing priors with merged ties"] == 0
