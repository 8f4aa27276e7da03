"""Polygon intersection and IoU against shapely, DOTA_devkit's polyiou and known areas."""

import numpy as np
import pytest

from rotated_atss.ops.polygon_iou import polygon_areas, polygon_hbbs, polygon_intersections, polygon_ious

SQUARE = [0.0, 0, 10, 0, 10, 10, 0, 10]
BOW_TIE = [0.0, 0, 10, 10, 10, 0, 0, 10]  # two triangles of area 25 and opposite orientation
ARROW = [0.0, 0, 10, 5, 0, 10, 5, 5]  # not convex, area 25
DOT = [3.0, 3, 3, 3, 3, 3, 3, 3]


def rectangles(rng, count, *, center=0.0, spread=30.0, low=2.0, high=60.0):
    """Rotated rectangles (N, 8) of both orientations."""
    centers = rng.uniform(-spread, spread, (count, 1, 2)) + center
    angle = rng.uniform(0, np.pi, count)
    across = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(low, high, (count, 1)) / 2
    along = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * rng.uniform(low, high, (count, 1)) / 2
    corners = np.stack([-across - along, across - along, across + along, along - across], axis=1) + centers
    corners[::2] = corners[::2, ::-1]
    return corners.reshape(count, 8)


def simple_quadrilaterals(rng, count, *, center=0.0):
    """Quadrilaterals (N, 8) that do not intersect themselves, many of them not convex."""
    shapely = pytest.importorskip("shapely")
    candidates = rng.uniform(-50, 50, (count * 3, 8)) + center
    return candidates[shapely.is_valid(shapely.polygons(candidates.reshape(-1, 4, 2)))][:count]


def shapely_intersections(polygons1, polygons2):
    shapely = pytest.importorskip("shapely")
    sides = [shapely.polygons(side.reshape(-1, 4, 2)) for side in (polygons1, polygons2)]
    return shapely.area(shapely.intersection(*sides))


KINDS = {
    "random": dict(),
    "far away": dict(center=20_000.0),
    "thin": dict(low=0.01, high=200.0),
    "large": dict(low=1.0, high=5000.0, spread=1000.0),
    "tiny": dict(low=0.001, high=0.01, spread=0.005),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rectangles_against_shapely(kind):
    rng = np.random.default_rng(0)
    first, second = rectangles(rng, 20_000, **KINDS[kind]), rectangles(rng, 20_000, **KINDS[kind])
    shared = shapely_intersections(first, second)
    assert (shared > 0).mean() > 0.3
    scale = np.minimum(polygon_areas(first), polygon_areas(second))
    assert np.abs(polygon_intersections(first, second) - shared).max(initial=0, where=shared > 0) <= 1e-9 * scale.max()
    ious = shared / (polygon_areas(first) + polygon_areas(second) - shared)
    np.testing.assert_allclose(polygon_ious(first, second), ious, rtol=1e-9, atol=1e-11)
    iofs = polygon_intersections(first, second) / polygon_areas(first)
    np.testing.assert_allclose(iofs, shared / polygon_areas(first), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("center", [0.0, 20_000.0])
def test_simple_quadrilaterals_against_shapely(center):
    rng = np.random.default_rng(1)
    first, second = simple_quadrilaterals(rng, 3000, center=center), simple_quadrilaterals(rng, 3000, center=center)
    np.testing.assert_allclose(
        polygon_intersections(first, second), shapely_intersections(first, second), rtol=1e-9, atol=1e-9
    )


@pytest.mark.baseline
def test_self_intersecting_quadrilaterals_equal_polyiou():
    polyiou = pytest.importorskip("dotadevkit.polyiou.polyiou")
    rng = np.random.default_rng(2)
    first, second = rng.uniform(-50, 50, (2, 3000, 8))
    expected = [polyiou.iou_poly(polyiou.VectorDouble(a), polyiou.VectorDouble(b)) for a, b in zip(first, second)]
    np.testing.assert_allclose(polygon_ious(first, second), np.clip(expected, 0, 1), atol=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (SQUARE, SQUARE, 100),
        (SQUARE, SQUARE[::-1], 100),  # opposite orientation
        (SQUARE, [10.0, 0, 20, 0, 20, 10, 10, 10], 0),  # a common side
        (SQUARE, [10.0, 10, 20, 10, 20, 20, 10, 20], 0),  # a common corner
        (SQUARE, [2.0, 2, 4, 2, 4, 4, 2, 4], 4),  # nested
        (SQUARE, [50.0, 0, 60, 0, 60, 10, 50, 10], 0),
        (SQUARE, ARROW, 25),
        (ARROW, [0.0, 0, 4, 0, 4, 10, 0, 10], 8),  # up to the notch: twice a triangle between y = x / 2 and y = x
        (SQUARE, DOT, 0),
        (DOT, DOT, 0),
        (SQUARE, [0.0, 5, 10, 5, 10, 5, 0, 5], 0),  # a line
        (SQUARE, BOW_TIE, 0),  # the two triangles cancel
        (SQUARE, [5.0, -5, 15, 5, 5, 15, -5, 5], 100),  # an enclosing diamond
    ],
)
@pytest.mark.parametrize("offset", [0.0, 20_000.0])
def test_known_areas(first, second, shared, offset):
    first, second = np.array([first]) + offset, np.array([second]) + offset
    assert polygon_intersections(first, second)[0] == pytest.approx(shared, abs=1e-9)
    assert polygon_intersections(second, first)[0] == pytest.approx(shared, abs=1e-9)


def test_areas():
    assert polygon_areas(np.array([SQUARE, SQUARE[::-1], ARROW, BOW_TIE, DOT])).tolist() == [100, 100, 25, 0, 0]


def test_iou_of_polygons_without_area_is_in_range():
    polygons = np.array([DOT, BOW_TIE, SQUARE])
    for first in polygons:
        for second in polygons:
            assert 0 <= polygon_ious(first[None], second[None])[0] <= 1


def test_iou_is_symmetric_and_1_for_identical_polygons():
    rng = np.random.default_rng(3)
    first, second = rectangles(rng, 2000), rectangles(rng, 2000)
    np.testing.assert_allclose(polygon_ious(first, second), polygon_ious(second, first), atol=1e-13)
    np.testing.assert_allclose(polygon_ious(first, first), 1, atol=1e-12)
    np.testing.assert_allclose(polygon_ious(first, np.roll(first, 2, axis=1)), 1, atol=1e-12)


def test_block_size_does_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(8)
    first, second = rectangles(rng, 300), rectangles(rng, 300)
    together = polygon_ious(first, second)
    for block in (1, 2, 3, 7):
        monkeypatch.setattr("rotated_atss.ops.polygon_iou._PAIRS_PER_BLOCK", block)
        assert np.array_equal(polygon_ious(first, second), together)


def test_input_is_not_modified():
    first, second = np.array([SQUARE]), np.array([ARROW])
    polygon_ious(first, second)
    assert first.tolist() == [SQUARE]
    assert second.tolist() == [ARROW]


def test_no_pairs():
    empty = np.empty((0, 8))
    assert polygon_intersections(empty, empty).shape == polygon_ious(empty, empty).shape == (0,)
    assert polygon_areas(empty).shape == (0,)
    assert polygon_hbbs(empty).shape == (0, 4)


def test_different_lengths_are_rejected():
    with pytest.raises(ValueError, match="polygons1 and polygons2 must have equal lengths, got 1 and 2"):
        polygon_ious(np.array([SQUARE]), np.array([SQUARE, SQUARE]))
