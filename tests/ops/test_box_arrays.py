"""Conversions of boxes in NumPy, compared with those of torch."""

import numpy as np
import pytest
import torch

from rotated_atss.ops import box_transforms
from rotated_atss.ops import boxes as tensors
from rotated_atss.ops.box_arrays import as_obbs, hbbs_to_obbs, obbs_to_hbbs, scale_obbs

BOXES = np.random.default_rng(0).uniform((-50, 0, 2, 2, -4), (900, 900, 90, 40, 4), (500, 5))


def test_horizontal_boxes_of_oriented_boxes_and_back():
    hbbs = obbs_to_hbbs(BOXES)
    np.testing.assert_allclose(hbbs, tensors.obb_to_hbb(torch.from_numpy(BOXES)), atol=1e-9)
    np.testing.assert_allclose(hbbs_to_obbs(hbbs), tensors.hbb_to_obb(torch.from_numpy(hbbs)), atol=1e-9)
    assert as_obbs(BOXES) is BOXES
    assert as_obbs(hbbs).shape == (500, 5)


@pytest.mark.parametrize("scale_xy", [(0.5, 0.5), (1.5, 0.75), (0.4, 2.0)])
def test_scaling(scale_xy):
    expected = box_transforms.scale_obb(torch.from_numpy(BOXES), scale_xy).numpy()
    scaled = scale_obbs(BOXES, scale_xy)
    np.testing.assert_allclose(scaled[:, :4], expected[:, :4], atol=1e-6)
    turns = (scaled[:, 4] - expected[:, 4]) / np.pi  # the angle -pi/2 can round to pi/2
    np.testing.assert_allclose(turns, turns.round(), atol=1e-6)


def test_no_boxes():
    empty = np.empty((0, 5))
    assert obbs_to_hbbs(empty).shape == (0, 4)
    assert hbbs_to_obbs(np.empty((0, 4))).shape == (0, 5)
    assert scale_obbs(empty, (2, 1)).shape == (0, 5)
