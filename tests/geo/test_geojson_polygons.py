"""Polygons of GeoJSON, compared with GDAL's reader, and files that GDAL would follow to a network."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.geo.geojson_polygons import read_crs_member, read_geojson_layer

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")

SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
HOLE = [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]


def feature(geometry_type, coordinates, **properties):
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": geometry_type, "coordinates": coordinates},
    }


def write(path, features, **members):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **members}))
    return path


def crs_member(name, kind="name", key="name"):
    return {"crs": {"type": kind, "properties": {key: name}}}


def test_the_polygons_are_those_of_gdal(tmp_path):
    rng = np.random.default_rng(0)
    shifted = [(np.array(SQUARE) + rng.uniform(-50, 50, 2)).tolist() for _ in range(20)]
    features = [
        feature("Polygon", [ring], kind=f"c{index % 3}", score=index / 20) for index, ring in enumerate(shifted)
    ]
    features += [
        feature("Polygon", [SQUARE, HOLE], kind="hole"),
        feature("MultiPolygon", [[SQUARE], [shifted[0]]], kind="multi", score=1),
        feature("Polygon", [[[*point, 7.0] for point in SQUARE]], kind="with heights"),
        feature("Point", [1, 2]),
        {"type": "Feature", "properties": None, "geometry": None},
        feature("Polygon", []),
    ]
    path = write(tmp_path / "a.geojson", features)
    layer = read_geojson_layer(path)
    frame = geopandas.read_file(path).explode(ignore_index=True)
    frame = frame[frame.geom_type == "Polygon"]
    frame = frame[~frame.is_empty]
    assert len(layer.rings) == len(frame) == 24
    for ring, shape in zip(layer.rings, frame.geometry):
        assert np.array_equal(ring, np.array(shape.exterior.coords)[:-1, :2])
    assert layer.columns["kind"].tolist() == frame["kind"].tolist()
    assert np.array_equal(layer.columns["score"], frame["score"].to_numpy(), equal_nan=True)
    assert {noun: number for (noun, _), number in layer.notes.items()} == {
        "polygon": 1,
        "multipolygon": 1,
        "feature": 3,
    }


@pytest.mark.parametrize(
    "name",
    ["urn:ogc:def:crs:EPSG::32650", "EPSG:32650", "http://www.opengis.net/def/crs/EPSG/0/32650", " epsg:32650 "],
)
def test_names_of_a_crs(tmp_path, name):
    path = write(tmp_path / "a.geojson", [feature("Polygon", [SQUARE])], **crs_member(name))
    assert read_geojson_layer(path).crs.upper() == "EPSG:32650"


def test_files_without_a_crs_are_in_longitude_and_latitude(tmp_path):
    assert read_geojson_layer(write(tmp_path / "a.geojson", [])).crs == "EPSG:4326"
    assert read_crs_member({"crs": None}, tmp_path) == "EPSG:4326"


@pytest.mark.parametrize("kind, key", [("link", "href"), ("url", "url"), ("name", "name")])
@pytest.mark.parametrize("place", ["file", "feature", "geometry"])
def test_an_address_of_a_crs_is_not_opened(tmp_path, web_server, kind, key, place):
    member = crs_member(f"http://{web_server.address}/crs", kind, key)
    polygon = feature("Polygon", [SQUARE])
    target = {"file": {}, "feature": polygon, "geometry": polygon["geometry"]}[place]
    target.update(member)
    path = write(tmp_path / "a.geojson", [polygon], **(target if place == "file" else {}))
    if place == "file":
        with pytest.raises(UserError, match=r"a.geojson: the member crs must"):
            read_geojson_layer(path)
    else:
        assert read_geojson_layer(path).crs == "EPSG:4326"  # RFC 7946 has no such member
    assert web_server.requests == []


@pytest.mark.parametrize(
    "name", ["EPSG:999999", "WGS 84 / UTM zone 50N", "+proj=utm +zone=50", "/etc/passwd", "", 32650, None]
)
def test_names_that_are_no_crs(tmp_path, name):
    path = write(tmp_path / "a.geojson", [], **crs_member(name))
    with pytest.raises(UserError, match=r"a.geojson: the member crs"):
        read_geojson_layer(path)


@pytest.mark.parametrize(
    "geometry, message",
    [
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0]]]}, "at least three corners, got 2"),
        ({"type": "Polygon", "coordinates": [[]]}, "at least three corners, got 0"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1]]]}, "a point must be x, y"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, float("nan")]]]}, "a point must be x, y"),
        ({"type": "Polygon", "coordinates": 7}, "a polygon must be a list of rings"),
        ({"type": "MultiPolygon", "coordinates": [7]}, "a polygon must be a list of rings"),
        ({"type": "MultiPolygon", "coordinates": 7}, "coordinates must be a list"),
    ],
)
def test_malformed_polygons(tmp_path, geometry, message):
    polygon = {"type": "Feature", "properties": {}, "geometry": geometry}
    path = write(tmp_path / "a.geojson", [feature("Polygon", [SQUARE]), polygon])
    with pytest.raises(UserError, match=rf"a.geojson: features\[1\]: .*{message}"):
        read_geojson_layer(path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"type": "FeatureCollection"}', '{"type": "Topology"}', "{"])
def test_files_that_are_no_feature_collection(tmp_path, content):
    (tmp_path / "a.geojson").write_text(content)
    with pytest.raises(UserError, match=r"a.geojson"):
        read_geojson_layer(tmp_path / "a.geojson")
