"""COCO box evaluation: published reference values, equality with pycocotools, settings and formats."""

import json

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval")

from rotated_atss.coco.bbox_evaluation import evaluate_boxes
from rotated_atss.coco.coco_result import format_table, result_to_json
from rotated_atss.coco.instances import read_instances
from rotated_atss.coco.results_file import read_results
from rotated_atss.errors import UserError

# reference values that the COCO API publishes for its example results
REFERENCE = ["0.505", "0.697", "0.573", "0.586", "0.519", "0.501", "0.387", "0.594", "0.595", "0.640", "0.566", "0.564"]


def test_reference_values_of_cocos_example_results(shared_data):
    instances = read_instances(shared_data("coco_eval", "instances_val2014_100.json"))
    detections = read_results(shared_data("coco_eval", "instances_val2014_fakebbox100_results.json"), instances)
    result = evaluate_boxes(instances, detections)
    assert [f"{row.value:.3f}" for row in result.rows] == REFERENCE
    assert [line.split()[-1] for line in format_table(result).splitlines()[1:13]] == REFERENCE
    lines = shared_data("coco_eval", "val2014_fake_eval_res.txt").read_text().split("type=bbox")[1].splitlines()
    settings = [line.split("@[")[1].replace("]", "|").split("|") for line in lines if "@[" in line]
    for row, (iou, area, dets, value) in zip(result.rows, settings):
        assert iou.split("=")[1].strip() == row.iou
        assert area.split("=")[1].strip() == row.area
        assert int(dets.split("=")[1]) == row.max_dets
        assert value.split("=")[1].strip() == f"{row.value:.3f}"


def random_scene(tmp_path, seed, images=6, classes=3, objects=9):
    """Random ground truth with crowds and all sizes, and detections with localization errors and duplicates."""
    draw = np.random.default_rng(seed)
    annotations, detections = [], []
    for image in range(images):
        for _ in range(int(draw.integers(0, objects))):
            xy, wh = draw.uniform(0, 400, 2), np.exp(draw.uniform(1, 5.5, 2))
            entry = {"image_id": image, "category_id": int(draw.integers(classes)) + 1}
            annotations.append({**entry, "id": len(annotations), "bbox": [*xy, *wh], "area": wh.prod() * 0.8,
                                "iscrowd": int(draw.random() < 0.1)})  # fmt: skip
            for _ in range(int(draw.integers(0, 3))):
                bbox = [*(xy + draw.normal(0, 0.1, 2) * wh), *(wh * np.exp(draw.normal(0, 0.15, 2)))]
                detections.append({**entry, "bbox": bbox, "score": round(float(draw.random()), 1)})
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 500, "height": 500} for n in range(images)],
        "categories": [{"id": n + 1, "name": f"c{n}"} for n in range(classes)],
        "annotations": annotations,
    }
    path = tmp_path / f"instances{seed}.json"
    path.write_text(json.dumps(content))
    return path, detections


@pytest.mark.parametrize("seed", range(4))
def test_equals_pycocotools(tmp_path, seed):
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    path, detections = random_scene(tmp_path, seed)
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        entry["id"] += 1  # pycocotools treats a match with id 0 as no match
    ground_truth = coco.COCO()
    ground_truth.dataset = content
    ground_truth.createIndex()
    evaluation = cocoeval.COCOeval(ground_truth, ground_truth.loadRes([dict(each) for each in detections]), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    result = evaluate_boxes(read_instances(path), detections)
    assert np.allclose([row.value for row in result.rows], evaluation.stats, atol=1e-12)


def test_image_category_and_detection_limits(tmp_path):
    path, detections = random_scene(tmp_path, 5)
    instances = read_instances(path)
    before = json.dumps([instances.annotations, detections])
    result = evaluate_boxes(instances, detections, image_ids=[0, 1], categories=[2], max_dets=(1, 2, 3))
    assert json.dumps([instances.annotations, detections]) == before
    assert [row.max_dets for row in result.rows] == [3] * 6 + [1, 2, 3] + [3] * 3
    assert result.images == 2
    assert [row.key for row in result.rows][6:9] == ["AR_1", "AR_2", "AR_3"]
    assert list(result.per_class) == ["c1"]
    with pytest.raises(UserError, match=r"max_dets must be three positive integers .* got \[10, 1, 5\]"):
        evaluate_boxes(instances, detections, max_dets=(10, 1, 5))


def test_without_detections_and_without_ground_truth(tmp_path):
    path, _ = random_scene(tmp_path, 6)
    values = evaluate_boxes(read_instances(path), []).values()
    assert values["AP"] == values["AR_100"] == 0
    assert set(values.values()) <= {0.0, -1.0}
    content = {**json.loads(path.read_text()), "annotations": []}
    path.write_text(json.dumps(content))
    empty = evaluate_boxes(read_instances(path), [])
    assert {row.value for row in empty.rows} == {-1.0}
    assert format_table(empty).splitlines()[1].endswith("-")
    assert result_to_json(empty)["rows"][0]["value"] is None
    del content["annotations"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="no annotations to evaluate against"):
        evaluate_boxes(read_instances(path), [])


def test_table_and_json_by_class(tmp_path):
    path, detections = random_scene(tmp_path, 7)
    result = evaluate_boxes(read_instances(path), detections)
    lines = format_table(result, per_class=True).splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["c0", "c1", "c2"]
    assert "max_dets 100" in lines[-4]
    record = json.loads(json.dumps(result_to_json(result)))
    assert record["rows"][0] == {"key": "AP", "kind": "AP", "iou": "0.50:0.95", "area": "all", "max_dets": 100,
                               "value": result.rows[0].value}  # fmt: skip
    assert np.isclose(np.mean([each["AP"] for each in record["per_class"].values()]), result.rows[0].value)
