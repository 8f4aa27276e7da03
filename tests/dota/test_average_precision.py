"""Average precision of ranked detections against a direct implementation of its definition."""

import numpy as np
import pytest

from rotated_atss.dota.average_precision import average_precision


def slow_voc07(true_positives, false_positives, num_gt):
    num_tp, num_fp = np.cumsum(true_positives), np.cumsum(false_positives)
    recall, precision = num_tp / num_gt, num_tp / np.maximum(num_tp + num_fp, 1e-16)
    return sum(max(precision[recall >= level], default=0) / 11 for level in np.arange(0.0, 1.1, 0.1))


@pytest.mark.parametrize("num_gt", [10, 11, 30])
def test_voc07_equals_its_definition(num_gt):
    rng = np.random.default_rng(num_gt)
    kind = rng.integers(0, 3, 40)
    true_positives = (kind == 0) & (np.cumsum(kind == 0) <= 10)
    ap, recall = average_precision(true_positives, kind == 1, num_gt, "voc07")
    assert ap == pytest.approx(slow_voc07(true_positives, kind == 1, num_gt), abs=1e-12)
    assert recall == true_positives.sum() / num_gt


def test_without_detections_and_without_ground_truth():
    none = np.empty(0, dtype=bool)
    assert average_precision(none, none, 3, "voc07") == (0, 0)
    assert np.isnan(average_precision(none, none, 0, "area")).all()
