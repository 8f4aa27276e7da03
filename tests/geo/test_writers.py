"""Georeferenced files read back with geopandas: geometry, CRS, ring orientation, columns and bytes."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.geo import writers
from rotated_atss.geo.features import Features
from rotated_atss.geo.ground import measure_quadrilaterals
from rotated_atss.geo.writers import FORMATS, require_formats, write_features
from rotated_atss.io.georeference import Georeference
from tests.geo.conftest import GEOREFERENCES, detect

geopandas = pytest.importorskip("geopandas")
pyproj = pytest.importorskip("pyproj")
shapely = pytest.importorskip("shapely")

MAPS = [name for name in FORMATS if name != "csv"]
UTM = GEOREFERENCES["north_up"]


def read(path):
    """Read a file with geopandas; a longitude east of the antimeridian exceeds 180, as the polygon was before."""
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    if path.suffix == ".csv":
        with open(path, encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return geopandas.GeoDataFrame(rows, geometry=[shapely.from_wkt(row.pop("WKT")) for row in rows])
    return geopandas.read_file(path)


def corner_sets(frame, crs, georeference):
    """Corners in pixels of each polygon, sorted: computed with a transformer of pyproj, not with the package."""
    to_image = pyproj.Transformer.from_crs(crs, georeference.crs, always_xy=True)
    return [
        sorted(
            map(tuple, georeference.to_pixels(np.stack(to_image.transform(*np.array(shape.exterior.coords[:4]).T), 1)))
        )
        for shape in frame.geometry
    ]


@pytest.mark.parametrize("image", sorted(set(GEOREFERENCES) - {"antimeridian"}))
@pytest.mark.parametrize("format_name", MAPS)
def test_corners_agree_to_a_millionth_of_a_pixel(tmp_path, format_name, image):
    georeference = GEOREFERENCES[image]
    features = detect({image: georeference})
    (path,) = write_features(tmp_path / f"detections.{format_name}", format_name, features)
    frame = read(path)
    assert frame.crs == ("EPSG:4326" if format_name == "geojson" else georeference.crs)
    assert all(shape.exterior.is_ccw for shape in frame.geometry)
    order = np.argsort(-frame["score"].to_numpy())  # FlatGeobuf sorts by position
    found = corner_sets(frame.iloc[order], frame.crs, georeference)
    expected = [sorted(map(tuple, polygon)) for polygon in features.polygons]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_name_of_a_custom_crs_is_not_taken_for_a_code(tmp_path):
    crs = pyproj.CRS("+proj=tmerc +lat_0=40 +lon_0=116 +datum=WGS84").to_wkt().replace('"unknown"', '"Site: A"', 1)
    features = detect({"site": Georeference(UTM.transform, crs)})
    (path,) = write_features(tmp_path / "detections.gpkg", "gpkg", features)
    assert read(path).crs == pyproj.CRS(crs)


@pytest.mark.parametrize("format_name", FORMATS)
def test_columns(tmp_path, format_name):
    features = detect({"north_up": UTM, "turned": GEOREFERENCES["turned"]})
    (path,) = write_features(tmp_path / f"detections.{format_name}", format_name, features)
    frame = read(path)
    order = np.argsort(-frame["score"].to_numpy().astype(float))
    frame = frame.iloc[order].reset_index(drop=True)
    assert frame["class"].tolist() == ["ship", "small-vehicle"] * 6
    assert frame["image"].tolist() == ["north_up"] * 6 + ["turned"] * 6
    assert frame["score"].astype(float).tolist() == features.scores.tolist()
    for image, name in enumerate(features.images):
        rows = features.image_index == image
        sizes = np.stack(measure_quadrilaterals(features.polygons[rows], GEOREFERENCES[name]), 1)
        written = frame.loc[rows, ["length_m", "width_m", "heading_deg"]].to_numpy().astype(float)
        np.testing.assert_allclose(written, sizes, rtol=0, atol=5.1e-5)
    centers = frame[["center_x", "center_y"]].to_numpy().astype(float)
    np.testing.assert_allclose(centers, frame.geometry.get_coordinates().groupby(level=0).agg(
        lambda column: column.iloc[:4].mean()), rtol=0, atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_same_detections_give_the_same_bytes(tmp_path, format_name):
    features = detect({"north_up": UTM, "plain": None, "southern": GEOREFERENCES["southern"]})
    for run in ("first", "second"):
        write_features(tmp_path / run / f"detections.{format_name}", format_name, features)
    first, second = (sorted((tmp_path / run).iterdir()) for run in ("first", "second"))
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert not any(path.name.startswith(".") for path in first)


@pytest.mark.parametrize("format_name", FORMATS)
def test_parts_give_the_result_of_one_piece(tmp_path, monkeypatch, format_name):
    features = detect({"north_up": UTM}, per_image=11)
    (whole,) = write_features(tmp_path / f"detections.{format_name}", format_name, features)
    monkeypatch.setattr("rotated_atss.geo.features._CHUNK_ROWS", 4)
    (parts,) = write_features(tmp_path / "parts" / f"detections.{format_name}", format_name, features)
    if format_name in ("geojson", "csv", "fgb"):
        assert parts.read_bytes() == whole.read_bytes()
    else:
        assert read(parts).equals(read(whole))


def test_a_polygon_across_the_antimeridian_is_split(tmp_path):
    georeference = GEOREFERENCES["antimeridian"]
    features = detect({"antimeridian": georeference}, per_image=400)
    (path,) = write_features(tmp_path / "detections.geojson", "geojson", features)
    shapes = [shapely.geometry.shape(each["geometry"]) for each in json.loads(path.read_text())["features"]]
    kinds = [shape.geom_type for shape in shapes]
    assert kinds.count("MultiPolygon") > 5
    assert kinds.count("Polygon") > 5
    geod = pyproj.Geod(ellps="WGS84")
    for shape, length, width in zip(shapes, *measure_quadrilaterals(features.polygons, georeference)[:2]):
        parts = list(shapely.get_parts(shape))
        assert all(part.exterior.is_ccw for part in parts)
        assert max(part.bounds[2] - part.bounds[0] for part in parts) < 0.01
        assert shape.bounds[0] >= -180
        assert shape.bounds[2] <= 180
        area = sum(abs(geod.geometry_area_perimeter(part)[0]) for part in parts)
        assert area == pytest.approx(length * width, rel=2e-3)
    centers = [each["properties"]["center_x"] for each in json.loads(path.read_text())["features"]]
    assert min(centers) < -179 < 179 < max(centers) <= 180


def test_geojson_follows_the_rfc(tmp_path):
    (path,) = write_features(tmp_path / "detections.geojson", "geojson", detect({"north_up": UTM}))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert "crs" not in content
    assert "coordinates" not in content
    ring = content["features"][0]["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert len(ring) == 5
    assert 116 < ring[0][0] < 117
    assert 39 < ring[0][1] < 40
    assert len(path.read_text().splitlines()) == 2 + 6  # one feature per line


@pytest.mark.parametrize("format_name", FORMATS)
def test_pixels_of_an_image_without_georeference(tmp_path, format_name):
    features = detect({"plain": None})
    (path,) = write_features(tmp_path / f"detections.{format_name}", format_name, features)
    frame = read(path)
    found = np.array([shape.exterior.coords[:4] for shape in frame.geometry])
    order = np.argsort(-frame["score"].to_numpy().astype(float))
    np.testing.assert_array_equal(found[order], features.polygons)  # x to the right, y down
    assert all(value in (None, "") or np.isnan(value) for value in frame["length_m"])
    if format_name == "geojson":
        assert json.loads(path.read_text())["coordinates"] == "pixels"
    elif format_name == "csv":
        assert set(frame["crs"]) == {"pixels"}
    else:
        assert frame.crs is None or frame.crs.is_engineering


@pytest.mark.parametrize(
    "format_name, names",
    [
        ("geojson", ["detections_map.geojson", "detections_ogc_crs84.geojson", "detections_pixels.geojson"]),
        ("gpkg", ["detections.gpkg"]),
        ("fgb", [f"detections_{name}.fgb" for name in ("epsg_32650", "epsg_32756", "map", "pixels")]),
        ("csv", ["detections.csv"]),
        ("parquet", [f"detections_{name}.parquet" for name in ("epsg_32650", "epsg_32756", "map", "pixels")]),
    ],
)
def test_several_reference_systems(tmp_path, format_name, names):
    images = {
        "a": UTM, "b": None, "c": GEOREFERENCES["southern"], "d": GEOREFERENCES["turned"],
        "e": Georeference((2, 0, 5, 0, -2, 5), None),
    }  # fmt: skip
    features = detect(images)
    paths = write_features(tmp_path / f"detections.{format_name}", format_name, features)
    assert sorted(path.name for path in paths) == names == sorted(path.name for path in tmp_path.iterdir())
    if format_name == "gpkg":
        pyogrio = pytest.importorskip("pyogrio")
        assert pyogrio.list_layers(paths[0])[:, 0].tolist() == [
            "detections_epsg_32650", "detections_pixels", "detections_epsg_32756", "detections_map",
        ]  # fmt: skip
        frames = [geopandas.read_file(paths[0], layer=name) for name, _ in pyogrio.list_layers(paths[0])]
    else:
        frames = [read(path) for path in paths]
    assert sum(map(len, frames)) == len(features)
    if format_name == "csv":
        rows = frames[0].groupby("image")["crs"].unique().map(list).to_dict()
        assert rows == {
            "a": ["EPSG:32650"], "b": ["pixels"], "c": ["EPSG:32756"], "d": ["EPSG:32650"], "e": ["unknown"],
        }  # fmt: skip


def test_two_reference_systems_of_one_name(tmp_path):
    proj = "+proj=tmerc +lat_0={} +lon_0=116 +datum=WGS84"
    images = {f"P{i}": Georeference((1, 0, 0, 0, -1, 0), proj.format(i)) for i in range(2)}
    paths = write_features(tmp_path / "detections.fgb", "fgb", detect(images))
    assert [path.name for path in paths] == ["detections_unknown.fgb", "detections_unknown_2.fgb"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_no_detections(tmp_path, format_name):
    features = detect({"north_up": UTM}, per_image=0)
    (path,) = write_features(tmp_path / f"detections.{format_name}", format_name, features)
    frame = read(path)
    assert len(frame) == 0
    if format_name not in ("csv", "geojson"):
        assert frame.crs == UTM.crs


@pytest.mark.parametrize("format_name", FORMATS)
def test_objects_outside_the_area_of_the_crs_have_no_geometry(tmp_path, format_name):
    far = Georeference((1, 0, 1e30, 0, -1, 0), "EPSG:32650")
    (path,) = write_features(tmp_path / f"detections.{format_name}", format_name, detect({"far": far}))
    frame = read(path)
    assert len(frame) == 6
    if format_name == "geojson":
        assert frame.geometry.isna().all()


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_folder_that_cannot_be_created(tmp_path, format_name):
    path = tmp_path / "folder" / f"detections.{format_name}"
    path.parent.write_text("a file, no folder")
    with pytest.raises(UserError, match=f"detections.{format_name}: cannot be written: "):
        write_features(path, format_name, detect({"north_up": UTM}))
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("format_name", ["gpkg", "fgb", "parquet"])
def test_a_failed_write_keeps_the_earlier_file(tmp_path, monkeypatch, format_name):
    path = tmp_path / f"detections.{format_name}"
    path.write_bytes(b"an earlier result")

    def fail(temporary, tables):
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(writers._WRITERS, format_name, fail)
    with pytest.raises(UserError, match=f"detections.{format_name}: cannot be written: No space left on device"):
        write_features(path, format_name, detect({"north_up": UTM}))
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"an earlier result"]


def test_names_with_quotes_commas_and_umlauts(tmp_path):
    features = detect({'Ä "1", b': UTM})
    for format_name in FORMATS:
        (path,) = write_features(tmp_path / f"detections.{format_name}", format_name, features)
        assert set(read(path)["image"]) == {'Ä "1", b'}


def test_order_is_by_image_and_score():
    features = detect({"a": None, "b": None})
    assert features.image_index.tolist() == [0] * 6 + [1] * 6
    for image in (0, 1):
        scores = features.scores[features.image_index == image]
        assert scores.tolist() == sorted(scores, reverse=True)


def test_formats_are_checked_before_the_work(monkeypatch):
    with pytest.raises(UserError, match=r"unknown format 'shp' \(choose from geojson, gpkg, fgb, csv, parquet\)"):
        require_formats(["shp"])
    monkeypatch.setitem(__import__("sys").modules, "pyogrio", None)
    require_formats(["geojson", "csv", "parquet"])
    with pytest.raises(UserError, match=r"pyogrio is not installed \(pip install \"rotated-atss\[geo\]\"\)"):
        require_formats(["geojson", "fgb"])


def test_features_of_nothing():
    assert len(Features.from_task1({}, {})) == 0


def test_degrees_outside_their_range_have_no_geometry_in_geojson(tmp_path):
    image = Georeference((0.5, 0, 447000, 0, -0.5, 4427000), "EPSG:4326")  # meters that are labeled as degrees
    path = tmp_path / "a.geojson"
    write_features(path, "geojson", detect({"P1": image}, per_image=4))
    content = json.loads(path.read_text())
    assert [each["geometry"] for each in content["features"]] == [None] * 4


@pytest.mark.parametrize("start", [-200, 160, 199.9])
def test_longitudes_of_any_turn_are_placed(tmp_path, start):
    image = Georeference((1e-4, 0, start, 0, -1e-4, 10), "EPSG:4326")
    path = tmp_path / "a.geojson"
    write_features(path, "geojson", detect({"P1": image}, per_image=4))
    for each in json.loads(path.read_text())["features"]:
        shape = shapely.from_geojson(json.dumps(each["geometry"]))
        west, _, east, _ = shape.bounds
        assert -180 <= west < east <= 180
        assert (each["properties"]["center_x"] - start) % 360 < 0.2
        assert shape.area > 0


def test_geopackages_can_be_read_without_warning_by_older_programs(tmp_path):
    write_features(tmp_path / "a.gpkg", "gpkg", detect({"P1": GEOREFERENCES["north_up"]}))
    header = (tmp_path / "a.gpkg").read_bytes()[:72]
    assert header[68:72] == b"GPKG"
    assert int.from_bytes(header[60:64], "big") == 10200
