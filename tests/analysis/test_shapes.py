"""Size, aspect ratio and angle, the same for polygons, oriented boxes and horizontal boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rotated_atss.analysis.shapes import fit_shapes, shapes_of_boxes
from rotated_atss.ops.box_polygons import box_polygons

RNG = np.random.default_rng(0)
BOXES = np.concatenate([RNG.uniform(0, 900, (200, 2)), RNG.uniform(1, 99, (200, 2)), RNG.uniform(-7, 7, (200, 1))], 1)


def test_boxes_equal_a_slow_reference() -> None:
    shapes = shapes_of_boxes(BOXES)
    for row, (_, _, w, h, angle) in enumerate(BOXES.tolist()):
        degrees = math.degrees(angle if w >= h else angle + math.pi / 2)
        while degrees >= 90:
            degrees -= 180
        while degrees < -90:
            degrees += 180
        assert shapes.size[row] == pytest.approx(math.sqrt(w * h), abs=1e-6)
        assert shapes.aspect_ratio[row] == pytest.approx(max(w, h) / min(w, h), abs=1e-6)
        assert shapes.angle_deg[row] == pytest.approx(degrees, abs=1e-6)


@pytest.mark.parametrize("boxes", [BOXES, np.sort(RNG.uniform(0, 99, (50, 4)))], ids=["oriented", "horizontal"])
def test_boxes_and_their_polygons_have_equal_shapes(boxes: np.ndarray) -> None:
    expected, shapes = fit_shapes(box_polygons(boxes)), shapes_of_boxes(boxes)
    np.testing.assert_allclose(shapes.boxes[:, :4], expected.boxes[:, :4], atol=1e-8)
    np.testing.assert_allclose(shapes.angle_deg, expected.angle_deg, atol=2e-6)


@pytest.mark.parametrize(
    ("box", "degrees"),
    [
        ((0, 0, 8, 2, 0), 0), ((0, 0, 2, 8, 0), -90), ((0, 0, 8, 2, math.pi / 2), -90),
        ((0, 0, 8, 2, -math.pi), 0), ((0, 0, 8, 2, -1e-12), 0), ((0, 0, 8, 2, math.pi / 4 - 1e-12), 45),
    ],
)  # fmt: skip
def test_angles_at_the_limit_of_a_group(box: tuple[float, ...], degrees: float) -> None:
    assert shapes_of_boxes(np.array([box])).angle_deg.tolist() == [degrees]


@pytest.mark.parametrize("columns", [4, 5])
def test_no_boxes_and_boxes_without_area(columns: int) -> None:
    assert shapes_of_boxes(np.zeros((0, columns))).size.shape == (0,)
    point = shapes_of_boxes(np.zeros((1, columns)))
    assert (point.size.tolist(), point.aspect_ratio.tolist(), point.angle_deg.tolist()) == ([0], [1], [0])
