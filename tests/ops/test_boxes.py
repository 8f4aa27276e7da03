"""Angle versions and conversions, compared by corner sets, which do not depend on the angle version."""

import math

import numpy as np
import pytest
import torch

from rotated_atss.ops import boxes as geometry
from tests.references import tolerances
from tests.references.corners import corner_distance

RANGES = {"oc": (0.0, math.pi / 2), "le90": (-math.pi / 2, math.pi / 2), "le135": (-math.pi / 4, 3 * math.pi / 4)}
SPECIAL_ANGLES = [k * math.pi / 8 for k in range(-40, 41)] + [1e-9, -1e-9, 1e-5, -1e-5, 3.0, -3.0]


def random_boxes(count, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(count, 5, generator=generator, dtype=torch.float64)
    return (unit * torch.tensor([400, 300, 90, 60, 14]) + torch.tensor([-50, -50, 1, 1, -7])).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle_version", geometry.ANGLE_VERSIONS)
def test_normalize_keeps_the_rectangle_and_the_angle_range(angle_version, dtype):
    special = torch.tensor([[10.0, 20.0, w, h, a] for a in SPECIAL_ANGLES for w, h in ((8, 3), (3, 8), (5, 5))])
    for boxes in (random_boxes(5000, dtype), special.to(dtype)):
        normal = geometry.normalize_obb(boxes, angle_version)
        distance = corner_distance(geometry.obb_to_corners(normal), geometry.obb_to_corners(boxes)).max()
        assert distance < tolerances.CORNERS[dtype]
        low, high = RANGES[angle_version]
        # compared in float64 and in the boxes' dtype, so that no rounding of pi leaves the range
        for angle, low_, high_ in ((normal[:, 4].double(), low, high), (normal[:, 4], low, high)):
            if angle_version == "oc":
                assert (angle > low_).all()
                assert (angle <= high_).all()
            else:
                assert (angle >= low_).all()
                assert (angle < high_).all()
                assert (normal[:, 2] >= normal[:, 3]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle_version", geometry.ANGLE_VERSIONS)
def test_normalize_returns_normalized_boxes_bit_for_bit(angle_version, dtype):
    once = geometry.normalize_obb(random_boxes(5000, dtype), angle_version)
    assert torch.equal(geometry.normalize_obb(once, angle_version), once)


def test_angle_ranges_are_half_open():
    box = torch.tensor([[0.0, 0.0, 4.0, 2.0, 0.0]], dtype=torch.float64)
    assert geometry.normalize_obb(box, "oc")[0].tolist() == pytest.approx(
        [0, 0, 2, 4, math.pi / 2]
    )  # 0 is outside (0, pi/2]
    box[0, 4] = math.pi / 2
    assert geometry.normalize_obb(box, "oc")[0].tolist() == [0, 0, 4, 2, math.pi / 2]
    assert geometry.normalize_obb(box, "le90")[0, 4] == -math.pi / 2
    box[0, 4] = 3 * math.pi / 4
    assert geometry.normalize_obb(box, "le135")[0, 4] == pytest.approx(-math.pi / 4)


def test_unknown_angle_version_lists_the_choices():
    with pytest.raises(ValueError, match="angle_version must be one of oc, le90, le135, got 'le45'"):
        geometry.normalize_obb(torch.zeros(1, 5), "le45")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    assert geometry.normalize_obb(torch.ones(2, 5, dtype=dtype), "le90").dtype == torch.float32
    assert geometry.obb_to_corners(torch.ones(2, 5, dtype=dtype)).dtype == torch.float32


def test_corners_run_clockwise_from_the_top_left():
    assert geometry.obb_to_poly(torch.tensor([10.0, 20.0, 6.0, 4.0, 0.0])).tolist() == [7, 18, 13, 18, 13, 22, 7, 22]
    # rotated clockwise, the top side is on the right
    rotated = geometry.obb_to_corners(torch.tensor([0.0, 0.0, 6.0, 4.0, math.pi / 2]))
    assert torch.allclose(rotated, torch.tensor([[2.0, -3], [2, 3], [-2, 3], [-2, -3]]), atol=1e-5)
    corners = geometry.obb_to_corners(random_boxes(500))
    x, y = corners.unbind(-1)
    shoelace = (x * y.roll(-1, -1) - x.roll(-1, -1) * y).sum(-1) / 2
    assert (shoelace > 0).all()  # positive is clockwise with y down


@pytest.mark.parametrize("angle_version", geometry.ANGLE_VERSIONS)
def test_conversion_to_polygons_and_back(angle_version):
    boxes = geometry.normalize_obb(random_boxes(3000), angle_version)
    back = geometry.poly_to_obb(geometry.obb_to_poly(boxes), angle_version)
    assert corner_distance(geometry.obb_to_corners(back), geometry.obb_to_corners(boxes)).max() < 1e-6
    low, high = RANGES[angle_version]
    assert ((back[:, 4] >= low) & (back[:, 4] <= high)).all()


def test_horizontal_boxes_circumscribe_the_corners():
    boxes = random_boxes(2000)
    corners = geometry.obb_to_corners(boxes)
    expected = torch.cat((corners.amin(1), corners.amax(1)), 1)
    assert torch.allclose(geometry.obb_to_hbb(boxes), expected, atol=1e-9)
    assert torch.allclose(geometry.obb_to_hbb(geometry.hbb_to_obb(geometry.obb_to_hbb(boxes))), expected, atol=1e-9)


def test_minimum_area_rectangle_is_minimal_and_contains_all_points():
    generator = torch.Generator().manual_seed(3)
    polys = torch.rand(300, 8, generator=generator, dtype=torch.float64) * 100
    boxes = geometry.poly_to_obb(polys, "le90")
    points = polys.unflatten(1, (4, 2))
    center, half = boxes[:, None, :2], boxes[:, None, 2:4] / 2
    cos, sin = boxes[:, None, 4].cos(), boxes[:, None, 4].sin()
    offset = points - center
    along = offset[..., 0] * cos + offset[..., 1] * sin
    across = offset[..., 1] * cos - offset[..., 0] * sin
    assert (along.abs() <= half[..., 0] + 1e-6).all()
    assert (across.abs() <= half[..., 1] + 1e-6).all()
    # reference: bounding rectangles in steps of 0.1 degrees
    angles = torch.arange(0, 180, 0.1, dtype=torch.float64) * math.pi / 180
    u = points @ torch.stack((angles.cos(), angles.sin()))
    v = points @ torch.stack((-angles.sin(), angles.cos()))
    area = (u.amax(1) - u.amin(1)) * (v.amax(1) - v.amin(1))
    best = area.amin(1)
    fitted = boxes[:, 2] * boxes[:, 3]
    assert (fitted <= best + 1e-6).all()
    assert (fitted >= best * 0.98 - 1e-6).all()


def test_minimum_area_rectangle_equals_opencv():
    cv2 = pytest.importorskip("cv2")
    polys = np.random.default_rng(0).uniform(0, 200, (300, 8)).astype(np.float32)
    fitted = geometry.poly_to_obb(torch.from_numpy(polys), "le90")
    for poly, box in zip(polys, fitted):
        (_, _), (w, h), _ = cv2.minAreaRect(poly.reshape(4, 2))
        assert float(box[2] * box[3]) == pytest.approx(w * h, rel=1e-3, abs=1e-2)


RHOMBUS = [10.0, 0, 20, 5, 10, 10, 0, 5]  # two rectangles of equal area, along either pair of edges


@pytest.mark.parametrize("angle_version", geometry.ANGLE_VERSIONS)
def test_rectangles_of_opencv(angle_version):
    cv2 = pytest.importorskip("cv2")
    polys = np.random.default_rng(1).uniform(0, 200, (50, 8)).astype(np.float32)
    polys = torch.from_numpy(np.concatenate([polys, [np.float32(np.roll(RHOMBUS, 2 * turn)) for turn in range(4)]]))
    fitted = geometry.poly_to_obb(polys, angle_version, rect="cv2")
    assert fitted.dtype == torch.float32
    for poly, box in zip(polys.numpy(), fitted):
        (cx, cy), (w, h), degrees = cv2.minAreaRect(poly.reshape(4, 2))
        expected = torch.tensor([cx, cy, w, h, math.radians(degrees)], dtype=torch.float64)
        expected = geometry.normalize_obb(expected, angle_version).float()
        assert torch.allclose(box, expected, atol=1e-6)
    assert geometry.poly_to_obb(torch.zeros(0, 8), angle_version, rect="cv2").shape == (0, 5)
    with pytest.raises(ValueError, match="rect must be one of edge, cv2, got 'exact'"):
        geometry.poly_to_obb(polys, angle_version, rect="exact")


def test_first_edge_decides_between_rectangles_of_equal_area():
    for turn in range(4):
        points = torch.tensor(RHOMBUS).roll(2 * turn)
        box = geometry.poly_to_obb(points, "le90")
        edge = points[2:4] - points[:2]
        direction = torch.atan2(edge[1], edge[0])
        assert float(torch.sin(2 * (box[4] - direction)).abs()) < 1e-5  # parallel or at right angles
        other = geometry.poly_to_obb(points, "le90", rect="cv2")
        assert float(other[2:4].prod()) == pytest.approx(float(box[2:4].prod()), rel=1e-5)


def test_degenerate_polygons():
    point = torch.full((1, 8), 7.0)
    line = torch.tensor([[0.0, 0, 4, 0, 4, 0, 0, 0]])
    for poly, area_sides in ((point, (0, 0)), (line, (4, 0))):
        box = geometry.poly_to_obb(poly, "le90")
        assert box.isfinite().all()
        assert box[0, 2:4].tolist() == pytest.approx(list(area_sides))
    assert geometry.poly_to_obb(torch.zeros(0, 8), "oc").shape == (0, 5)


def test_rectangle_keeps_the_direction_of_its_annotation():
    square = torch.tensor([[3.0, 1, 5, 3, 3, 5, 1, 3]])  # first edge points down and to the right
    assert float(geometry.poly_to_obb(square, "le90")[0, 4]) == pytest.approx(math.pi / 4)


def test_points_in_a_rotated_box():
    box = torch.tensor([10.0, 10.0, 8.0, 2.0, math.pi / 4])
    along = torch.tensor([math.cos(math.pi / 4), math.sin(math.pi / 4)])
    points = 10 + torch.stack((along * 3.9, along * 4.1, along.flip(0) * torch.tensor([-1, 1]) * 0.9))
    assert geometry.points_in_obb(points, box).tolist() == [True, False, True]
    assert geometry.points_in_obb(points, box, margin=0.2).tolist() == [False, False, False]
