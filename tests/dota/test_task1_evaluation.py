"""Task1 evaluation: reference values, equality with DOTA_devkit's evaluator, and each rule separately."""

import json

import numpy as np
import pytest

from rotated_atss.dota.ap_result import format_table, result_to_json
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import Detections, read_task1_folder, task1_path, write_detections
from rotated_atss.dota.folders import list_label_files
from rotated_atss.dota.labels import Labels, read_labels, write_labels
from rotated_atss.dota.task1_evaluation import IOU_THRESHOLDS, evaluate_detections
from rotated_atss.errors import UserError


def square(x, y=0.0, side=10.0):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def labels_of(*objects):
    """Labels of (polygon, name, difficult) tuples."""
    polygons, names, difficult = zip(*objects) if objects else ((), (), ())
    line_numbers = np.arange(1, len(objects) + 1)
    return Labels(np.array(polygons, float).reshape(-1, 8), tuple(names), np.array(difficult, np.int64), line_numbers)


def ships_of(*rows):
    """Detections of the class ship from (image id, score, polygon) tuples."""
    ids, scores, polygons = zip(*rows) if rows else ((), (), ())
    return {"ship": Detections.from_ids(ids, np.array(scores), np.array(polygons, float))}


def load(folder):
    detections = read_task1_folder(folder / "merged_detections", CLASSES["v1.0"])
    return detections, {path.stem: read_labels(path) for path in list_label_files(folder / "labelTxt")}


# -- equality with DOTA_devkit


@pytest.mark.parametrize("metric", ["voc07", "area"])
@pytest.mark.parametrize("folder", ["nine_images", "four_images"])
def test_reference_values(shared_data, folder, metric):
    folder = shared_data("dota_eval", folder)
    result = evaluate_detections(*load(folder), metric=metric)
    for name, reference in json.loads((folder / "reference.json").read_text())["classes"].items():
        each = result.per_class[name]
        assert (each.npos, each.ndet) == (reference["npos"], reference["ndet"])
        if not reference["npos"]:
            assert np.isnan(each.ap50)
            continue
        low, high = reference[f"tie_range_{metric}"]
        assert low - 1e-4 <= each.ap50 <= high + 1e-4
        assert each.ap50 == pytest.approx(reference[f"ap_{metric}_stable_order"], abs=1e-12)
        assert each.max_recall == pytest.approx(reference["max_recall"], abs=1e-12)


def devkit_result(tmp_path, detections, labels, name, threshold, metric, version):
    """AP of DOTA_devkit's evaluator for one class."""
    task1 = pytest.importorskip("dotadevkit.evaluate.task1")
    write_detections(task1_path(tmp_path, name), detections[name])
    for image, each in labels.items():
        write_labels(tmp_path / f"{image}.txt", each.polygons, each.names, each.difficult)
    (tmp_path / "images").write_text("\n".join(labels))
    paths = (str(tmp_path / "Task1_{:s}.txt"), str(tmp_path / "{:s}.txt"), str(tmp_path / "images"), name)
    return task1.voc_eval(*paths, ovthresh=threshold, use_07_metric=metric == "voc07", version=version)[2]


@pytest.mark.baseline
@pytest.mark.parametrize("threshold", [0.5, 0.75, 0.95])
@pytest.mark.parametrize("metric", ["voc07", "area"])
@pytest.mark.parametrize("version", ["1.0", "1.5"])
def test_equals_devkit_on_crowded_images(tmp_path, threshold, metric, version):
    rng = np.random.default_rng(0)
    labels, rows = {}, []
    for image in ("P1", "P2", "P3"):
        polygons = np.array([square(*corner) for corner in rng.uniform(0, 80, (25, 2))])
        labels[image] = labels_of(
            *((polygon, "ship", int(flag)) for polygon, flag in zip(polygons, rng.integers(0, 3, 25)))
        )
        for polygon in np.concatenate([polygons, polygons[:15]]):
            rows.append((image, rng.uniform(), polygon + rng.normal(0, rng.choice([0.1, 2.0]), 8)))
    detections = ships_of(*rows)
    result = evaluate_detections(detections, labels, metric=metric, dataset=f"v{version}")
    expected = devkit_result(tmp_path, detections, labels, "ship", threshold, metric, version)
    assert 0 < expected < 1
    assert result.per_class["ship"].ap_by_iou[threshold] == pytest.approx(expected, abs=1e-12)


