"""Assignment of objects to windows, compared with known shares, with shapely and with a sampled area."""

import numpy as np
import pytest

from rotated_atss.tiling.crop import aligned_iof, object_areas, place_objects, shift_into_window

WINDOW = [0, 0, 100, 100]
HOURGLASS = [10, 10, 30, 10, 10, 30, 30, 30]  # corners in a wrong order: two triangles of 100 px^2


def rectangle(x, y, w, h):
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def iof(polygon, window=WINDOW):
    return float(aligned_iof(np.array([polygon], dtype=np.float64), np.array([window]))[0])


@pytest.mark.parametrize(
    ("polygon", "share"),
    [
        (rectangle(10, 10, 20, 20), 1.0),
        (rectangle(0, 0, 100, 100), 1.0),  # on the border is inside
        (rectangle(-3, 0, 10, 10), 0.7),
        (rectangle(-7, 40, 10, 10), 0.3),
        (rectangle(95, 95, 10, 10), 0.25),
        (rectangle(-100, -100, 300, 300), 1 / 9),
        (rectangle(100, 0, 10, 10), 0.0),  # touches only
        (rectangle(200, 0, 10, 10), 0.0),
        ([-10, 50, 0, 40, 10, 50, 0, 60], 0.5),  # a diamond on the border
        ([-10, 0, 0, -10, 10, 0, 0, 10], 0.25),  # a diamond on the corner
        ([20, 20, 40, 30, 20, 40, 30, 30], 1.0),  # an arrow head, not convex
        ([-10, 20, 10, 30, -10, 40, 0, 30], 0.5),  # an arrow head, half outside
        (HOURGLASS, 1.0),
        ([-10, 10, 10, 10, -10, 30, 10, 30], 0.5),
        ([5, 5, 5, 5, 5, 5, 5, 5], 0.0),
        ([5, 5, 9, 9, 12, 12, 20, 20], 0.0),  # a line
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("turn", range(4))
def test_known_shares(polygon, share, reverse, turn):
    corners = np.roll(np.array(polygon).reshape(4, 2), turn, axis=0)
    corners = corners[::-1] if reverse else corners
    assert iof(corners.ravel()) == pytest.approx(share, abs=1e-15)


def test_iof_is_exactly_one_inside_and_less_outside():
    tilted = [10.1, 0.0, 20.3, 10.7, 10.9, 20.9, 0.0, 10.3]
    assert iof(tilted) == 1.0
    assert iof([value - (index % 2 == 0) for index, value in enumerate(tilted)]) < 1.0


@pytest.mark.parametrize("side", [10, 30, 110, 370])
def test_threshold_tolerates_rounding(side):
    """Three tenths of the object lie outside; the computed ratio can fall just below 0.7."""
    outside = 0.3 * side
    for x in range(0, 30000, 1111):
        window = np.array([[x, 0, x + 1024, 1024]])
        skewed = [x - outside, 7, x - outside + side, 9, x - outside + side, 9 + side / 3, x - outside, 7 + side / 3]
        assert len(place_objects(np.array([skewed]), window, 0.7).object_index) == 1
        skewed[0] = skewed[6] = x - outside - 0.001 * side
        assert len(place_objects(np.array([skewed]), window, 0.7).object_index) == 0


def test_area_of_an_hourglass_counts_both_triangles():
    polygons = np.array([rectangle(0, 0, 4, 5), HOURGLASS, [1, 1, 1, 1, 1, 1, 1, 1]], dtype=np.float64)
    assert object_areas(polygons).tolist() == [20.0, 200.0, 0.0]


@pytest.mark.parametrize("offset", [0, 25_000])
def test_iof_equals_shapely(offset):
    shapely = pytest.importorskip("shapely")
    rng = np.random.default_rng(1)
    count = 4000
    corners = rng.uniform(-300, 1400, (count, 1, 2)) + rng.uniform(-120, 120, (count, 4, 2))
    corners[::3] = np.round(corners[::3])
    windows = np.tile([0, 0, 1024, 1024], (count, 1)) + np.tile(rng.integers(0, 300, (count, 2)), (1, 2)) + offset
    shapes = shapely.make_valid(shapely.polygons(corners))  # even-odd rule: both triangles of an hourglass count
    boxes = shapely.box(*(windows - offset).T.astype(np.float64))
    expected = shapely.area(shapely.intersection(shapes, boxes)) / shapely.area(shapes)
    assert not shapely.is_valid(shapely.polygons(corners)).all()
    assert ((expected > 0) & (expected < 1)).sum() > 300
    assert (expected == 1).sum() > 300
    np.testing.assert_allclose(aligned_iof(corners.reshape(-1, 8) + offset, windows), expected, atol=1e-10, rtol=0)


def sampled_iof(polygon, window, steps=400):
    """Reference by the even-odd rule on a grid of points over the polygon's bounding box."""
    corners = polygon.reshape(4, 2)
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    offsets = (np.arange(steps) + 0.5) / steps
    x, y = np.meshgrid(x0 + offsets * (x1 - x0), y0 + offsets * (y1 - y0))
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0)):
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) / (by - ay) * (bx - ax))
    in_window = (x >= window[0]) & (x < window[2]) & (y >= window[1]) & (y < window[3])
    return (inside & in_window).sum() / inside.sum()


def test_iof_of_self_crossing_polygons_equals_the_sampled_area():
    rng = np.random.default_rng(7)
    corners = rng.uniform(-40, 140, (60, 1, 2)) + rng.uniform(20, 50, (60, 1, 1)) * np.array(
        [[-1.0, -1], [1, 1], [1, -1], [-1, 1]]
    )
    corners += rng.uniform(-8, 8, corners.shape)
    polygons = corners.reshape(-1, 8)
    shares = aligned_iof(polygons, np.tile(WINDOW, (60, 1)))
    assert ((shares > 0.05) & (shares < 0.95)).sum() > 20
    expected = [sampled_iof(polygon, WINDOW) for polygon in polygons]
    np.testing.assert_allclose(shares, expected, atol=0.01, rtol=0)


def test_placement_equals_the_dense_table():
    rng = np.random.default_rng(2)
    polygons = (rng.uniform(0, 3000, (300, 1, 2)) + rng.uniform(-60, 60, (300, 4, 2))).reshape(-1, 8)
    windows = np.array([[x, y, x + 1024, y + 1024] for x in (0, 824, 1648) for y in (0, 824, 1648)])
    placement = place_objects(polygons, windows, 0.7)
    for row, window in enumerate(windows):
        dense = aligned_iof(polygons, np.tile(window, (300, 1)))
        objects, truncated = placement.in_window(row)
        assert objects.tolist() == np.flatnonzero(dense >= 0.7).tolist()
        assert truncated.tolist() == (dense[objects] < 1).tolist()


def test_no_objects():
    windows = np.array([WINDOW, [50, 50, 150, 150]])
    assert len(place_objects(np.empty((0, 8)), windows).object_index) == 0
    assert len(place_objects(np.array([[5.0] * 8]), windows).object_index) == 0
    objects, truncated = place_objects(np.empty((0, 8)), windows).in_window(1)
    assert objects.shape == truncated.shape == (0,)


def test_shifted_polygons_keep_their_decimals():
    moved = shift_into_window(np.array([[847.3, 20.0, 900.0, 20.0, 900.0, 40.0, 800.0, 40.0]]), 824, 10)
    assert moved.tolist() == [[23.3, 10.0, 76.0, 10.0, 76.0, 30.0, -24.0, 30.0]]
