"""The option --format of predict: files of all formats, notes, and files of an earlier run."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from rotated_atss.cli._feature_files import FORMAT_NAMES, FeatureFiles, find_feature_files
from rotated_atss.cli._prediction_files import PredictionFiles
from rotated_atss.errors import UserError
from rotated_atss.geo.writers import FORMATS
from rotated_atss.io.georeference import Georeference
from rotated_atss.tiling.merge_boxes import BoxDetections

pytest.importorskip("pyogrio")
UTM = Georeference((0.5, 0, 447000, 0, -0.5, 4427000), "EPSG:32650")
ONE = BoxDetections("P1", torch.tensor([[10.0, 10, 8, 4, 0]]), torch.tensor([0.5]), torch.tensor([1]))
ALL = [f"detections.{name}" for name in ("csv", "fgb", "geojson", "gpkg", "parquet")]


def write(out, formats, georeferences):
    with PredictionFiles(out, features=FeatureFiles(formats, georeferences)) as files:
        files.add(ONE, ["plane", "ship"])
        return sorted(path.name for path in files.commit(["plane", "ship"]))


def names(out):
    return sorted(path.name for path in out.iterdir() if not path.name.startswith("."))


def test_names_are_those_of_the_writers():
    assert ("dota", *FORMATS) == FORMAT_NAMES


def test_all_formats_at_once(tmp_path):
    assert write(tmp_path, FORMAT_NAMES, {"P1": UTM}) == []
    assert names(tmp_path) == ["detections", *ALL]
    assert (tmp_path / "detections" / "Task1_ship.txt").read_text() == "P1 0.5 6.0 8.0 14.0 8.0 14.0 12.0 6.0 12.0\n"
    line = (tmp_path / "detections.csv").read_text().splitlines()[1]
    assert line.startswith("ship,0.5,P1,447005.0,4426995.0,")
    assert line.endswith(
        ',EPSG:32650,"POLYGON ((447003.0 4426996.0, 447003.0 4426994.0, 447007.0 4426994.0, 447007.0 4426996.0, '
        '447003.0 4426996.0))"'
    )


def test_files_of_an_earlier_run_are_replaced_or_removed(tmp_path):
    write(tmp_path, FORMAT_NAMES, {"P1": UTM, "P2": None})
    (tmp_path / "my_detections.gpkg").touch()
    mixed = ["detections_epsg_32650.fgb", "detections_epsg_32650.parquet", "detections_ogc_crs84.geojson",
             "detections_pixels.fgb", "detections_pixels.geojson", "detections_pixels.parquet"]  # fmt: skip
    assert write(tmp_path, ("gpkg", "csv"), {"P1": UTM}) == mixed
    assert names(tmp_path) == ["detections", "detections.csv", "detections.gpkg", "my_detections.gpkg"]
    assert list((tmp_path / "detections").iterdir()) == []  # Task1 files of the earlier run


def test_task1_files_are_the_default(tmp_path):
    with PredictionFiles(tmp_path) as files:
        files.add(ONE, ["plane", "ship"])
        files.commit(["plane", "ship"])
    assert names(tmp_path) == ["detections"]


def test_a_failed_format_leaves_the_earlier_result(tmp_path, monkeypatch):
    write(tmp_path, ("dota", "csv"), {"P1": UTM})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fail(*_):
        raise UserError("cannot be written: No space left on device")

    monkeypatch.setattr("rotated_atss.geo.writers.write_features", fail)
    with pytest.raises(UserError, match="No space left"):
        write(tmp_path, ("dota", "csv"), {"P1": None})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "text, message",
    [
        ("shp", "--format: unknown format 'shp' .choose from dota, geojson, gpkg, fgb, csv, parquet."),
        (",", "--format: unknown format ','"),
    ],
)
def test_unknown_formats(text, message):
    with pytest.raises(UserError, match=message):
        find_feature_files(text, [])


def test_georeferences_are_read_before_the_images(tmp_path):
    for name in ("P1", "P2", "P3"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "P4.png").write_bytes(b"damaged")
    (tmp_path / "P1.pgw").write_text("0.5 0 0 -0.5 447000.25 4426999.75")
    (tmp_path / "P1.prj").write_text("EPSG:32650")
    (tmp_path / "P2.pgw").write_text("0.5 0 0 -0.5 447000.25 4426999.75")
    paths = sorted(tmp_path.glob("*.png"))
    features = find_feature_files("geojson, gpkg,geojson", paths)
    assert features.formats == ("geojson", "gpkg")
    assert features.georeferences == {"P1": UTM, "P2": Georeference(UTM.transform), "P3": None, "P4": None}
    assert list(features.notes()) == [
        "2 of 4 images are not georeferenced: coordinates are pixels, x right, y down",
        "1 of 4 images is without a CRS: map coordinates, no lengths in meters",
    ]
    assert list(find_feature_files("dota", paths).notes()) == []
    (tmp_path / "P2.prj").write_text("nonsense")
    with pytest.raises(UserError, match=r"P2.png: not a coordinate reference system, got 'nonsense'"):
        find_feature_files("csv", paths)
    (tmp_path / "P1.pgw").write_text("0.5 0")
    with pytest.raises(UserError, match=r"P1.pgw: "):
        find_feature_files("csv", paths)
