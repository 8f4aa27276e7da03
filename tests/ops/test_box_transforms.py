"""Flips, rotations and resizing of boxes against the transformed corners."""

import math

import numpy as np
import pytest
import torch

from rotated_atss.ops.box_transforms import clamp_centers, flip_obb, rot90_obb, rotate_obb, scale_obb
from rotated_atss.ops.boxes import ANGLE_VERSIONS, obb_to_corners, poly_to_obb
from tests.ops.test_boxes import random_boxes
from tests.references.corners import corner_distance


def mirror(corners, image_wh, direction):
    corners = corners.clone()
    if direction in ("horizontal", "diagonal"):
        corners[..., 0] = image_wh[0] - corners[..., 0]
    if direction in ("vertical", "diagonal"):
        corners[..., 1] = image_wh[1] - corners[..., 1]
    return corners


@pytest.mark.parametrize("angle_version", [None, *ANGLE_VERSIONS])
@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_flip_of_a_box_flips_its_corners(direction, angle_version):
    boxes, image_wh = random_boxes(1000), (640, 480)
    flipped = flip_obb(boxes, image_wh, direction, angle_version)
    assert corner_distance(obb_to_corners(flipped), mirror(obb_to_corners(boxes), image_wh, direction)).max() < 1e-9


@pytest.mark.parametrize("angle_version", [None, *ANGLE_VERSIONS])
@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3, 5])
def test_rot90_of_a_box_follows_its_pixel(turns, angle_version):
    """The box of a single pixel moves to the position of that pixel in the array rotated by NumPy."""
    width, height = 7, 4
    for x, y in ((0, 0), (6, 0), (2, 3), (5, 1)):
        image = np.zeros((height, width))
        image[y, x] = 1
        row, column = np.argwhere(np.rot90(image, -turns))[0]
        box = torch.tensor([[x + 0.5, y + 0.5, 1.0, 0.4, 0.3]], dtype=torch.float64)
        rotated = rot90_obb(box, (width, height), turns, angle_version)
        assert rotated[0, :2].tolist() == pytest.approx([column + 0.5, row + 0.5])
    boxes = random_boxes(300)
    corners = obb_to_corners(boxes)
    for _ in range(turns % 4):
        corners = torch.stack((height - corners[..., 1], corners[..., 0]), -1)
        width, height = height, width
    assert corner_distance(obb_to_corners(rot90_obb(boxes, (7, 4), turns, angle_version)), corners).max() < 1e-9


@pytest.mark.parametrize("angle_version", [None, *ANGLE_VERSIONS])
def test_rotation_of_a_box_rotates_its_corners(angle_version):
    boxes, center, angle = random_boxes(1000), (30.0, -20.0), 0.7
    corners = obb_to_corners(boxes) - torch.tensor(center, dtype=torch.float64)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = corners.unbind(-1)
    expected = torch.stack((cos * x - sin * y + center[0], sin * x + cos * y + center[1]), -1)
    assert corner_distance(obb_to_corners(rotate_obb(boxes, center, angle, angle_version)), expected).max() < 1e-8


def test_resizing():
    boxes = random_boxes(500)
    assert corner_distance(obb_to_corners(scale_obb(boxes, (0.5, 0.5))), obb_to_corners(boxes) * 0.5).max() < 1e-9
    unequal = scale_obb(boxes, (2.0, 0.5))
    corners = (obb_to_corners(boxes) * torch.tensor([2.0, 0.5], dtype=torch.float64)).flatten(1)
    assert torch.allclose(unequal, poly_to_obb(corners))


def test_centers_are_clamped_to_pixel_indices_of_each_image():
    boxes = torch.tensor([[-5.0, 10, 8, 4, 0.3], [200, 90, 8, 4, 0.3], [40, 63.5, 8, 4, 0.3]])
    clamped = clamp_centers(boxes, torch.tensor([[64, 100], [64, 100], [100, 100]]))
    assert clamped[:, :2].tolist() == [[0, 10], [99, 63], [40, 63.5]]
    assert torch.equal(clamped[:, 2:], boxes[:, 2:])
    assert clamp_centers(boxes[:0], torch.tensor([64, 100])).shape == (0, 5)
