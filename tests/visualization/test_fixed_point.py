"""Coordinates with fractions of a pixel."""

import cv2
import numpy as np

from rotated_atss.visualization.fixed_point import SHIFT, to_fixed_point


def test_a_line_lies_where_its_coordinates_say() -> None:
    canvas = np.zeros((9, 9, 3), np.uint8)
    first, last = to_fixed_point(np.array([[0.0, 4.5], [9.0, 4.5]])).tolist()  # through the centers of row 4
    cv2.line(canvas, first, last, (255, 255, 255), 1, cv2.LINE_AA, SHIFT)
    assert canvas[:, 4, 0].argmax() == 4
    assert canvas[[3, 5], 4, 0].max() < canvas[4, 4, 0] / 2


def test_fractions_are_rounded_to_sixteenths() -> None:
    points = np.random.default_rng(0).uniform(-50, 50, (100, 2))
    exact = to_fixed_point(points) / 2**SHIFT + 0.5
    assert np.abs(exact - points).max() <= 1 / 32
