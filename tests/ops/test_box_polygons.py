"""Corners of NumPy equal those of torch."""

import numpy as np
import pytest
import torch

from rotated_atss.ops.box_polygons import box_polygons, hbb_polygons, obb_polygons
from rotated_atss.ops.boxes import hbb_to_obb, obb_to_poly

RNG = np.random.default_rng(0)
BOXES = np.concatenate([RNG.uniform(0, 4000, (500, 2)), RNG.uniform(1, 200, (500, 2)), RNG.uniform(-4, 4, (500, 1))], 1)
HBBS = np.concatenate([BOXES[:, :2], BOXES[:, :2] + BOXES[:, 2:4]], 1)


def test_corners_of_oriented_boxes_equal_those_of_torch() -> None:
    np.testing.assert_allclose(obb_polygons(BOXES), obb_to_poly(torch.from_numpy(BOXES)).numpy(), atol=1e-9)


def test_corners_of_horizontal_boxes_equal_those_of_torch() -> None:
    expected = obb_to_poly(hbb_to_obb(torch.from_numpy(HBBS))).numpy()
    np.testing.assert_allclose(hbb_polygons(HBBS), expected, atol=1e-9)


@pytest.mark.parametrize("boxes", [BOXES, HBBS], ids=["oriented", "horizontal"])
def test_columns_decide_on_the_kind(boxes: np.ndarray) -> None:
    expected = obb_polygons(boxes) if boxes.shape[1] == 5 else hbb_polygons(boxes)
    for given in (boxes, boxes.tolist(), torch.from_numpy(boxes)):
        assert np.array_equal(box_polygons(given), expected)


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), torch.zeros(0, 5)])
def test_no_boxes(boxes: object) -> None:
    assert box_polygons(boxes).shape == (0, 8)
