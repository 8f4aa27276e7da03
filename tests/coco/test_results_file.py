"""Results JSON: written rows, and validation of every field that is read."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rotated_atss.coco.instances import CocoImage, Instances, read_instances
from rotated_atss.coco.results_file import (
    assign_image_ids,
    default_category_ids,
    match_image_ids,
    read_results,
    to_coco_results,
)
from rotated_atss.errors import UserError
from rotated_atss.ops.boxes import obb_to_hbb

INSTANCES = {
    "images": [{"id": 0, "file_name": "0.jpg", "width": 500, "height": 500}],
    "categories": [{"id": 1, "name": "ship"}],
}
ROW = {"image_id": 0, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.5}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"annotations": []}, "not in COCO's results format"),
        ([ROW, {**ROW, "image_id": 99}], r"detections\[1\]: no such image_id 99 in "),
        ([{**ROW, "category_id": 99}], r"detections\[0\]: no such category_id 99"),
        ([{**ROW, "score": None}], r"detections\[0\]: score must be a number, got None"),
        ([{name: value for name, value in ROW.items() if name != "score"}], r"detections\[0\] has no score"),
        (
            [{**ROW, "bbox": [0, 0, 5]}],
            r"detections\[0\]: bbox must be four numbers x, y, width, height, got \[0, 0, 5\]",
        ),
        ([{"bbox": [0, 0, 5, 5]}], r"detections\[0\] has no image_id"),
        (["x"], r"detections\[0\] must be an object, got 'x'"),
    ],
)
def test_invalid_results_raise(tmp_path, rows, message):
    instances, results = tmp_path / "instances.json", tmp_path / "results.json"
    instances.write_text(json.dumps(INSTANCES))
    results.write_text(json.dumps(rows))
    with pytest.raises(UserError, match=f"results.json: {message}"):
        read_results(results, read_instances(instances))


def test_rows_of_an_image():
    oriented = torch.tensor([[15.0, 24.5, 10, 39, 0], [10, 10, 8, 2, np.pi / 2]], dtype=torch.float64)
    scores, labels = np.array([0.9, 0.1], np.float32), np.array([1, 0])
    assert to_coco_results(139, obb_to_hbb(oriented).numpy(), scores, labels, [1, 2]) == [
        {"image_id": 139, "category_id": 2, "bbox": [10, 5, 10, 39], "score": 0.9},
        {"image_id": 139, "category_id": 1, "bbox": [9, 6, 2, 8], "score": 0.1},
    ]
    assert to_coco_results("P0001", np.zeros((0, 4)), scores[:0], labels[:0], [1, 2]) == []


def test_boxes_are_rounded_and_scores_read_back_as_the_same_float32():
    scores = np.random.default_rng(0).random(1000, dtype=np.float32)
    boxes = np.random.default_rng(1).random((1000, 4), dtype=np.float32) * 100
    rows = to_coco_results(1, boxes, scores, np.zeros(1000, int), [5])
    assert np.array_equal(np.array([row["score"] for row in rows], np.float32), scores)
    expected = np.concatenate((boxes[:, :2], boxes[:, 2:].astype(float) - boxes[:, :2]), 1)
    assert np.abs(np.array([row["bbox"] for row in rows]) - expected).max() <= 0.0005 + 1e-9
    assert all(value == round(value, 3) for row in rows for value in row["bbox"])


def test_coco_classes_get_coco_category_ids(shared_data):
    content = json.loads(shared_data("coco_tiny", "annotations", "instances_val2017.json").read_text())
    categories = sorted(content["categories"], key=lambda each: each["id"])
    assert default_category_ids([each["name"] for each in categories]) == [each["id"] for each in categories]


@pytest.mark.parametrize(
    ("names", "ids"),
    [(["000139", "7"], [139, 7]), (["01", "1"], [1, 2]), (["2", "a"], [1, 2]), (["9" * 30, "3"], [1, 2]), ([], [])],
)
def test_image_ids_are_distinct(names, ids):
    assert list(assign_image_ids(names).values()) == ids


def test_image_ids_of_annotations_are_found_by_file_name():
    images = [CocoImage(5, "a/2.png", 8, 8), CocoImage(6, "01.png", 8, 8), CocoImage(7, "1.png", 8, 8)]
    instances = Instances(Path("gt.json"), images, {0: "plane"}, None)
    assert match_image_ids(["1.png", "01.png", "2.png"], instances) == {"1.png": 7, "01.png": 6, "2.png": 5}
    with pytest.raises(UserError, match=r"gt\.json: 1 of 2 images is not listed in this file, first '3\.png'"):
        match_image_ids(["1.png", "3.png"], instances)
    images.append(CocoImage(8, "b/1.png", 8, 8))
    with pytest.raises(UserError, match=r"two images have the file name '1\.png'"):
        match_image_ids(["1.png"], instances)
