"""Results JSON: validation of every field."""

import json

import pytest

from rotated_atss.coco.instances import read_instances
from rotated_atss.coco.results_file import read_results
from rotated_atss.errors import UserError

INSTANCES = {
    "images": [{"id": 0, "file_name": "0.jpg", "width": 500, "height": 500}],
    "categories": [{"id": 1, "name": "ship"}],
}
ROW = {"image_id": 0, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.5}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"annotations": []}, "not in COCO's results format"),
        ([ROW, {**ROW, "image_id": 99}], "detection 1: no such image_id 99 in "),
        ([{**ROW, "category_id": 99}], "detection 0: no such category_id 99"),
        ([{**ROW, "score": None}], "detection 0: score must be a number, got None"),
        ([{name: value for name, value in ROW.items() if name != "score"}], "detection 0 has no score"),
        ([{**ROW, "bbox": [0, 0, 5]}], r"detection 0: bbox must be four numbers x, y, width, height, got \[0, 0, 5\]"),
        ([{"bbox": [0, 0, 5, 5]}], "detection 0 has no image_id"),
        (["x"], "detection 0 must be an object, got 'x'"),
    ],
)
def test_invalid_results_raise(tmp_path, rows, message):
    instances, results = tmp_path / "instances.json", tmp_path / "results.json"
    instances.write_text(json.dumps(INSTANCES))
    results.write_text(json.dumps(rows))
    with pytest.raises(UserError, match=f"results.json: {message}"):
        read_results(results, read_instances(instances))
