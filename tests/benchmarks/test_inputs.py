"""Seeded inputs of the benchmarks: pairs and scenes."""

import math

import pytest
import torch

from benchmarks import inputs
from rotated_atss.ops import rotated_iou, rotated_nms


@pytest.mark.parametrize("kind", inputs.PAIR_KINDS)
def test_pairs_of_each_kind_are_seeded_and_have_the_stated_geometry(kind):
    first, second = inputs.pairs(kind, 300)
    again = inputs.pairs(kind, 300)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    sides = torch.cat((first, second))[:, 2:4]
    assert sides.min() >= 2 - 1e-3
    assert sides.max() <= 62 + 1e-3
    iou = rotated_iou(first, second, aligned=True)
    assert (iou > 0.99).all() if kind in ("identical", "jittered", "swapped") else 0.2 < (iou > 0).double().mean() <= 1
    assert (first[:, :2].mean() > 19_000) == (kind == "far")


def test_scenes_and_harbor_have_the_stated_geometry():
    assert (inputs.scene(50, grid=4)[:, :2] % 4 == 0).all()
    axis_aligned = inputs.scene(50, grid=4, axis_aligned=True)
    assert set(axis_aligned[:, 4].tolist()) == {0.0, float(torch.tensor(-math.pi / 2))}
    assert (axis_aligned[:, 2:4] % 4 == 0).all()
    boxes, scores, labels = inputs.harbor(40, 5)
    assert boxes.shape == (200, 5)
    assert len(set(scores.tolist())) == 200
    assert set(labels.tolist()) == {0}
    assert abs(len(rotated_nms(boxes, scores, labels, 0.3)) - 40) <= 2  # NMS keeps one detection per ship


def test_all_boxes_of_a_crowd_overlap():
    assert (rotated_iou(inputs.crowd(60), inputs.crowd(70, 1)) > 0).all()
