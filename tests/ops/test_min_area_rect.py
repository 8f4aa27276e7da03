"""Rectangles of NumPy equal those of torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from rotated_atss.ops.box_polygons import obb_polygons
from rotated_atss.ops.boxes import poly_to_obb
from rotated_atss.ops.min_area_rect import min_area_boxes
from rotated_atss.ops.polygon_iou import polygon_areas, polygon_ious

RNG = np.random.default_rng(0)
BOXES = np.concatenate(
    [RNG.uniform(0, 4000, (9000, 2)), RNG.uniform(1, 200, (9000, 2)), RNG.uniform(-4, 4, (9000, 1))], 1
)
POLYGONS = {
    "rectangles": obb_polygons(BOXES),
    "any": RNG.uniform(0, 1000, (500, 8)),
    "integers": RNG.integers(0, 6, (500, 8)).astype(float),  # ties, coinciding and collinear corners
    "axis-aligned": np.array([[0.0, 0, 2, 0, 2, 8, 0, 8], [0, 0, 8, 0, 8, 2, 0, 2], [3, 3, 5, 3, 5, 5, 3, 5]]),
}


@pytest.mark.parametrize("polygons", POLYGONS.values(), ids=POLYGONS)
def test_boxes_equal_those_of_torch(polygons: np.ndarray) -> None:
    boxes, expected = min_area_boxes(polygons), poly_to_obb(torch.from_numpy(polygons), "le90").numpy()
    np.testing.assert_allclose(boxes[:, :4], expected[:, :4], atol=1e-8)
    different = np.remainder(boxes[:, 4] - expected[:, 4] + np.pi / 2, np.pi) - np.pi / 2
    square = np.isclose(boxes[:, 2], boxes[:, 3])  # rounding decides which side is the long one
    np.testing.assert_allclose(different[~square], 0, atol=1e-8)
    assert ((boxes[:, 4] >= -np.pi / 2) & (boxes[:, 4] < np.pi / 2)).all()
    assert (boxes[:, 2] >= boxes[:, 3]).all()


def test_rectangles_keep_their_shape() -> None:
    polygons = POLYGONS["rectangles"]
    again = obb_polygons(min_area_boxes(polygons))
    np.testing.assert_allclose(polygon_areas(again), polygon_areas(polygons), rtol=1e-9)
    np.testing.assert_allclose(polygon_ious(again, polygons), 1, atol=1e-6)


def test_empty_and_points() -> None:
    assert min_area_boxes(np.empty((0, 8))).shape == (0, 5)
    assert min_area_boxes(np.full((1, 8), 3.0)).tolist() == [[3, 3, 0, 0, 0]]


def test_no_torch_is_imported() -> None:
    code = "import sys, rotated_atss.ops.min_area_rect; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
