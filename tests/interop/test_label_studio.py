"""Predictions for Label Studio, compared with its own package where that is installed."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from rotated_atss.errors import UserError
from rotated_atss.interop.detections import to_records
from rotated_atss.interop.label_studio import write_label_studio
from rotated_atss.label_formats.labelstudio import labeling_config, labeling_tasks
from rotated_atss.label_formats.reading import read_label_set
from rotated_atss.ops.box_polygons import obb_polygons
from rotated_atss.tiling.merge_boxes import BoxDetections

CLASSES = ["plane", "small & fast"]


@pytest.fixture
def detections() -> BoxDetections:
    boxes = np.array([[50.0, 40, 30, 10, 0.4], [20.5, 60, 12, 6, -1.2], [80, 30, 9, 9, 0]])
    return BoxDetections("P1", boxes, np.array([0.9, 0.5, 0.25]), np.array([1, 0, 1]))


def test_written_tasks_are_read_back(tmp_path, detections):
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "P1.jpg"), np.zeros((80, 100, 3), np.uint8))
    prefix = "/data/local-files/?d=images/"
    write_label_studio(tmp_path / "tasks.json", [detections], CLASSES, tmp_path / "images", url_prefix=prefix)
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert task["data"] == {"image": "/data/local-files/?d=images/P1.jpg"}
    (image,) = read_label_set(tmp_path / "tasks.json").images
    assert (image.name, image.size, image.scores.tolist()) == ("P1.jpg", (100, 80), [0.9, 0.5, 0.25])
    assert image.classes == ("small & fast", "plane", "small & fast")
    assert image.polygons == pytest.approx(obb_polygons(detections.boxes), abs=2e-6)


@pytest.mark.parametrize(
    "images, names, match",
    [
        ({"P2.png": (9, 9)}, CLASSES, "the images must include all images with detections: P1 is missing, got 1 image"),
        ({"P1.png": (9, 9)}, ["plane"], "every label needs a class name, got label 1 and 1 class name"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_written(tmp_path, detections, images, names, match):
    with pytest.raises(UserError, match=match):
        write_label_studio(tmp_path / "tasks.json", [detections], names, images)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow  # the import of label-studio-sdk
def test_corners_equal_those_of_label_studio(detections):
    utils = pytest.importorskip("label_studio_sdk.converter.utils", reason="label-studio-sdk is not installed")
    (task,) = labeling_tasks(to_records([detections], CLASSES, {"P1.png": (100, 80)}))
    for region, polygon in zip(task["predictions"][0]["result"], obb_polygons(detections.boxes), strict=True):
        size = {"original_width": region["original_width"], "original_height": region["original_height"]}
        shares = np.array(utils.convert_annotation_to_yolo_obb({**region["value"], **size}))
        assert (shares * [100, 80]).ravel() == pytest.approx(polygon, abs=2e-6)


@pytest.mark.slow
def test_predictions_are_valid_for_the_labeling_config(detections):
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason="label-studio-sdk is not installed")
    project = interface.LabelInterface(labeling_config(CLASSES))
    (task,) = labeling_tasks(to_records([detections], CLASSES, {"P1.png": (100, 80)}))
    assert project.validate_task({"data": task["data"]})
    assert project.validate_prediction(task["predictions"][0], return_errors=True) == []
