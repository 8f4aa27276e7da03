"""Export to FiftyOne, read with its own importer where that is installed."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.interop.detections import to_records
from rotated_atss.interop.fiftyone import write_fiftyone
from rotated_atss.label_formats.reading import read_label_set
from rotated_atss.tiling.merge_boxes import BoxDetections


@pytest.fixture
def dataset(tmp_path) -> Path:
    """The folder ``out``: an image with a label and a detection, and an image without objects."""
    (tmp_path / "images").mkdir()
    for name in ("P1.png", "P2.png", "P3.png"):
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((50, 100, 3), np.uint8))
    (tmp_path / "labelTxt").mkdir()
    (tmp_path / "labelTxt" / "P1.txt").write_text("10 20 60 20 60 40 10 40 small-vehicle 1\n")
    (tmp_path / "labelTxt" / "P2.txt").write_text("")
    labels = read_label_set(tmp_path / "labelTxt").images
    found = BoxDetections("P1", np.array([[35.0, 30, 50, 20, 0]]), np.array([0.9]), np.array([1]))
    predictions = to_records([found], ["plane", "ship"], tmp_path / "images")
    fields = {"ground_truth": labels, "predictions": predictions}
    write_fiftyone(tmp_path / "out", tmp_path / "images", fields, classes=["plane", "ship"])
    return tmp_path / "out"


def test_fields_and_shares_of_the_image_size(dataset):
    first, second = json.loads((dataset / "samples.json").read_text())["samples"]
    assert first["filepath"] == str((dataset.parent / "images" / "P1.png").resolve())
    assert (first["metadata"]["width"], first["metadata"]["height"]) == (100, 50)
    corners = [[[0.1, 0.4], [0.6, 0.4], [0.6, 0.8], [0.1, 0.8]]]
    common = {"_cls": "Polyline", "points": corners, "closed": True, "filled": True}
    assert first["ground_truth"]["polylines"] == [{**common, "label": "small-vehicle", "difficult": 1}]
    assert first["predictions"]["polylines"] == [{**common, "label": "ship", "confidence": 0.9}]
    assert second["ground_truth"] == {"_cls": "Polylines", "polylines": []}
    assert "predictions" not in second


def test_task1_files_as_predictions(dataset, tmp_path):
    (tmp_path / "detections").mkdir()
    (tmp_path / "detections" / "Task1_ship.txt").write_text("P3 0.75 10 20 60 20 60 40 10 40\n")
    fields = {"predictions": read_label_set(tmp_path / "detections").images}
    write_fiftyone(tmp_path / "of_files", tmp_path / "images", fields)
    (sample,) = json.loads((tmp_path / "of_files" / "samples.json").read_text())["samples"]
    (polyline,) = sample["predictions"]["polylines"]
    assert (Path(sample["filepath"]).name, polyline["label"], polyline["confidence"]) == ("P3.png", "ship", 0.75)


@pytest.mark.parametrize("field", ["ground truth", "filepath", "_id"])
def test_fields_that_fiftyone_cannot_hold(tmp_path, field):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "P1.png").touch()
    with pytest.raises(UserError, match="a field name must be an identifier that FiftyOne does not use itself"):
        write_fiftyone(tmp_path / "out", tmp_path / "images", {field: []})
    assert not (tmp_path / "out").exists()


@pytest.mark.slow  # FiftyOne looks for a database when it is imported
def test_fiftyone_reads_the_folder(dataset):
    importers = pytest.importorskip("fiftyone.utils.data.importers", reason="fiftyone is not installed")
    importer = importers.FiftyOneDatasetImporter(str(dataset))
    assert importer._is_legacy_format_data()
    with importer._to_legacy_importer() as samples:
        first, second = samples
        assert samples.get_dataset_info() == {"classes": ["plane", "ship"]}
    assert (first.filename, first.metadata.width, first.metadata.height) == ("P1.png", 100, 50)
    (polyline,) = first.predictions.polylines
    assert (polyline.label, polyline.confidence, polyline.closed) == ("ship", 0.9, True)
    assert first.ground_truth.polylines[0].difficult == 1
    shape = polyline.to_shapely(frame_size=(100, 50))
    assert (shape.bounds, shape.area) == ((10, 20, 60, 40), pytest.approx(1000))
    assert (second.filename, second.ground_truth.polylines) == ("P2.png", [])
