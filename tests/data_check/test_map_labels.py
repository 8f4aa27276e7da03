"""Labels in map coordinates: the report equals that of the same labels in pixels."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from rotated_atss.cli import main
from rotated_atss.data_check.check import check_data
from rotated_atss.data_check.dataset_checks import records_by_image
from rotated_atss.data_check.parts import DataPart
from rotated_atss.io.georeference import Georeference

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")
pytest.importorskip("pyproj")

SIZE = 100, 80
LEFT = Georeference((0.5, 0, 447000, 0, -0.5, 4427000), "EPSG:32650")
RIGHT = Georeference((0.5, 0, 447100, 0, -0.5, 4427000), "EPSG:32650")
SQUARES = [[[10, 10], [30, 10], [30, 20], [10, 20]], [[50, 40], [70, 40], [70, 60], [50, 60]]]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, image in (("P1", LEFT), ("P2", RIGHT)):
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8))
        a, b, _, d, e, _ = image.transform
        x, y = image.to_map([0.5, 0.5])
        (folder / f"{name}.pgw").write_text("\n".join(map(repr, (a, d, b, e, float(x), float(y)))))
        (folder / f"{name}.prj").write_text(image.crs)
    return folder


def write(path, polygons, georeference=LEFT, **columns):
    path.parent.mkdir(exist_ok=True)
    shapes = [shapely.Polygon(georeference.to_map(polygon)) for polygon in polygons]
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs=georeference.crs)
    (frame.to_crs("EPSG:4326") if path.suffix == ".geojson" else frame).to_file(path)
    return path


def check(images, labels, **options):
    return check_data([DataPart(images, labels)], workers=1, progress=False, **options)


def kinds(report):
    return sorted(problem.kind for problem in report.problems)


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "shp", "geojson"])
def test_objects_of_a_map_file(images, tmp_path, suffix):
    report = check(images, write(tmp_path / f"roofs.{suffix}", SQUARES, kind=["a", "b"]), class_column="kind")
    assert (kinds(report), dict(report.class_counts)) == ([], {"a": 1, "b": 1})
    records = records_by_image(report.parts[0])
    first = records["P1"].polygons[records["P1"].classes.index("a")]
    assert np.allclose(first.reshape(4, 2), SQUARES[0], atol=1e-4)
    assert len(records["P2"]) == 0


def test_longitude_and_latitude_without_a_crs(images, tmp_path):
    path = write(tmp_path / "roofs.geojson", SQUARES, label=["a", "b"])
    content = json.loads(path.read_text())
    del content["crs"]
    path.write_text(json.dumps(content))
    report = check(images, path)
    assert (kinds(report), report.class_counts.total()) == ([], 2)


@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
@pytest.mark.parametrize("names", [("P1", "P2"), ("north", "south")])
def test_several_files(images, tmp_path, suffix, names):
    labels = tmp_path / "labels"
    write(labels / f"{names[0]}.{suffix}", SQUARES[:1], label=["a"])
    write(labels / f"{names[1]}.{suffix}", SQUARES[1:], label=["b"])  # of the first image as well
    report = check(images, labels)
    records = records_by_image(report.parts[0])
    if names[0] == "north" or suffix == "gpkg":
        assert (sorted(records["P1"].classes), len(records["P2"])) == (["a", "b"], 0)
    assert (kinds(report), report.class_counts.total()) == ([], 2)


def test_problems_are_found(images, tmp_path):
    outside = [[90, 10], [130, 10], [130, 20], [90, 20]]
    path = write(tmp_path / "roofs.gpkg", [*SQUARES, SQUARES[0], outside], label=["a", "b", "a", "shp"])
    (images / "P3.png").write_bytes((images / "P1.png").read_bytes()[:200])
    report = check(images, path, classes=["a", "b", "ship"])
    found = kinds(report)
    for kind in ("duplicate-object", "partly-outside", "misspelled-class", "changed-object", "truncated-image"):
        assert kind in found
    assert "unreadable-labels" not in found


def test_the_command(images, tmp_path, capsys):
    path = write(tmp_path / "roofs.gpkg", SQUARES)
    words = ["check-data", "--images", str(images), "--labels", str(path)]
    assert main([*words, "--class-name", "roof", "--fix", str(tmp_path / "clean")]) == 0
    assert "2 objects of 1 class; 0 errors" in capsys.readouterr().out
    assert (tmp_path / "clean" / "labelTxt" / "P1.txt").read_text().count("roof") == 2
    assert main(words) == 1
    assert "give the column with --class-column" in capsys.readouterr().out


def test_a_link_to_a_missing_image_is_a_problem(images, tmp_path):
    (images / "P3.png").symlink_to(images / "gone.png")
    report = check(images, None)
    assert [(problem.kind, problem.where) for problem in report.problems] == [
        ("unreadable-image", str(images / "P3.png"))
    ]
