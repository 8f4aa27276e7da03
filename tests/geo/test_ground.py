"""Lengths, headings and resolutions on the ground, compared with a loop over single geodesics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.geo.crs import crs_name, parse_crs, transform_points
from rotated_atss.geo.ground import ground_resolution, measure_quadrilaterals
from rotated_atss.io.georeference import Georeference

pyproj = pytest.importorskip("pyproj")

UTM = Georeference((0.25, 0, 447000, 0, -0.25, 4427000), "EPSG:32650")
TURNED = Georeference((0.3, 0.4, 447000, 0.4, -0.3, 4427000), "EPSG:32650")
SOUTH = Georeference((0.5, 0, 334000, 0, -0.5, 6252000), "EPSG:32756")
DEGREES = Georeference((1e-5, 0, 24.9, 0, -1e-5, 60.2), "EPSG:4326")
MERCATOR = Georeference((0.6, 0, 2771800, 0, -0.6, 8437700), "EPSG:3857")
ALL = pytest.mark.parametrize("georeference", [UTM, TURNED, SOUTH, DEGREES, MERCATOR])


def slow_sizes(polygon: np.ndarray, georeference: Georeference) -> tuple[float, float, float]:
    """Length, width and heading of one quadrilateral, corner by corner."""
    to_degrees = pyproj.Transformer.from_crs(georeference.crs, 4326, always_xy=True)
    a, b, c, d, e, f = georeference.transform
    corners = [to_degrees.transform(a * x + b * y + c, d * x + e * y + f) for x, y in polygon]
    geod = pyproj.Geod(ellps="WGS84")

    def line(start: int, stop: int) -> tuple[float, float]:
        azimuth, _, length = geod.inv(*corners[start], *corners[stop])
        return azimuth, length

    first, second = (line(0, 1)[1] + line(3, 2)[1]) / 2, (line(1, 2)[1] + line(0, 3)[1]) / 2
    azimuth = line(0, 1)[0] if first >= second else line(1, 2)[0]
    return max(first, second), min(first, second), azimuth % 180


@ALL
def test_rectangles(georeference):
    rng = np.random.default_rng(0)
    for angle in rng.uniform(-np.pi, np.pi, 20):
        w, h = rng.uniform(5, 60, 2)
        frame = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        polygon = frame @ turn + rng.uniform(100, 900, 2)
        length, width, heading = (float(column[0]) for column in measure_quadrilaterals(polygon[None], georeference))
        expected = slow_sizes(polygon, georeference)
        assert (length, width) == pytest.approx(expected[:2], rel=1e-9)
        difference = abs(heading - expected[2])
        assert min(difference, 180 - difference) < 2e-3  # a parallelogram on the map, which the projection bends
        assert 0 <= heading < 180


@pytest.mark.parametrize(
    "corners, heading",
    [
        ([[0, 0], [40, 0], [40, 10], [0, 10]], 90),
        ([[0, 0], [10, 0], [10, 40], [0, 40]], 0),
        ([[0, 30], [30, 0], [35, 5], [5, 35]], 45),
        ([[5, 0], [35, 30], [30, 35], [0, 5]], 135),
    ],
)
def test_heading_is_clockwise_from_north(corners, heading):
    equator = Georeference((1, 0, 500000, 0, -1, 20), "EPSG:32650")  # grid north is true north
    for order in (corners, corners[::-1], corners[2:] + corners[:2]):
        measured = measure_quadrilaterals(np.array([order], float), equator).heading[0]
        assert 0 <= measured < 180
        assert abs((measured - heading + 90) % 180 - 90) < 0.1


def test_ground_meters_differ_from_map_units():
    latitude = transform_points([MERCATOR.transform[2], MERCATOR.transform[5]], "EPSG:3857", "EPSG:4326")[1]
    assert ground_resolution(MERCATOR, (2, 2)) == pytest.approx(0.6 * math.cos(math.radians(latitude)), rel=0.005)
    assert ground_resolution(Georeference((1, 0, 500000, 0, -1, 0), "EPSG:32650"), (2, 2)) == pytest.approx(
        1 / 0.9996, rel=1e-5
    )
    square = np.array([[[0, 0], [1, 0], [1, 1], [0, 1]]], float)
    for georeference in (UTM, TURNED, SOUTH, MERCATOR):
        sizes = measure_quadrilaterals(square, georeference)
        side = (sizes.length[0] * sizes.width[0]) ** 0.5
        assert ground_resolution(georeference, (1, 1)) == pytest.approx(side, rel=1e-5)


def test_pixels_that_are_no_squares():
    longer = Georeference((0.2, 0, 500000, 0, -0.8, 0), "EPSG:32650")
    assert ground_resolution(longer, (2, 2)) == pytest.approx(0.4, rel=1e-3)
    skewed = Georeference((1, 0.5, 500000, 0, -1, 0), "EPSG:32650")
    assert ground_resolution(skewed, (2, 2)) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["site",UNIT["metre",1]]'])
def test_no_place_on_earth(crs):
    georeference = Georeference((1, 0, 0, 0, -1, 0), crs)
    sizes = measure_quadrilaterals(np.zeros((2, 4, 2)), georeference)
    assert np.shape(sizes) == (3, 2)
    assert np.isnan(sizes).all()
    assert ground_resolution(georeference, (9, 9)) is None


def test_outside_the_area_of_the_crs():
    assert ground_resolution(Georeference((1, 0, 1e12, 0, -1, 0), "EPSG:32650"), (9, 9)) is None


def test_no_objects():
    assert all(len(column) == 0 for column in measure_quadrilaterals(np.zeros((0, 4, 2)), UTM))


def test_names_of_reference_systems():
    assert crs_name("EPSG:32650") == crs_name(parse_crs("EPSG:32650").to_wkt()) == "EPSG:32650"
    assert crs_name("OGC:CRS84") == "OGC:CRS84"
    assert crs_name("+proj=tmerc +lat_0=1 +lon_0=2") == "unknown"
    with pytest.raises(UserError, match="'EPSG:no' is not a coordinate reference system"):
        parse_crs("EPSG:no")
