"""Labels in map coordinates, placed on georeferenced images, compared with the pixels that they were made from."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from rotated_atss.dota.labels import read_labels
from rotated_atss.errors import UserError
from rotated_atss.io.georeference import Georeference
from rotated_atss.label_formats.convert import convert_labels
from rotated_atss.label_formats.image_files import ImageFiles
from rotated_atss.label_formats.reading import read_label_set
from rotated_atss.tiling.split import split_dota

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")

UTM = Georeference((0.5, 0, 447000, 0, -0.5, 4427000), "EPSG:32650")
TURNED = Georeference((0.4, 0.3, 447100, 0.3, -0.4, 4427000), "EPSG:32650")  # right of the first image
MERCATOR = Georeference((0.9, 0, 12955265, 0, -0.9, 4864715), "EPSG:3857")  # covers a part of the first image
SIZE = (100, 80)
RECTANGLES = np.array([[[10, 10], [30, 10], [30, 20], [10, 20]], [[50, 40], [60, 50], [55, 55], [45, 45]]], float)


def add_image(folder, name, georeference, crs=True):
    cv2.imwrite(str(folder / f"{name}.png"), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    a, b, _, d, e, _ = georeference.transform
    x, y = georeference.to_map([0.5, 0.5])
    (folder / f"{name}.pgw").write_text("\n".join(map(repr, (a, d, b, e, float(x), float(y)))))
    if crs:
        (folder / f"{name}.prj").write_text(georeference.crs)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    add_image(folder, "P1", UTM)
    add_image(folder, "P2", TURNED)
    return folder


def frame(polygons, georeference=UTM, **columns):
    shapes = [each if hasattr(each, "geom_type") else shapely.Polygon(georeference.to_map(each)) for each in polygons]
    return geopandas.GeoDataFrame(columns, geometry=shapes, crs=georeference.crs)


@pytest.mark.parametrize("crs", ["EPSG:32650", "EPSG:4326", "EPSG:3857", "EPSG:32649"])
@pytest.mark.parametrize("suffix", ["gpkg", "shp", "fgb", "geojson"])
def test_polygons_in_any_crs_become_pixels(images, tmp_path, suffix, crs):
    if suffix == "geojson":
        crs = "EPSG:4326"
    labels = tmp_path / f"roofs.{suffix}"
    frame(RECTANGLES, label=["roof", "flat roof"]).to_crs(crs).to_file(labels)
    result = read_label_set(labels, images=ImageFiles(images))
    first, second = result.images
    assert result.format_name == ("geojson" if suffix == "geojson" else "vector")
    assert (first.image_id, second.image_id, len(second)) == ("P1", "P2", 0)
    order = np.argsort(first.polygons[:, 0])  # FlatGeobuf sorts by position
    corners = first.polygons[order].reshape(-1, 4, 2)
    distances = np.linalg.norm(corners[:, :, None] - RECTANGLES[:, None], axis=-1)
    assert distances.min(axis=2).max() < 1e-5
    assert [first.classes[row] for row in order] == ["roof", "flat roof"]


def test_images_of_two_reference_systems(images, tmp_path):
    add_image(images, "P3", MERCATOR)
    frame(RECTANGLES, name=["a", "b"]).to_file(tmp_path / "roofs.gpkg")
    records = {
        each.image_id: each for each in read_label_set(tmp_path / "roofs.gpkg", images=ImageFiles(images)).images
    }
    assert [len(records[name]) for name in ("P1", "P2", "P3")] == [2, 0, 2]
    on_map = geopandas.GeoSeries([shapely.Polygon(UTM.to_map(each)) for each in RECTANGLES], crs="EPSG:32650")
    for polygon, expected in zip(records["P3"].polygons.reshape(-1, 4, 2), on_map.to_crs("EPSG:3857")):
        assert shapely.Polygon(MERCATOR.to_map(polygon)).symmetric_difference(expected).area < 1e-3


def test_polygons_that_are_left_out_or_changed(images, tmp_path):
    square = UTM.to_map([[10, 60], [20, 60], [20, 70], [10, 70]])
    hole = UTM.to_map([[12, 62], [14, 62], [14, 64], [12, 64]])
    parts = [shapely.Polygon(UTM.to_map(np.array([[x, 2], [x + 5, 2], [x + 5, 6], [x, 6]]))) for x in (40, 50)]
    shapes = [
        shapely.Polygon(square, [hole]), shapely.MultiPolygon(parts), shapely.Point(447001, 4426999),
        shapely.LineString([(447001, 4426999), (447002, 4426990)]), None,
        shapely.Polygon(UTM.to_map([[500, 10], [510, 10], [510, 20], [500, 20]])),  # far from all images
        shapely.Polygon(UTM.to_map([[95, 30], [115, 30], [115, 40], [95, 40]])),  # across the border of P1
        shapely.Polygon(UTM.to_map([[100, 50], [110, 50], [110, 60], [100, 60]])),  # touches P1
    ]  # fmt: skip
    geopandas.GeoDataFrame({"class": list("abcdefgh")}, geometry=shapes, crs=UTM.crs).to_file(tmp_path / "a.gpkg")
    add_image(images, "P3", UTM, crs=False)
    result = read_label_set(tmp_path / "a.gpkg", images=ImageFiles(images))
    first = result.images[0]
    assert sorted(first.classes) == ["a", "b", "b", "g"]
    assert first.polygons[first.classes.index("g")].max() == pytest.approx(115)  # corners are not clipped
    assert first.difficult.tolist() == [2 if name == "g" else 0 for name in first.classes]
    assert result.notes == (
        "1 image without georeference or CRS: no labels",
        "3 features other than a polygon (point, line, no geometry): left out",
        "1 multipolygon: every part is an object",
        "1 polygon with holes: holes are filled",
        "1 object cut by the border of an image: difficult 2, as in tiles",
        "2 polygons in no image: left out",
    )


def test_a_column_with_difficult_flags_takes_precedence(images, tmp_path):
    polygons = np.array([[[95, 30], [115, 30], [115, 40], [95, 40]], [[-0.005, 2], [9, 2], [9, 9], [-0.005, 9]]])
    frame(polygons, label=["a", "b"], difficult=[0, 1]).to_file(tmp_path / "roofs.gpkg")
    assert read_label_set(tmp_path / "roofs.gpkg", images=ImageFiles(images)).images[0].difficult.tolist() == [0, 1]
    frame(polygons, label=["a", "b"]).to_file(tmp_path / "plain.gpkg")  # the second exceeds the image by rounding only
    assert read_label_set(tmp_path / "plain.gpkg", images=ImageFiles(images)).images[0].difficult.tolist() == [2, 0]


def test_a_difficult_flag_between_two_values_is_refused(images, tmp_path):
    frame(RECTANGLES, label=["a", "b"], difficult=[0.0, 0.5]).to_file(tmp_path / "roofs.gpkg")
    with pytest.raises(UserError, match=r"the difficult flag must be 0, 1 or 2, got '0.5'"):
        read_label_set(tmp_path / "roofs.gpkg", images=ImageFiles(images))


def test_polygons_without_four_corners_need_fitting(images, tmp_path):
    triangle = [[10, 10], [30, 10], [30, 20]]
    frame([triangle], label=["roof"]).to_file(tmp_path / "roofs.gpkg")
    message = r"roofs.gpkg: feature 1: a polygon must have 4 corners, got 3 \(use --fit-polygons"
    with pytest.raises(UserError, match=message):
        read_label_set(tmp_path / "roofs.gpkg", images=ImageFiles(images))
    fitted = read_label_set(tmp_path / "roofs.gpkg", images=ImageFiles(images), fit_polygons=True).images[0]
    assert shapely.Polygon(fitted.polygons[0].reshape(4, 2)).area == pytest.approx(200, rel=1e-6)


@pytest.mark.parametrize(
    "columns, options, expected",
    [
        ({"kind": ["a", "b"], "Label": ["c", "d"]}, {}, ["c", "d"]),
        ({"kind": ["a", "b"], "Label": ["c", "d"]}, {"class_column": "KIND"}, ["a", "b"]),
        ({"kind": [1, 2]}, {"class_column": "kind"}, ["1", "2"]),
        ({"kind": [1.0, 2.5]}, {"class_column": "kind"}, ["1", "2.5"]),
        ({"kind": ["a", "b"]}, {"class_name": "roof"}, ["roof", "roof"]),
        ({"type": ["a", "b"], "class": ["c", "d"]}, {}, ["c", "d"]),
    ],
)
def test_classes(images, tmp_path, columns, options, expected):
    frame(RECTANGLES, **columns).to_file(tmp_path / "roofs.gpkg")
    assert (
        list(read_label_set(tmp_path / "roofs.gpkg", images=ImageFiles(images), **options).images[0].classes)
        == expected
    )


@pytest.mark.parametrize(
    "columns, options, message",
    [
        ({"kind": ["a", "b"]}, {}, "no column with the class .*--class-column.*--class-name; columns: kind"),
        ({"kind": ["a", "b"]}, {"class_column": "roof"}, "no column roof .*columns: kind"),
        ({"class": ["a", None]}, {}, "roofs.gpkg: feature 2: no class in column class"),
        ({"class": [1.0, np.nan]}, {}, "roofs.gpkg: feature 2: no class in column class"),
    ],
)
def test_missing_classes(images, tmp_path, columns, options, message):
    frame(RECTANGLES, **columns).to_file(tmp_path / "roofs.gpkg")
    with pytest.raises(UserError, match=message):
        read_label_set(tmp_path / "roofs.gpkg", images=ImageFiles(images), **options)


def test_unusable_files(images, tmp_path):
    path = tmp_path / "roofs.shp"
    frame(RECTANGLES, label=["a", "b"]).to_file(path)
    with pytest.raises(UserError, match=r"the labels are in map coordinates \(give the folder .* --images"):
        read_label_set(path)
    path.with_suffix(".prj").unlink()
    with pytest.raises(UserError, match=r"roofs.shp: the layer roofs has no CRS \(.*\.prj"):
        read_label_set(path, images=ImageFiles(images))
    path.with_suffix(".gpkg").write_bytes(b"SQLite format 3\0damaged")
    with pytest.raises(UserError, match=r"roofs.gpkg: not a readable vector file: "):
        read_label_set(path.with_suffix(".gpkg"), images=ImageFiles(images))
    path.with_suffix(".fgb").write_text('<OGRVRTDataSource><OGRVRTLayer name="a"/></OGRVRTDataSource>')
    with pytest.raises(UserError, match=r"roofs.fgb: not a .fgb file"):
        read_label_set(path.with_suffix(".fgb"), images=ImageFiles(images))
    for world in images.glob("*.pgw"):
        world.unlink()
    frame(RECTANGLES, label=["a", "b"]).to_file(path)
    with pytest.raises(UserError, match="but no image has a georeference and a CRS"):
        read_label_set(path, images=ImageFiles(images))


def test_files_without_polygons_to_read(images, tmp_path):
    (tmp_path / "a.fgb").write_bytes(b"fgb\x03fgb\x00" + bytes(range(256)) * 8)
    with pytest.raises(UserError, match=r"a.fgb: (the file has no layer with geometries|not a readable vector file)"):
        read_label_set(tmp_path / "a.fgb", images=ImageFiles(images))


def test_a_malformed_geometry_is_named(images, tmp_path):
    path = tmp_path / "roofs.gpkg"
    frame(RECTANGLES, label=["a", "b"]).to_file(path)
    ring = shapely.to_wkb(frame(RECTANGLES).geometry[1])
    content = path.read_bytes()
    short = ring[:9] + (3).to_bytes(4, "little") + ring[13:]  # three points of a ring of five: it is not closed
    path.write_bytes(content.replace(ring, short))
    with pytest.raises(UserError, match=r"roofs.gpkg: (feature 2: the geometry is malformed|not a readable vector)"):
        read_label_set(path, images=ImageFiles(images))


def test_a_class_that_is_no_text(images, tmp_path):
    frame(RECTANGLES, label=["a", "b"]).to_crs("EPSG:4326").to_file(tmp_path / "roofs.geojson")
    content = json.loads((tmp_path / "roofs.geojson").read_text())
    content["features"][1]["properties"]["label"] = ["a", "b"]
    (tmp_path / "roofs.geojson").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"roofs.geojson: feature 1: a class must be a string or a number, got '\['a'"):
        read_label_set(tmp_path / "roofs.geojson", images=ImageFiles(images))


def test_geojson_in_pixels_stays_in_pixels(images, tmp_path):
    features = [
        {
            "type": "Feature",
            "properties": {"class": "roof"},
            "geometry": shapely.geometry.mapping(shapely.Polygon(each)),
        }
        for each in RECTANGLES
    ]
    path = tmp_path / "P1.geojson"
    for mark in ({}, {"coordinates": "pixels"}, {"size": SIZE}):
        path.write_text(json.dumps({"type": "FeatureCollection", **mark, "features": features}))
        (record,) = read_label_set(path, images=ImageFiles(images)).images
        np.testing.assert_array_equal(record.polygons.reshape(-1, 4, 2), RECTANGLES)


def test_a_triangle_in_pixels_is_no_quadrilateral(tmp_path):
    geometry = shapely.geometry.mapping(shapely.Polygon([[10, 10], [30, 10], [30, 20]]))
    feature = {"type": "Feature", "properties": {"class": "roof"}, "geometry": geometry}
    (tmp_path / "P1.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(UserError, match="a polygon must have 4 corners, got 3"):
        read_label_set(tmp_path / "P1.geojson")


def test_geojson_in_degrees_is_named_in_a_note(images, tmp_path):
    frame(RECTANGLES, label=["a", "b"]).to_crs("EPSG:4326").to_file(tmp_path / "roofs.geojson", RFC7946="YES")
    notes = read_label_set(tmp_path / "roofs.geojson", images=ImageFiles(images)).notes
    assert "1 GeoJSON file in longitude and latitude: placed by the georeference of the images" in notes


def test_split_with_labels_of_a_map(images, tmp_path):
    frame(RECTANGLES, label=["roof", "shed"]).to_crs("EPSG:4326").to_file(tmp_path / "roofs.geojson")
    result = split_dota(images, tmp_path / "roofs.geojson", tmp_path / "out", workers=1, progress=False)
    assert result.class_counts == {"roof": (1, 1), "shed": (1, 1)}
    labels = read_labels(tmp_path / "out" / "labelTxt" / "P1__1024__0___0.txt")
    np.testing.assert_allclose(labels.polygons[0].reshape(4, 2).min(axis=0), (10, 10), atol=1e-4)
    assert (tmp_path / "out" / "labelTxt" / "P2__1024__0___0.txt").read_text() == ""


def test_detections_of_a_map_become_task1_files(images, tmp_path):
    frame(RECTANGLES, score=[0.9, 0.8], **{"class": ["roof", "shed"]}).to_file(tmp_path / "detections.gpkg")
    convert_labels(tmp_path / "detections.gpkg", tmp_path / "out", "dota", images=images)
    assert (tmp_path / "out" / "Task1_roof.txt").read_text().startswith("P1 0.9 ")
    with pytest.raises(UserError, match="the objects have scores: these are detections"):
        split_dota(images, tmp_path / "detections.gpkg", tmp_path / "tiles", workers=1, progress=False)


def test_labels_written_in_degrees_are_read_back(images, tmp_path):
    (tmp_path / "labels").mkdir()
    add_image(images, "P3", Georeference((0.5, 0, 447005, 0, -0.5, 4427000), "EPSG:32650"))  # overlaps P1
    cv2.imwrite(str(images / "P4.png"), np.zeros((80, 100, 3), np.uint8))
    lines = [" ".join(f"{value:g}" for value in polygon.ravel()) for polygon in RECTANGLES]
    for name in ("P1", "P2", "P3", "P4"):
        (tmp_path / "labels" / f"{name}.txt").write_text(f"{lines[0]} roof 1\n{lines[1]} shed 0\n")
    result = convert_labels(tmp_path / "labels", tmp_path / "out", "geojson", images=images)
    assert "3 images georeferenced: written in longitude and latitude" in result.notes
    assert "size" not in json.loads((tmp_path / "out" / "P1.geojson").read_text())
    records = read_label_set(tmp_path / "out", images=ImageFiles(images)).images
    assert sorted(record.image_id for record in records) == ["P1", "P2", "P3", "P4"]
    for record in records:
        corners = record.polygons.reshape(-1, 4, 2)
        distances = np.linalg.norm(corners[:, :, None] - RECTANGLES[:, None], axis=-1)
        assert distances.min(axis=2).max() <= 1e-6
        assert (record.classes, record.difficult.tolist()) == (("roof", "shed"), [1, 0])


def test_projected_coordinates_without_a_crs_are_explained(images, tmp_path):
    path = tmp_path / "roofs.geojson"
    frame(RECTANGLES, label=["a", "b"]).to_file(path)
    content = json.loads(path.read_text())
    del content["crs"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"no image for the labels of roofs \(in .* were read as pixels: .* member crs"):
        split_dota(images, path, tmp_path / "tiles", progress=False)


def test_a_wrong_crs_is_suspected_if_no_polygon_lies_in_an_image(images, tmp_path):
    frame(RECTANGLES, label=["a", "b"]).set_crs("EPSG:32633", allow_override=True).to_file(tmp_path / "roofs.gpkg")
    result = read_label_set(tmp_path / "roofs.gpkg", images=ImageFiles(images))
    assert result.notes == (
        "2 polygons in no image: left out",
        "1 layer without a polygon in any image: compare its CRS, EPSG:32633",
    )
