"""Average precision against DOTA_devkit's: its reference figures, its evaluator, and what each rule says."""

import json

import numpy as np
import pytest

from rotated_atss.dota.average_precision import average_precision
from rotated_atss.dota.classes import CLASSES
from rotated_atss.dota.detections import Detections, read_task1_folder
from rotated_atss.dota.folders import list_label_files
from rotated_atss.dota.labels import Labels, read_labels
from rotated_atss.dota.task1_evaluation import IOU_THRESHOLDS, evaluate_detections, format_table, result_to_json
from rotated_atss.errors import UserError


def square(x, y=0.0, side=10.0):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def labels_of(*objects):
    """Of (polygon, name, difficult)."""
    polygons, names, difficult = zip(*objects) if objects else ((), (), ())
    count = np.arange(1, len(objects) + 1)
    return Labels(np.array(polygons, float).reshape(-1, 8), tuple(names), np.array(difficult, np.int64), count)


def ships_of(*rows):
    """Of (image, score, polygon)."""
    ids, scores, polygons = zip(*rows) if rows else ((), (), ())
    return {"ship": Detections.from_ids(ids, np.array(scores), np.array(polygons, float))}


def load(folder):
    detections = read_task1_folder(folder / "merged_detections", CLASSES["v1.0"])
    return detections, {path.stem: read_labels(path) for path in list_label_files(folder / "labelTxt")}


# -- against DOTA_devkit


@pytest.mark.parametrize("metric", ["voc07", "area"])
@pytest.mark.parametrize("folder", ["nine_images", "four_images"])
def test_reference_figures(shared_data, folder, metric):
    folder = shared_data("dota_eval", folder)
    result = evaluate_detections(*load(folder), metric=metric)
    for name, reference in json.loads((folder / "reference.json").read_text())["classes"].items():
        found = result.per_class[name]
        assert (found.npos, found.ndet) == (reference["npos"], reference["ndet"])
        if not reference["npos"]:
            assert np.isnan(found.ap50)
            continue
        low, high = reference[f"tie_range_{metric}"]
        assert low - 1e-4 <= found.ap50 <= high + 1e-4
        assert found.ap50 == pytest.approx(reference[f"ap_{metric}_stable_order"], abs=1e-12)
        assert found.max_recall == pytest.approx(reference["max_recall"], abs=1e-12)


def devkit_result(tmp_path, detections, labels, name, threshold, metric, version):
    """What DOTA_devkit's evaluator gives for files that hold the same."""
    from rotated_atss.dota.detections import task1_path, write_detections
    from rotated_atss.dota.labels import write_labels

    task1 = pytest.importorskip("dotadevkit.evaluate.task1")
    write_detections(task1_path(tmp_path, name), detections[name])
    for image, each in labels.items():
        write_labels(tmp_path / f"{image}.txt", each.polygons, each.names, each.difficult)
    (tmp_path / "images").write_text("\n".join(labels))
    paths = (str(tmp_path / "Task1_{:s}.txt"), str(tmp_path / "{:s}.txt"), str(tmp_path / "images"), name)
    return task1.voc_eval(*paths, ovthresh=threshold, use_07_metric=metric == "voc07", version=version)[2]


@pytest.mark.parametrize("threshold", [0.5, 0.75, 0.95])
@pytest.mark.parametrize("metric", ["voc07", "area"])
@pytest.mark.parametrize("version", ["1.0", "1.5"])
def test_equals_the_devkit_on_a_crowd(tmp_path, threshold, metric, version):
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
    result = evaluate_detections(detections, labels, metric=metric, version=f"v{version}")
    theirs = devkit_result(tmp_path, detections, labels, "ship", threshold, metric, version)
    assert 0 < theirs < 1
    assert result.per_class["ship"].precisions[threshold] == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("folder", ["nine_images", "four_images"])
