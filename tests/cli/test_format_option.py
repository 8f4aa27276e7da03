"""The option --format of predict: files of all formats, notes, and files of an earlier run."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from rotated_atss.cli._format_option import FORMAT_NAMES, note_georeferences, parse_formats
from rotated_atss.cli._prediction_files import PredictionFiles
from rotated_atss.errors import UserError
from rotated_atss.geo.writers import FORMATS
from rotated_atss.io.georeference import Georeference
from rotated_atss.tiling.feature_writer import FeatureWriter
from rotated_atss.tiling.merge_boxes import BoxDetections
from rotated_atss.tiling.prediction_record import ImageInfo
from rotated_atss.tiling.prediction_results import Task1Writer, write_results

pytest.importorskip("pyogrio")
UTM = Georeference((0.5, 0, 447000, 0, -0.5, 4427000), "EPSG:32650")
ONE = BoxDetections("P1", np.array([[10.0, 10, 8, 4, 0]]), np.array([0.5]), np.array([1]))
ALL = [f"detections.{name}" for name in ("csv", "fgb", "geojson", "gpkg", "parquet")]


def write(out, formats, georeference, images=("P1",)):
    """Write the files of one detection on each image, and return the names of removed files."""
    with PredictionFiles(out, {"formats": formats}, images) as files:
        for name in images:
            files.add(replace(ONE, name=name), ImageInfo(40, 30, georeference if name == "P1" else None))

        def compose_all(records):
            writers = [FeatureWriter(files.results, [name for name in formats if name != "dota"], ["plane", "ship"])]
            if "dota" in formats:
                writers.append(Task1Writer(files.results / "detections", ["plane", "ship"], ["ship"]))
            return str(write_results(records, writers))

        files.commit(compose_all)
        return files.outcome["removed_files"]


def names(out):
    return sorted(path.name for path in out.iterdir() if not path.name.startswith("."))


def test_names_are_those_of_the_writers():
    assert ("dota", *FORMATS) == FORMAT_NAMES


def test_all_formats_at_once(tmp_path):
    assert write(tmp_path, FORMAT_NAMES, UTM) == []
    assert names(tmp_path) == ["detections", *ALL]
    assert (tmp_path / "detections" / "Task1_ship.txt").read_text() == "P1 0.5 6.0 8.0 14.0 8.0 14.0 12.0 6.0 12.0\n"
    line = (tmp_path / "detections.csv").read_text().splitlines()[1]
    assert line.startswith("ship,0.5,P1,447005.0,4426995.0,")
    assert line.endswith(
        ',EPSG:32650,"POLYGON ((447003.0 4426996.0, 447003.0 4426994.0, 447007.0 4426994.0, 447007.0 4426996.0, '
        '447003.0 4426996.0))"'
    )


def test_files_of_an_earlier_run_are_replaced_or_removed(tmp_path):
    write(tmp_path, FORMAT_NAMES, UTM, ("P1", "P2"))
    (tmp_path / "my_detections.gpkg").touch()
    mixed = ["detections_epsg_32650.fgb", "detections_epsg_32650.parquet", "detections_ogc_crs84.geojson",
             "detections_pixels.fgb", "detections_pixels.geojson", "detections_pixels.parquet"]  # fmt: skip
    assert write(tmp_path, ("gpkg", "csv"), UTM) == mixed
    assert names(tmp_path) == ["detections", "detections.csv", "detections.gpkg", "my_detections.gpkg"]


def test_a_failed_format_leaves_the_earlier_result(tmp_path, monkeypatch):
    write(tmp_path, ("dota", "csv"), UTM)
    before = {path: path.read_bytes() for path in tmp_path.glob("detections*") if path.is_file()}

    def fail(*_):
        raise UserError("cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rotated_atss.tiling.feature_writer.write_features", fail)
        with pytest.raises(UserError, match="No space left"):
            write(tmp_path, ("dota", "csv"), None)
    assert {path: path.read_bytes() for path in tmp_path.glob("detections*") if path.is_file()} == before
    assert write(tmp_path, ("dota", "csv"), None) == []  # the same command continues
    assert ",pixels," in (tmp_path / "detections.csv").read_text()


def test_no_images(tmp_path):
    FeatureWriter(tmp_path, ["csv"], ["ship"]).close()
    assert len((tmp_path / "detections.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("shp", "--format: unknown format 'shp' .choose from dota, geojson, gpkg, fgb, csv, parquet."),
        (",", "--format: unknown format ','"),
    ],
)
def test_unknown_formats(text, message):
    with pytest.raises(UserError, match=message):
        parse_formats(text)


def test_georeferences_are_read_before_the_images(tmp_path):
    for name in ("P1", "P2", "P3"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "P4.png").write_bytes(b"damaged")
    (tmp_path / "P1.pgw").write_text("0.5 0 0 -0.5 447000.25 4426999.75")
    (tmp_path / "P1.prj").write_text("EPSG:32650")
    (tmp_path / "P2.pgw").write_text("0.5 0 0 -0.5 447000.25 4426999.75")
    paths = sorted(tmp_path.glob("*.png"))
    assert parse_formats("geojson, gpkg,geojson") == ("geojson", "gpkg")
    assert list(note_georeferences(["geojson"], paths)) == [
        "2 of 4 images are not georeferenced: detections have pixel coordinates, x right, y down",
        "1 of 4 images is without a CRS: detections have map coordinates, but no lengths in meters",
    ]
    assert list(note_georeferences(["dota"], paths)) == []
    (tmp_path / "P2.prj").write_text("nonsense")
    with pytest.raises(UserError, match=r"P2.png: 'nonsense' is not a coordinate reference system"):
        list(note_georeferences(["csv"], paths))
    (tmp_path / "P1.pgw").write_text("0.5 0")
    with pytest.raises(UserError, match=r"P1.pgw: "):
        list(note_georeferences(["csv"], paths))