@pytest.mark.baseline
@pytest.mark.parametrize("folder", [pytest.param("nine_images", marks=pytest.mark.slow), "four_images"])
def test_equals_devkit_at_every_threshold_without_score_ties(shared_data, tmp_path, folder):
    detections, labels = load(shared_data("dota_eval", folder))
    untied = {
        name: Detections(each.images, each.image_index, each.scores - 1e-9 * np.arange(len(each)), each.polygons)
        for name, each in detections.items()
    }
    result = evaluate_detections(untied, labels)
    for name in result.scored:
        expected = [devkit_result(tmp_path, untied, labels, name, iou, "voc07", "1.0") for iou in IOU_THRESHOLDS]
        assert list(result.per_class[name].ap_by_iou.values()) == pytest.approx(expected, abs=1e-12), name
        assert result.per_class[name].ap75 == pytest.approx(expected[5], abs=1e-12)
        assert result.per_class[name].ap50_95 == pytest.approx(np.mean(expected), abs=1e-12)


# -- each rule separately


def test_all_objects_detected():
    labels = {"P1": labels_of((square(0), "ship", 0), (square(50), "ship", 0)), "P2": labels_of()}
    result = evaluate_detections(ships_of(("P1", 0.9, square(0)), ("P1", 0.8, square(50))), labels)
    assert result.ap50 == result.ap75 == result.ap50_95 == pytest.approx(1)
    assert result.images == 2


def test_a_second_detection_of_an_object_is_a_false_positive():
    labels = {"P1": labels_of((square(0), "ship", 0), (square(50), "ship", 0))}
    rows = [("P1", 0.9, square(0)), ("P1", 0.8, square(0)), ("P1", 0.7, square(50))]
    result = evaluate_detections(ships_of(*rows), labels, metric="area")
    assert result.ap50 == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_iou_must_be_above_the_threshold():
    labels = {"P1": labels_of((square(0), "ship", 0))}
    half = [0.0, 0, 10, 0, 10, 5, 0, 5]  # IoU 0.5
    assert evaluate_detections(ships_of(("P1", 1.0, half)), labels).ap50 == 0
    below = evaluate_detections(ships_of(("P1", 1.0, half)), labels, iou_thresholds=(0.49, 0.5))
    assert below.per_class["ship"].ap_by_iou[0.49] == pytest.approx(1)


@pytest.mark.parametrize(("version", "npos", "ap"), [("v1.0", 1, 1.0), ("v1.5", 2, 0.5), ("v2.0", 2, 0.5)])
def test_difficult_objects_by_version(version, npos, ap):
    labels = {"P1": labels_of((square(0), "ship", 2), (square(50), "ship", 0))}
    result = evaluate_detections(ships_of(("P1", 0.9, square(50))), labels, metric="area", dataset=version)
    assert result.per_class["ship"].npos == npos
    assert result.ap50 == pytest.approx(ap)


def test_a_detection_of_an_ignored_object_counts_as_neither():
    labels = {"P1": labels_of((square(0), "ship", 1), (square(50), "ship", 0))}
    rows = [("P1", 0.9, square(0)), ("P1", 0.8, square(0)), ("P1", 0.7, square(50))]
    assert evaluate_detections(ships_of(*rows), labels, metric="area").ap50 == pytest.approx(1)


def test_difficult_rule_overrides_the_version():
    labels = {"P1": labels_of((square(0), "ship", 1), (square(50), "ship", 0))}
    detections = ships_of(("P1", 0.9, square(50)))
    assert evaluate_detections(detections, labels, dataset="v1.0", difficult="count").per_class["ship"].npos == 2
    assert evaluate_detections(detections, labels, dataset="v2.0", difficult="ignore").per_class["ship"].npos == 1


def test_equal_scores_are_ranked_in_file_order():
    labels = {"P1": labels_of((square(0), "ship", 0))}
    wrong, right = ("P1", 0.5, square(90)), ("P1", 0.5, square(0))
    assert evaluate_detections(ships_of(right, wrong), labels, metric="area").ap50 == pytest.approx(1)
    assert evaluate_detections(ships_of(wrong, right), labels, metric="area").ap50 == pytest.approx(0.5)


def test_classes_without_ground_truth_are_excluded_from_the_mean():
    labels = {"P1": labels_of((square(0), "ship", 0))}
    result = evaluate_detections(ships_of(("P1", 0.9, square(0))), labels, classes=("ship", "plane"))
    assert result.ap50 == pytest.approx(1)
    assert result.scored == ["ship"]
    assert "classes without ground truth, excluded from the mean: plane" in format_table(result)
    assert result_to_json(result)["per_class"]["plane"]["AP50"] is None