def test_equals_the_devkit_at_every_threshold_once_ties_are_broken(shared_data, tmp_path, folder):
    detections, labels = load(shared_data("dota_eval", folder))
    untied = {
        name: Detections(each.images, each.image_index, each.scores - 1e-9 * np.arange(len(each)), each.polygons)
        for name, each in detections.items()
    }
    result = evaluate_detections(untied, labels)
    for name in result.scored:
        theirs = [devkit_result(tmp_path, untied, labels, name, iou, "voc07", "1.0") for iou in IOU_THRESHOLDS]
        assert list(result.per_class[name].precisions.values()) == pytest.approx(theirs, abs=1e-12), name
        assert result.per_class[name].ap75 == pytest.approx(theirs[5], abs=1e-12)
        assert result.per_class[name].ap50_95 == pytest.approx(np.mean(theirs), abs=1e-12)


# -- the rules, one at a time


def test_everything_found():
    labels = {"P1": labels_of((square(0), "ship", 0), (square(50), "ship", 0)), "P2": labels_of()}
    result = evaluate_detections(ships_of(("P1", 0.9, square(0)), ("P1", 0.8, square(50))), labels)
    assert result.ap50 == result.ap75 == result.ap50_95 == pytest.approx(1)
    assert result.images == 2


def test_a_second_detection_of_an_object_is_false():
    labels = {"P1": labels_of((square(0), "ship", 0), (square(50), "ship", 0))}
    rows = [("P1", 0.9, square(0)), ("P1", 0.8, square(0)), ("P1", 0.7, square(50))]
    result = evaluate_detections(ships_of(*rows), labels, metric="area")
    assert result.ap50 == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_iou_must_be_above_the_threshold():
    labels = {"P1": labels_of((square(0), "ship", 0))}
    half = [0.0, 0, 10, 0, 10, 5, 0, 5]  # IoU 0.5
    assert evaluate_detections(ships_of(("P1", 1.0, half)), labels).ap50 == 0
    below = evaluate_detections(ships_of(("P1", 1.0, half)), labels, iou_thresholds=(0.49, 0.5))
    assert below.per_class["ship"].precisions[0.49] == pytest.approx(1)


@pytest.mark.parametrize(("version", "npos", "ap"), [("v1.0", 1, 1.0), ("v1.5", 2, 0.5), ("v2.0", 2, 0.5)])
def test_difficult_objects_by_version(version, npos, ap):
    labels = {"P1": labels_of((square(0), "ship", 2), (square(50), "ship", 0))}
    result = evaluate_detections(ships_of(("P1", 0.9, square(50))), labels, metric="area", version=version)
    assert result.per_class["ship"].npos == npos
    assert result.ap50 == pytest.approx(ap)


def test_a_detection_of_an_ignored_object_is_neither_true_nor_false():
    labels = {"P1": labels_of((square(0), "ship", 1), (square(50), "ship", 0))}
    rows = [("P1", 0.9, square(0)), ("P1", 0.8, square(0)), ("P1", 0.7, square(50))]
    assert evaluate_detections(ships_of(*rows), labels, metric="area").ap50 == pytest.approx(1)


def test_difficult_rule_overrides_the_version():
    labels = {"P1": labels_of((square(0), "ship", 1), (square(50), "ship", 0))}
    found = ships_of(("P1", 0.9, square(50)))
    assert evaluate_detections(found, labels, version="v1.0", difficult="count").per_class["ship"].npos == 2
    assert evaluate_detections(found, labels, version="v2.0", difficult="ignore").per_class["ship"].npos == 1


def test_equal_scores_rank_in_file_order():
    labels = {"P1": labels_of((square(0), "ship", 0))}
    wrong, right = ("P1", 0.5, square(90)), ("P1", 0.5, square(0))
    assert evaluate_detections(ships_of(right, wrong), labels, metric="area").ap50 == pytest.approx(1)
    assert evaluate_detections(ships_of(wrong, right), labels, metric="area").ap50 == pytest.approx(0.5)


def test_classes_without_objects_stay_out_of_the_mean():
    labels = {"P1": labels_of((square(0), "ship", 0))}
    result = evaluate_detections(ships_of(("P1", 0.9, square(0))), labels, classes=("ship", "plane"))
    assert result.ap50 == pytest.approx(1)
    assert result.scored == ["ship"]
    assert "left out of the mean: plane" in format_table(result)
    assert result_to_json(result)["per_class"]["plane"]["AP50"] is None


