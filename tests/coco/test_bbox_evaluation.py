"""COCO's evaluation: the published twelve numbers, pycocotools beside it, mistakes in results."""

import json

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval")

from rotated_atss.coco.bbox_evaluation import evaluate_boxes, format_table, read_results, result_to_json
from rotated_atss.coco.instances import read_instances
from rotated_atss.errors import UserError

# the COCO API's own record of its fake results
TWELVE = ["0.505", "0.697", "0.573", "0.586", "0.519", "0.501", "0.387", "0.594", "0.595", "0.640", "0.566", "0.564"]


def test_the_twelve_numbers_of_cocos_fake_results(shared_data):
    truth = read_instances(shared_data("coco_eval", "instances_val2014_100.json"))
    found = read_results(shared_data("coco_eval", "instances_val2014_fakebbox100_results.json"), truth)
    result = evaluate_boxes(truth, found)
    assert [f"{row.value:.3f}" for row in result.rows] == TWELVE
    assert [line.split()[-1] for line in format_table(result).splitlines()[1:13]] == TWELVE
    stated = shared_data("coco_eval", "val2014_fake_eval_res.txt").read_text().split("type=bbox")[1].splitlines()
    stated = [line.split("@[")[1].replace("]", "|").split("|") for line in stated if "@[" in line]
    for row, (iou, area, dets, value) in zip(result.rows, stated):
        assert iou.split("=")[1].strip() == row.iou
        assert area.split("=")[1].strip() == row.area
        assert int(dets.split("=")[1]) == row.max_dets
        assert value.split("=")[1].strip() == f"{row.value:.3f}"


def scene(tmp_path, seed, images=6, classes=3, objects=9):
    """A random ground truth with crowds and all sizes, ids from 0, and detections that are near, doubled or astray."""
    draw = np.random.default_rng(seed)
    annotations, found = [], []
    for image in range(images):
        for _ in range(int(draw.integers(0, objects))):
            xy, wh = draw.uniform(0, 400, 2), np.exp(draw.uniform(1, 5.5, 2))
            entry = {"image_id": image, "category_id": int(draw.integers(classes)) + 1}
            annotations.append({**entry, "id": len(annotations), "bbox": [*xy, *wh], "area": wh.prod() * 0.8,
                                "iscrowd": int(draw.random() < 0.1)})  # fmt: skip
            for _ in range(int(draw.integers(0, 3))):
                bbox = [*(xy + draw.normal(0, 0.1, 2) * wh), *(wh * np.exp(draw.normal(0, 0.15, 2)))]
                found.append({**entry, "bbox": bbox, "score": round(float(draw.random()), 1)})
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 500, "height": 500} for n in range(images)],
        "categories": [{"id": n + 1, "name": f"c{n}"} for n in range(classes)],
        "annotations": annotations,
    }
    path = tmp_path / f"truth{seed}.json"
    path.write_text(json.dumps(content))
    return path, found


@pytest.mark.parametrize("seed", range(4))
def test_equals_pycocotools(tmp_path, seed):
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    path, found = scene(tmp_path, seed)
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        entry["id"] += 1  # pycocotools takes a match with 0 for none
    peer = coco.COCO()
    peer.dataset = content
    peer.createIndex()
    evaluation = cocoeval.COCOeval(peer, peer.loadRes([dict(each) for each in found]), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    result = evaluate_boxes(read_instances(path), found)
    assert np.allclose([row.value for row in result.rows], evaluation.stats, atol=1e-12)


def test_settings(tmp_path):
    path, found = scene(tmp_path, 5)
    truth = read_instances(path)
    before = json.dumps([truth.annotations, found])
    result = evaluate_boxes(truth, found, image_ids=[0, 1], categories=[2], max_dets=(1, 2, 3))
    assert json.dumps([truth.annotations, found]) == before  # the caller's rows are left as they are
    assert [row.max_dets for row in result.rows] == [3] * 6 + [1, 2, 3] + [3] * 3
    assert result.images == 2
    assert [row.key for row in result.rows][6:9] == ["AR_1", "AR_2", "AR_3"]
    assert list(result.per_class) == ["c1"]
    with pytest.raises(UserError, match=r"max_dets takes three rising numbers of detections, not \[10, 1, 5\]"):
        evaluate_boxes(truth, found, max_dets=(10, 1, 5))


def test_nothing_found_and_nothing_to_find(tmp_path):
    path, _ = scene(tmp_path, 6)
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
    with pytest.raises(UserError, match="has no annotations to evaluate against"):
        evaluate_boxes(read_instances(path), [])


def test_table_and_json_of_each_class(tmp_path):
    path, found = scene(tmp_path, 7)
    result = evaluate_boxes(read_instances(path), found)
    lines = format_table(result, per_class=True).splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["c0", "c1", "c2"]
    assert "maxDets 100" in lines[-4]
    told = json.loads(json.dumps(result_to_json(result)))
    assert told["rows"][0] == {"key": "AP", "kind": "AP", "iou": "0.50:0.95", "area": "all", "max_dets": 100,
                               "value": result.rows[0].value}  # fmt: skip
    assert np.isclose(np.mean([each["AP"] for each in told["per_class"].values()]), result.rows[0].value)


ROW = {"image_id": 0, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.5}


@pytest.mark.parametrize(
    "rows, message",
    [
        ({"annotations": []}, "is not COCO's results format"),
        ([ROW, {**ROW, "image_id": 99}], "detection 1: no such image_id 99 in "),
        ([{**ROW, "category_id": 99}], "detection 0: no such category_id 99"),
        ([{**ROW, "score": None}], "detection 0: score None is no number"),
        ([{name: value for name, value in ROW.items() if name != "score"}], "detection 0 has no score"),
        ([{**ROW, "bbox": [0, 0, 5]}], r"detection 0: bbox \[0, 0, 5\] is not four numbers"),
        ([{"bbox": [0, 0, 5, 5]}], "detection 0 has no image_id"),
        (["x"], "detection 0 is not an object"),
    ],
)
def test_mistakes_in_results(tmp_path, rows, message):
    truth = read_instances(scene(tmp_path, 8)[0])
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(UserError, match=f"results.json: {message}"):
        read_results(path, truth)