def test_class_without_detections_has_zero_ap():
    labels = {"P1": labels_of((square(0), "ship", 0), (square(0), "plane", 0))}
    result = evaluate_detections(ships_of(("P1", 0.9, square(0))), labels, classes=("ship", "plane"))
    assert result.ap50 == pytest.approx(0.5)
    assert result.per_class["plane"].ap50_95 == 0


def test_detections_on_images_without_labels():
    labels = {"P1": labels_of((square(0), "ship", 0))}
    detections = ships_of(
        ("P8", 1.0, square(0)), ("P9", 1.0, square(0)), ("P9", 1.0, square(0)), ("P1", 0.9, square(0))
    )
    with pytest.raises(UserError, match="3 detections on 2 images without labels, the first on 'P8'"):
        evaluate_detections(detections, labels)
    result = evaluate_detections(detections, labels, ignore_unlabeled=True)
    assert result.ap50 == pytest.approx(1)
    assert result.per_class["ship"].ndet == 1


def test_objects_without_area_count_but_never_match(caplog):
    labels = {"P1": labels_of((square(0), "ship", 0), ([5.0] * 8, "ship", 0))}
    result = evaluate_detections(ships_of(("P1", 0.9, square(0))), labels, metric="area")
    assert result.ap50 == pytest.approx(0.5)
    assert "1 labeled objects have no area" in caplog.text


def test_result_does_not_depend_on_threads():
    rng = np.random.default_rng(1)
    names, images = ("ship", "plane", "harbor"), ("P1", "P2")
    labels = {
        image: labels_of(*((square(*rng.uniform(0, 200, 2)), name, 0) for name in names for _ in range(20)))
        for image in images
    }
    detections = {
        name: ships_of(
            *(
                (image, rng.uniform(), polygon + rng.normal(0, 1, 8))
                for image in images
                for polygon in labels[image].polygons
            )
        )["ship"]
        for name in names
    }
    evaluated = []
    one, two = (
        evaluate_detections(detections, labels),
        evaluate_detections(detections, labels, workers=2, on_done=evaluated.append),
    )
    assert one == two
    assert 0 < one.ap50 < 1
    assert list(two.per_class) == list(names)
    assert sorted(evaluated) == sorted(names)


def test_unknown_choices_raise():
    labels = {"P1": labels_of()}
    with pytest.raises(UserError, match="unknown metric 'voc12'"):
        evaluate_detections(ships_of(), labels, metric="voc12")
    with pytest.raises(UserError, match="unknown rule for difficult objects 'drop'"):
        evaluate_detections(ships_of(), labels, difficult="drop")
    with pytest.raises(UserError, match="no labels"):
        evaluate_detections(ships_of(), {})


def test_json_and_table():
    labels = {"P1": labels_of((square(0), "ship", 0), (square(50), "ship", 0))}
    result = evaluate_detections(ships_of(("P1", 0.9, square(0))), labels, metric="area")
    record = json.loads(json.dumps(result_to_json(result), allow_nan=False))
    assert (record["AP50"], record["AP75"], record["AP50_95"]) == (0.5, 0.5, 0.5)
    assert record["per_class"]["ship"] == {
        "objects": 2, "detections": 1, "recall": 0.5, "AP50": 0.5, "AP75": 0.5, "AP50_95": 0.5,
    }  # fmt: skip
    assert (record["metric"], record["difficult"], record["dataset"]) == ("area", "ignore", "v1.0")
    lines = format_table(result).splitlines()
    assert lines[2].split() == ["ship", "2", "1", "0.5000", "0.5000", "0.5000", "0.5000"]
    assert len({len(line) for line in lines[:5]}) == 1
    assert "area under the curve" in lines[-1]
    assert "0 difficult objects ignored" in lines[-1]


def test_a_labeled_class_that_was_never_detected_counts():
    square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
    labels = Labels(np.vstack([square, square + 50]), ("car", "roof"), np.zeros(2, int), np.array([1, 2]))
    cars = {"car": Detections.from_ids(["P1"], np.array([0.9]), square)}
    assert evaluate_detections(cars, {"P1": labels}).ap50 == 0.5
    assert evaluate_detections(cars, {"P1": labels}, classes=["car"]).ap50 == 1.0
