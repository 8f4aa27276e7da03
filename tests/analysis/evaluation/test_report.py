"""Figures of a report agree with each other, and JSON and CSV hold them."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from rotated_atss.analysis.evaluation.ap_values import from_coco_result, from_task1_result
from rotated_atss.analysis.evaluation.counts import Counts
from rotated_atss.analysis.evaluation.from_coco import from_coco
from rotated_atss.analysis.evaluation.from_task1 import from_task1
from rotated_atss.analysis.evaluation.image_table import ImageRow, best_and_worst
from rotated_atss.analysis.evaluation.matching import Matcher, average_precisions
from rotated_atss.analysis.evaluation.report import ALL_CLASSES, EvaluationReport, ReportSettings, build_report
from rotated_atss.analysis.evaluation.report_json import report_to_json
from rotated_atss.analysis.evaluation.tables import detections_table, object_ious, tables_from_json
from rotated_atss.coco.bbox_evaluation import evaluate_boxes
from rotated_atss.coco.instances import read_instances
from rotated_atss.coco.results_file import read_results
from rotated_atss.dota.classes import resolve_classes
from rotated_atss.dota.detections import read_task1_folder
from rotated_atss.dota.labels import read_labels
from rotated_atss.dota.task1_evaluation import IOU_THRESHOLDS, evaluate_detections
from rotated_atss.errors import UserError
from tests.analysis.evaluation.samples import CLASSES, coco_report, corners, random_boxes, task1_report
from tests.references.slow_evaluation import Box

COUNTS = ("objects", "ignored", "detections", "tp", "fp", "fn")


def check_agreement(content: dict) -> None:
    """Check that the figures of a report add up."""
    summary, matrix = content["summary"], np.array(content["confusion"]["matrix"])
    assert summary["tp"] + summary["fn"] == summary["objects"]
    for rows in (content["images"], content["classes"]):
        assert {name: sum(row[name] for row in rows) for name in COUNTS} == {name: summary[name] for name in COUNTS}
    assert summary["images"] == len(content["images"])
    assert matrix[:-1].sum() == summary["objects"]
    assert matrix[:, :-1].sum() == summary["tp"] + summary["fp"] <= summary["detections"]
    errors = content["errors"]
    for kind in errors["kinds"]:
        assert errors["all"][kind]["count"] == sum(cells[kind]["count"] for cells in errors["classes"].values())
    false_positives = sum(cells["count"] for kind, cells in errors["all"].items() if kind != "missed")
    assert false_positives == summary["fp"]
    assert errors["all"]["missed"]["count"] <= summary["fn"]
    for row in content["classes"]:
        kinds = errors["classes"][row["name"]]
        assert sum(cells["count"] for kind, cells in kinds.items() if kind != "missed") == row["fp"]
    for name, groups in content["groups"].items():
        if groups:
            assert sum(group["objects"] for group in groups) == summary["objects"], name
            assert sum(group["objects"] * group["recall"] for group in groups) == pytest.approx(summary["tp"])
    scored = [row["AP50"] for row in content["classes"] if row["AP50"] is not None]
    assert summary["AP50"] == (pytest.approx(np.mean(scored)) if scored else None)
    curve, threshold = content["curves"][ALL_CLASSES], content["settings"]["score_threshold"]
    if content["settings"]["score_threshold_rule"] != "given" and summary["tp"]:
        point = curve["score"].index(threshold)
        for name in ("precision", "recall", "f1"):
            assert curve[name][point] == pytest.approx(summary[name])
        assert summary["f1"] == pytest.approx(max(curve["f1"]))


def test_figures_agree(report: EvaluationReport) -> None:
    content = report_to_json(report)
    check_agreement(content)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["summary"]["tp"] > 0


def test_true_and_false_positives_and_ignored_are_the_detections_above_the_threshold(report: EvaluationReport) -> None:
    matches, above = report.matches, report.above_threshold
    ignored = above & ~matches.true_positives & ~matches.false_positives
    assert report.counts.detections == report.counts.tp + report.counts.fp + ignored.sum() == above.sum()


@pytest.mark.parametrize("score", [0.0, 0.5, 2.0])
def test_a_given_threshold(score: float) -> None:
    content = report_to_json(task1_report(*random_boxes(5), score=score))
    check_agreement(content)
    assert content["settings"]["score_threshold"] == score
    assert content["settings"]["score_threshold_rule"] == "given"
    assert (content["summary"]["detections"] == 0) == (score == 2)


def test_a_threshold_that_is_not_finite_is_refused() -> None:
    with pytest.raises(UserError, match="the score threshold must be finite, got nan"):
        task1_report(*random_boxes(5), score=math.nan)


def test_classes_are_at_their_own_best_threshold() -> None:
    report = task1_report(*random_boxes(5))
    for row in report_to_json(report)["classes"]:
        own = report_to_json(task1_report(*random_boxes(5), score=row["best_score_threshold"] or 0.0))
        (again,) = (each for each in own["classes"] if each["name"] == row["name"])
        if row["best_score_threshold"] is not None:
            tp, fp = again["tp"], again["fp"]
            assert row["precision"] == pytest.approx(tp / (tp + fp))
            assert row["recall"] == pytest.approx(tp / row["objects"])
            assert row["f1"] == pytest.approx(2 * tp / (row["objects"] + tp + fp))


@pytest.mark.parametrize("build", [task1_report, coco_report])
@pytest.mark.parametrize("part", ["nothing", "detections", "objects", "ignored"])
def test_empty_parts(build, part: str) -> None:
    dets, objects = random_boxes(4, oriented=False)
    if part in ("nothing", "objects"):
        dets = []
    if part in ("nothing", "detections"):
        objects = []
    if part == "ignored":
        objects = [obj._replace(ignored=True, crowd=build is coco_report) for obj in objects]
    content = report_to_json(build(dets, objects))
    check_agreement(content)
    json.dumps(content, allow_nan=False)
    tables_from_json(content)
    assert content["summary"]["AP50"] == (0 if part == "objects" else None)
    assert content["summary"]["recall"] == (0 if part == "objects" else None)


def test_hypothesis_boxes_never_break_a_report() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    st = hypothesis.strategies
    number = st.integers(0, 12)
    box = st.builds(
        lambda image, name, x, y, w, h, score, ignored: Box(
            f"P{image}", name, (x, y, x + w, y, x + w, y + h, x, y + h), score / 4, ignored
        ),
        st.integers(0, 2), st.sampled_from(CLASSES), number, number, number, number, st.integers(-1, 5), st.booleans(),
    )  # fmt: skip

    @hypothesis.settings(max_examples=20, deadline=None, derandomize=True, database=None)
    @hypothesis.given(st.lists(box, max_size=12), st.lists(box, max_size=12), st.sampled_from(["voc07", "coco"]))
    def check(dets: list[Box], objects: list[Box], metric: str) -> None:
        report = task1_report(dets, objects, metric=metric)
        content = report_to_json(report)
        check_agreement(content)
        json.dumps(content, allow_nan=False)
        assert len(detections_table(report).splitlines()) == len(dets) + 1

    check()


def test_tables_hold_the_figures_of_the_json(report: EvaluationReport) -> None:
    content = report_to_json(report)
    tables = {name: list(csv.DictReader(io.StringIO(text))) for name, text in tables_from_json(content).items()}
    assert [row["name"] for row in tables["classes"]] == list(CLASSES)
    assert sum(int(row["tp"]) for row in tables["images"]) == content["summary"]["tp"]
    assert [[int(row[name]) for name in content["confusion"]["classes"]] for row in tables["confusion"]] == (
        content["confusion"]["matrix"]
    )
    assert sum(int(row["count"]) for row in tables["errors"] if not row["class"]) == (
        sum(cells["count"] for cells in content["errors"]["all"].values())
    )
    assert len(tables["groups"]) == sum(map(len, content["groups"].values()))
    assert float(tables["curves"][0]["score"]) == content["curves"][CLASSES[0]]["score"][0]
    assert tables["classes"][3]["AP50"] == ""  # undefined


def test_table_of_detections(report: EvaluationReport) -> None:
    rows = list(csv.DictReader(io.StringIO(detections_table(report))))
    above = [row for row in rows if float(row["score"]) >= report.score_threshold]
    for state, number in (("tp", report.counts.tp), ("fp", report.counts.fp)):
        assert sum(row["state"] == state for row in above) == number
    assert all(bool(row["error"]) == (row["state"] == "fp") for row in rows)
    assert all(float(row["iou"]) >= 0.5 and row["object"] for row in rows if row["state"] == "tp")
    ious, gt_index = object_ious(report)
    assert ((gt_index >= 0) == (ious > 0)).all()


def test_object_numbers_count_within_the_image() -> None:
    places = [(f"P{image}", 50 + 200 * place) for image in (0, 1) for place in (0, 1)]
    objects = [Box(image, "ship", corners(x, 50, 40, 10, 0)) for image, x in places]
    dets = [obj._replace(score=0.5 + index / 10) for index, obj in enumerate(objects)]
    rows = list(csv.DictReader(io.StringIO(detections_table(task1_report(dets, objects)))))
    assert {(row["image"], row["object"]) for row in rows} == {("P0", "0"), ("P0", "1"), ("P1", "0"), ("P1", "1")}


def test_best_and_worst_images() -> None:
    rows = [ImageRow(f"P{tp}", Counts(10, 0, tp, tp, 0)) for tp in range(11)]
    rows += [ImageRow("none", Counts(0, 0, 0, 0, 0)), ImageRow("false", Counts(0, 0, 3, 0, 3))]
    best, worst = best_and_worst(rows, limit=3)
    assert (best, worst) == (["P10", "P9", "P8"], ["P0", "false", "P1"])
    best, worst = best_and_worst(rows, limit=100)
    assert (len(best), len(worst), set(best) & set(worst)) == (6, 6, set())
    assert best_and_worst([]) == ([], [])
    assert best_and_worst([ImageRow("P1", Counts(1, 0, 0, 0, 0))]) == ([], ["P1"])
    assert best_and_worst([ImageRow("P1", Counts(1, 0, 1, 1, 0))]) == (["P1"], [])


@pytest.mark.parametrize("metric", ["voc07", "area"])
def test_nine_images_of_dota_have_the_ap_of_dota_devkit(shared_data, metric: str) -> None:
    folder: Path = shared_data("dota_eval", "nine_images")
    classes = resolve_classes("v1.0")
    detections = read_task1_folder(folder / "merged_detections", classes)
    labels = {path.stem: read_labels(path) for path in sorted((folder / "labelTxt").glob("*.txt"))}
    result = evaluate_detections(detections, labels, classes=classes, metric=metric)
    ap = from_task1_result(result)
    report = build_report(
        from_task1(detections, labels, classes, metric=metric), ap, ReportSettings("v1.0", result.iou_thresholds)
    )
    content = report_to_json(report)
    check_agreement(content)
    reference = json.loads((folder / "reference.json").read_text())["classes"]
    for row in content["classes"]:
        expected = reference[row["name"]]
        assert row["objects"] == expected["npos"]
        if row["objects"]:
            low, high = expected[f"tie_range_{metric}"]
            assert low - 1e-9 <= row["AP50"] <= high + 1e-9
    assert content["summary"]["detections"] > 700


def test_hundred_images_of_coco_have_the_ap_of_faster_coco_eval(shared_data) -> None:
    pytest.importorskip("faster_coco_eval")
    instances = read_instances(shared_data("coco_eval", "instances_val2014_100.json"))
    rows = read_results(shared_data("coco_eval", "instances_val2014_fakebbox100_results.json"), instances)
    result = evaluate_boxes(instances, rows)
    data = from_coco(instances, rows)
    report = build_report(data, from_coco_result(result), ReportSettings("COCO", IOU_THRESHOLDS))
    check_agreement(report_to_json(report))
    matcher = Matcher(data, report.overlaps)
    for threshold, name in ((0.5, "AP50"), (0.75, "AP75")):
        ours = average_precisions(data, matcher.match(threshold))
        expected = [report.ap.per_class[each][name] for each in data.classes]
        np.testing.assert_allclose(ours, expected, atol=1e-12)
        assert np.nanmean(ours) == pytest.approx(result.values()[name], abs=1e-12)
    assert data.objects.crowd.any()
