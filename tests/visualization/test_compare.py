"""Pictures of an image beside itself, and points."""

from __future__ import annotations

import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.visualization.compare import draw_points, draw_truth_and_detections

BOX = np.array([[20.0, 10, 40, 10, 40, 30, 20, 30]])


def test_truth_is_left_and_detections_above_the_score_are_right():
    image = np.full((60, 80, 3), 90, np.uint8)
    picture = draw_truth_and_detections(image, (BOX, ["ship"]), (np.zeros((0, 8)), [], []))
    again = draw_truth_and_detections(image, (np.zeros((0, 8)), []), (BOX, ["ship"], [0.9]))
    low = draw_truth_and_detections(image, (np.zeros((0, 8)), []), (BOX, ["ship"], [0.2]))
    changed = [np.argwhere((each[24:84] != 90).any(2))[:, 1] for each in (picture, again, low)]
    half = picture.shape[1] // 2

    def has_box(columns, left):
        inside = (columns >= left + 18) & (columns <= left + 42)
        return int(inside.sum()) > 60

    assert has_box(changed[0], 6)
    assert not has_box(changed[0], half + 3)
    assert not has_box(changed[1], 6)
    assert has_box(changed[1], half + 3)
    assert not has_box(changed[2], half + 3)
    assert (image == 90).all()


def test_a_large_image_is_reduced_before_the_boxes_are_drawn():
    image = np.zeros((100, 2000, 3), np.uint8)
    box = np.array([[1000.0, 20, 1600, 20, 1600, 80, 1000, 80]])
    picture = draw_truth_and_detections(image, (box, ["ship"]), (box, ["ship"], [0.9]), max_side=500)
    assert picture.shape[1] == 2 * 500 + 3 * 6
    points = draw_points(image, np.array([[1000.0, 50.0]]), [(255, 255, 255)], max_side=500)
    assert points.shape == (25, 500, 3)
    rows, columns = np.nonzero(points[..., 0])
    assert abs(columns.mean() - 249.5) < 1
    assert abs(rows.mean() - 12.0) < 1


def test_points_are_placed_at_centers_of_pixels_and_have_their_colors():
    image = np.zeros((30, 40, 3), np.uint8)
    drawn = draw_points(image, np.array([[5.5, 6.5], [20.5, 10.5]]), [(255, 0, 0), (0, 0, 255)], radius=1)
    assert drawn[6, 5].tolist() == [0, 0, 255]  # BGR
    assert drawn[10, 20].tolist() == [255, 0, 0]
    assert not image.any()
    with pytest.raises(UserError, match="one color per point, got 1 for 2"):
        draw_points(image, np.zeros((2, 2)), [(0, 0, 0)])
