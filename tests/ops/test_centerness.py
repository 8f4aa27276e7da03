"""Centerness against the formula for single points."""

import math

import pytest
import torch

from rotated_atss.ops.centerness import centerness


def slow(point, box, frame):
    cx, cy, w, h, angle = box
    if frame == "hbb":
        half_w = (w * abs(math.cos(angle)) + h * abs(math.sin(angle))) / 2
        half_h = (w * abs(math.sin(angle)) + h * abs(math.cos(angle))) / 2
        u, v = point[0] - cx, point[1] - cy
    else:
        half_w, half_h = w / 2, h / 2
        dx, dy = point[0] - cx, point[1] - cy
        u, v = dx * math.cos(angle) + dy * math.sin(angle), -dx * math.sin(angle) + dy * math.cos(angle)
    left, right, top, bottom = half_w + u, half_w - u, half_h + v, half_h - v
    if min(left, right, top, bottom) <= 0:
        return 0.0
    return math.sqrt(min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom))


@pytest.mark.parametrize("frame", ["hbb", "obb"])
def test_equals_the_formula(frame):
    unit = torch.rand(500, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    boxes = unit[:, :5] * torch.tensor([50.0, 50, 40, 15, 7]) + torch.tensor([0, 0, 2.0, 2, -3.5])
    points = boxes[:, :2] + (unit[:, 5:] - 0.5) * 40
    found = centerness(points, boxes, frame)
    expected = [slow(point, box, frame) for point, box in zip(points.tolist(), boxes.tolist())]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)
    assert 50 < sum(value == 0 for value in expected) < 450


@pytest.mark.parametrize("frame", ["hbb", "obb"])
def test_1_at_the_center_and_0_on_the_border(frame):
    box = torch.tensor([10.0, 20, 8, 4, 0.0])
    points = torch.tensor([[10.0, 20], [14, 20], [10, 22], [6, 22], [30, 40]])
    assert centerness(points, box, frame).tolist() == [1, 0, 0, 0, 0]


def test_frames_differ_for_a_square_rotated_by_45_degrees():
    box = torch.tensor([0.0, 0, 10, 10, math.pi / 4])
    outside = torch.tensor([6.0, 6])  # inside the circumscribed box only
    assert float(centerness(outside, box, "hbb")) == pytest.approx((5 * math.sqrt(2) - 6) / (5 * math.sqrt(2) + 6))
    assert float(centerness(outside, box, "obb")) == 0


def test_boxes_without_area_empty_input_and_unknown_frame():
    boxes = torch.tensor([[1.0, 1, 0, 0, 0], [1, 1, 5, 0, 1]])
    assert centerness(torch.ones(2, 2), boxes, "hbb")[0] == 0
    assert (centerness(torch.ones(2, 2), boxes, "obb") == 0).all()
    assert centerness(torch.zeros(0, 2), torch.zeros(0, 5)).shape == (0,)
    with pytest.raises(ValueError, match="frame must be one of hbb, obb, got 'own'"):
        centerness(torch.ones(2, 2), boxes, "own")
