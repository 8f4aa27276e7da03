"""AP by COCO's rules on oriented boxes: hand-computed cases, and equality with a slow reference."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from rotated_atss.dota.ap_result import format_table, result_to_json
from rotated_atss.dota.coco_evaluation import Candidates, match_detections, order_candidates
from rotated_atss.dota.datasets import COCO_SIZES, DATASETS, SODA_A_SIZES
from rotated_atss.dota.detections import Detections
from rotated_atss.dota.labels import Labels
from rotated_atss.dota.task1_evaluation import IOU_THRESHOLDS, evaluate_detections
from rotated_atss.ops.boxes import obb_to_poly
from tests.references.slow_coco import slow_coco_ap


def square(x, y=0.0, side=10.0):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def labels_of(*objects):
    polygons, difficult = zip(*objects) if objects else ((), ())
    return Labels(
        np.array(polygons, float).reshape(-1, 8), ("ship",) * len(objects), np.array(difficult, np.int64),
        np.arange(1, len(objects) + 1),
    )  # fmt: skip


def evaluate(rows, labels, dataset="ssdd", **options):
    ids, scores, polygons = zip(*rows) if rows else ((), (), ())
    dets = {"ship": Detections.from_ids(ids, np.array(scores), np.array(polygons, float).reshape(-1, 8))}
    return evaluate_detections(dets, labels, dataset=dataset, classes=("ship",), **options)


def test_hundred_and_one_recall_levels():
    """One of two objects is found first: precision 1 up to recall 0.5, the levels 0.00 to 0.50 of 101."""
    labels = {"P1": labels_of((square(0), 0), (square(100), 0))}
    result = evaluate([("P1", 0.9, square(0)), ("P1", 0.8, square(500))], labels)
    assert result.metric == "coco"
    assert result.ap50 == pytest.approx(51 / 101)
    assert result.ap50_95 == pytest.approx(51 / 101)


def test_a_match_reaches_the_threshold():
    """Two squares of side 10 that share a third of their union: IoU 5 * 10 / 150 = 1/3."""
    labels = {"P1": labels_of((square(0), 0))}
    rows = [("P1", 0.9, square(5))]
    assert evaluate(rows, labels, iou_thresholds=[1 / 3 - 1e-9]).per_class["ship"].ap50_95 == 1
    assert evaluate(rows, labels, iou_thresholds=[1 / 3 + 1e-9]).per_class["ship"].ap50_95 == 0


def test_second_best_object_counts_by_cocos_rule_and_not_by_that_of_soda_a():
    """Both detections prefer the first object; the second one also reaches the other object."""
    labels = {"P1": labels_of((square(0), 0), (square(4), 0))}
    rows = [("P1", 0.9, square(0)), ("P1", 0.8, square(1.9))]  # IoU 81/119 = 0.681 and 79/121 = 0.653
    assert evaluate(rows, labels, iou_thresholds=[0.5]).ap50 == 1
    assert evaluate(rows, labels, "soda-a", iou_thresholds=[0.5]).ap50 == pytest.approx(51 / 101)
    # DOTA's rule is as strict, with 11 levels: 0.0 to 0.5
    assert evaluate(rows, labels, "v1.5", iou_thresholds=[0.5]).ap50 == pytest.approx(6 / 11)


def test_size_ranges_of_soda_a():
    """Sides 10, 16, 24, 40: areas 100, 256, 576, 1600, one object in each range; AP is of areas up to 1024."""
    sides = (10, 16, 24, 40)
    labels = {"P1": labels_of(*((square(100 * number, side=side), 0) for number, side in enumerate(sides)))}
    rows = [("P1", 0.9 - number / 10, square(100 * number, side=side)) for number, side in enumerate(sides)]
    result = evaluate(rows[:3], labels, "soda-a")  # all but the normal one
    assert dict(result.by_size) == {
        "small": 1.0, "extremely small": 1.0, "relatively small": 1.0, "generally small": 1.0, "normal": 0.0,
    }  # fmt: skip
    assert (result.ap50, result.per_class["ship"].npos, result.per_class["ship"].nignored) == (1, 3, 1)
    # A false positive of side 16 lowers only its range and that of all small objects.
    result = evaluate([("P1", 0.95, square(900, side=16)), *rows], labels, "soda-a")
    assert result.by_size["extremely small"] == result.by_size["generally small"] == result.by_size["normal"] == 1
    assert result.by_size["relatively small"] == pytest.approx(1 / 2)
    assert result.by_size["small"] == pytest.approx(3 / 4)


def test_detections_of_objects_outside_the_range_do_not_count():
    """A 12 x 12 object has exactly 144 square pixels and belongs to both ranges that meet there."""
    labels = {"P1": labels_of((square(0, side=12), 0))}
    result = evaluate([("P1", 0.9, square(0, side=12))], labels, "soda-a")
    assert result.by_size["extremely small"] == result.by_size["relatively small"] == 1
    assert math.isnan(result.by_size["normal"])
    assert result_to_json(result)["by_size"]["normal"] is None


def test_largest_number_of_detections_per_image():
    labels = {name: labels_of((square(0), 0)) for name in ("P1", "P2")}
    rows = [("P1", 0.9 - number / 1000, square(100 + 20 * number)) for number in range(100)]
    rows += [("P1", 0.1, square(0)), ("P2", 0.05, square(0))]  # the 101st of P1, and the first of P2
    result = evaluate(rows, labels)
    assert result.per_class["ship"].ndet == 101
    assert result.ap50 == pytest.approx(51 / 101 * (1 / 101))


def test_ignored_objects_are_taken_last():
    labels = {"P1": labels_of((square(0), 1), (square(1), 0))}
    rows = [("P1", 0.9, square(0))]  # IoU 1 with the difficult object, 90/110 with the other
    result = evaluate(rows, labels, difficult="ignore", iou_thresholds=[0.5])
    assert (result.ap50, result.per_class["ship"].npos) == (1, 1)
    assert evaluate(rows, labels, iou_thresholds=[0.5]).per_class["ship"].npos == 2


def test_objects_count_as_their_rectangles():
    trapezoid = [0, 0, 10, 0, 10, 10, 5, 10]
    result = evaluate([("P1", 0.9, square(0))], {"P1": labels_of((trapezoid, 0))})
    assert result.ap50_95 == 1


def test_table_names_the_sizes():
    result = evaluate([("P1", 0.9, square(0))], {"P1": labels_of((square(0), 0))}, "soda-a")
    lines = format_table(result).splitlines()
    assert lines[-2].endswith("(COCO, 101 points; difficult objects counted)")
    assert lines[-1].startswith("AP50:95 by size: small 1.0000, extremely small 1.0000, relatively small -, ")
    assert lines[-1].endswith("; the table is for small objects")


def test_no_objects_and_no_detections():
    result = evaluate([], {"P1": labels_of((square(0), 0))})
    assert result.ap50 == 0
    result = evaluate([("P1", 0.9, square(0))], {"P1": labels_of()})
    assert math.isnan(result.ap50)


def test_equal_ious_take_the_later_object_as_in_pycocotools():
    pairs = Candidates(np.array([0, 0]), np.array([0, 1]), np.array([0.8, 0.8]))
    free = np.array([False, False])
    for best_object_only, expected in ((False, 1), (True, 0)):
        ordered = order_candidates(pairs, free, best_object_only=best_object_only)
        assert match_detections(ordered, 1, 0.5, best_object_only=best_object_only).tolist() == [expected]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dataset", ["ssdd", "soda-a"])
def test_equals_the_slow_reference_on_crowded_images(seed, dataset):
    rng = np.random.default_rng(seed)
    rule = DATASETS[dataset].rule

    def boxes(count):
        values = np.column_stack([
            rng.uniform(0, 90, (count, 2)), rng.uniform(4, 60, (count, 2)), rng.uniform(-1.5, 1.5, count),
        ])  # fmt: skip
        return values

    objects, rows = [], []
    scores = iter(rng.permutation(400) / 400)
    for image in ("P1", "P2"):
        truth = boxes(8)
        noisy = np.concatenate([truth + rng.normal(0, (2, 2, 2, 2, 0.1), (8, 5)) for _ in range(2)] + [boxes(4)])
        noisy[:, 2:4] = np.maximum(noisy[:, 2:4], 3)
        flags = rng.random(8) < 0.2
        objects += list(zip([image] * 8, obb_to_poly(torch.from_numpy(truth)).tolist(), flags.tolist()))
        rows += [(image, next(scores), corners) for corners in obb_to_poly(torch.from_numpy(noisy)).tolist()]
    labels = {
        image: labels_of(*((corners, int(flag)) for name, corners, flag in objects if name == image))
        for image in ("P1", "P2")
    }
    result = evaluate(rows, labels, dataset, difficult="ignore")
    for size in rule.sizes:
        expected = slow_coco_ap(
            rows, objects, list(IOU_THRESHOLDS), (size.min_area, size.max_area), best_object_only=rule.best_object_only
        )
        assert result.by_size[size.name] == pytest.approx(np.mean(expected), abs=1e-9, nan_ok=True)
    first = slow_coco_ap(
        rows, objects, list(IOU_THRESHOLDS), (rule.sizes[0].min_area, rule.sizes[0].max_area),
        best_object_only=rule.best_object_only,
    )  # fmt: skip
    assert list(result.per_class["ship"].ap_by_iou.values()) == pytest.approx(first, abs=1e-9)
    assert 0 < result.ap50 < 1


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_coco_api_on_horizontal_boxes(seed):
    """The COCO API computes IoU and area of horizontal boxes, which are those of the rectangles."""
    pytest.importorskip("faster_coco_eval")
    from rotated_atss.coco.bbox_evaluation import evaluate_boxes
    from rotated_atss.coco.instances import CocoImage, Instances

    rng = np.random.default_rng(seed)
    annotations, rows = [], []
    scores = iter(rng.permutation(4000) / 4000)
    for image in range(4):
        for _ in range(25):
            xy, wh = rng.uniform(0, 300, 2), np.exp(rng.uniform(2, 5.2, 2))
            entry = {"image_id": image, "category_id": int(rng.integers(3))}
            annotations.append(
                {**entry, "id": len(annotations) + 1, "bbox": [*xy, *wh], "area": wh.prod(), "iscrowd": 0}
            )
            for _ in range(int(rng.integers(0, 4))):
                bbox = [*(xy + rng.normal(0, 0.08, 2) * wh), *(wh * np.exp(rng.normal(0, 0.1, 2)))]
                rows.append({**entry, "bbox": bbox, "score": float(next(scores))})
        for _ in range(120):  # more of one class than the 100 that count
            bbox = [*rng.uniform(0, 300, 2), *np.exp(rng.uniform(2, 5.2, 2))]
            rows.append({"image_id": image, "category_id": 0, "bbox": bbox, "score": float(next(scores)) / 2})
    names = ("plane", "ship", "car")
    images = [CocoImage(number, f"{number}.png", 600, 600) for number in range(4)]
    expected = evaluate_boxes(Instances(Path("a.json"), images, dict(enumerate(names)), annotations), rows).values()

    def corners(entry):
        x, y, w, h = entry["bbox"]
        return [x, y, x + w, y, x + w, y + h, x, y + h]

    labels = {}
    for image in range(4):
        inside = [each for each in annotations if each["image_id"] == image]
        labels[str(image)] = Labels(
            np.array([corners(each) for each in inside]), tuple(names[each["category_id"]] for each in inside),
            np.zeros(len(inside), np.int64), np.arange(1, len(inside) + 1),
        )  # fmt: skip
    dets = {}
    for number, name in enumerate(names):
        found = [row for row in rows if row["category_id"] == number]
        dets[name] = Detections.from_ids(
            [str(row["image_id"]) for row in found], np.array([row["score"] for row in found]),
            np.array([corners(row) for row in found]),
        )  # fmt: skip
    result = evaluate_detections(dets, labels, dataset="ssdd")
    assert (result.ap50_95, result.ap50, result.ap75) == pytest.approx(
        (expected["AP"], expected["AP50"], expected["AP75"]), abs=1e-9
    )
    assert [result.by_size[size] for size in ("small", "medium", "large")] == pytest.approx(
        [expected[f"AP_{size}"] for size in ("small", "medium", "large")], abs=1e-9
    )
    assert result.per_class["plane"].ndet == 400


def test_ranges_of_the_datasets():
    assert [(size.min_area, size.max_area) for size in SODA_A_SIZES] == [
        (0, 1024), (0, 144), (144, 400), (400, 1024), (1024, 2000),
    ]  # fmt: skip
    assert [size.name for size in COCO_SIZES] == ["all", "small", "medium", "large"]