def test_class_with_objects_and_no_detections_counts_as_zero():
    labels = {"P1": labels_of((square(0), "ship", 0), (square(0), "plane", 0))}
    result = evaluate_detections(ships_of(("P1", 0.9, square(0))), labels, classes=("ship", "plane"))
    assert result.ap50 == pytest.approx(0.5)
    assert result.per_class["plane"].ap50_95 == 0


def test_detections_on_images_without_labels():
    labels = {"P1": labels_of((square(0), "ship", 0))}
    found = ships_of(("P8", 1.0, square(0)), ("P9", 1.0, square(0)), ("P9", 1.0, square(0)), ("P1", 0.9, square(0)))
    with pytest.raises(UserError, match="3 detections lie on 2 images without labels, the first on 'P8'"):
        evaluate_detections(found, labels)
    result = evaluate_detections(found, labels, ignore_unlabelled=True)
    assert result.ap50 == pytest.approx(1)
    assert result.per_class["ship"].ndet == 1


def test_objects_without_area_count_but_cannot_be_found(caplog):
    labels = {"P1": labels_of((square(0), "ship", 0), ([5.0] * 8, "ship", 0))}
    result = evaluate_detections(ships_of(("P1", 0.9, square(0))), labels, metric="area")
    assert result.ap50 == pytest.approx(0.5)
    assert "1 labelled objects have no area" in caplog.text


def test_threads_change_nothing():
    rng = np.random.default_rng(1)
    names, images = ("ship", "plane", "harbor"), ("P1", "P2")
    labels = {
        image: labels_of(*((square(*rng.uniform(0, 200, 2)), name, 0) for name in names for _ in range(20)))
        for image in images
    }
    found = {
        name: ships_of(
            *(
                (image, rng.uniform(), polygon + rng.normal(0, 1, 8))
                for image in images
                for polygon in labels[image].polygons
            )
        )["ship"]
        for name in names
    }
    through = []
    one, two = evaluate_detections(found, labels), evaluate_detections(found, labels, workers=2, on_done=through.append)
    assert one == two
    assert 0 < one.ap50 < 1
    assert list(two.per_class) == list(names)
    assert sorted(through) == sorted(names)


def test_wrong_choices():
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
    told = json.loads(json.dumps(result_to_json(result), allow_nan=False))
    assert (told["AP50"], told["AP75"], told["AP50_95"]) == (0.5, 0.5, 0.5)
    assert told["per_class"]["ship"] == {
        "AP50": 0.5, "AP75": 0.5, "AP50_95": 0.5, "npos": 2, "ndet": 1, "max_recall": 0.5,
    }  # fmt: skip
    assert (told["metric"], told["difficult"], told["version"]) == ("area", "ignore", "v1.0")
    lines = format_table(result).splitlines()
    assert lines[2].split() == ["ship", "2", "1", "0.5000", "0.5000", "0.5000", "0.5000"]
    assert len({len(line) for line in lines[:5]}) == 1
    assert "area under the curve" in lines[-1]
    assert "0 difficult objects ignored" in lines[-1]


# -- average precision


def slow_voc07(true, false, positives):
    recall, precision = (
        np.cumsum(true) / positives,
        np.cumsum(true) / np.maximum(np.cumsum(true) + np.cumsum(false), 1e-16),
    )
    return sum(max(precision[recall >= t], default=0) / 11 for t in np.arange(0.0, 1.1, 0.1))


@pytest.mark.parametrize("positives", [10, 11, 30])
def test_eleven_points(positives):
    rng = np.random.default_rng(positives)
    kind = rng.integers(0, 3, 40)
    true = (kind == 0) & (np.cumsum(kind == 0) <= 10)
    found, recall = average_precision(true, kind == 1, positives, "voc07")
    assert found == pytest.approx(slow_voc07(true, kind == 1, positives), abs=1e-12)
    assert recall == true.sum() / positives


def test_no_detections_and_no_objects():
    none = np.empty(0, dtype=bool)
    assert average_precision(none, none, 3, "voc07") == (0, 0)
    assert np.isnan(average_precision(none, none, 0, "area")).all()
