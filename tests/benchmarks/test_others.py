"""Optional packages: reports of missing ones, conversions of their inputs, and comparisons on hand-made files."""

import os
import sys

import cv2
import numpy as np
import pytest
import torch

from benchmarks import bench_others, harness, inputs, others, records
from benchmarks.baselines import optional
from benchmarks.sections import section
from rotated_atss.dota.labels import read_labels

DETECTIONS = inputs.detections(60, 3, 2, 256)


@pytest.fixture
def none_installed(monkeypatch):
    for name in others.PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("package", others.PACKAGES)
def test_a_missing_package_is_reported_in_one_line(package, none_installed):
    reason = optional(package)
    assert reason.startswith(f"{package} cannot be used: ")
    assert "\n" not in reason


def test_a_package_that_fails_to_import_is_reported_in_one_line(monkeypatch, tmp_path):
    (tmp_path / "sahi.py").write_text("import numpy\nnumpy.removed_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sahi", raising=False)
    assert "removed_name" in optional("sahi")


def test_importing_ultralytics_leaves_the_number_of_threads_alone(monkeypatch, tmp_path):
    (tmp_path / "ultralytics.py").write_text("import os\nos.environ['OMP_NUM_THREADS'] = '1'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "ultralytics", None)  # so that the fake one is removed after the test
    monkeypatch.delitem(sys.modules, "ultralytics")
    monkeypatch.setattr(os, "environ", {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"})
    assert optional("ultralytics") == ""
    assert records.environment()["threads"] == "default"


def test_without_any_package_every_reason_is_printed_and_no_record_written(
    none_installed, monkeypatch, tmp_path, capsys
):  # fmt: skip
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    harness.run("others", [])
    output = capsys.readouterr().out
    assert all(f"{name} cannot be used" in output for name in others.PACKAGES)
    assert "no record is written" in output
    assert not (tmp_path / "results").exists()


def test_the_section_names_missing_packages_and_tasks_that_are_not_comparable():
    times = {"median": 0.5, "min": 0.4, "max": 0.6, "runs": 3}
    error = {"worst": 1e-7, "wrong_share": 0.0}
    row = {
        "task": "IoU", "library": "supervision", "quantity": "IoU", "title": "tile", "num_gt": [20, 30], "pairs": 600,
        "rotated_atss": times, "baseline": times, "speedup": 1.0, "rotated_atss_error": error, "baseline_error": error,
    }  # fmt: skip
    missing = {name: f"{name} cannot be used: absent" for name in ("sahi", "ultralytics")}
    record = {"name": "others", "environment": records.environment(), "rows": [row], "missing": missing,
              "settings": {"iou_threshold": 0.1, "data": "sample", "images": 4}}  # fmt: skip
    text = section(record)
    assert "Not measured: sahi cannot be used: absent." in text
    assert "| 20 x 30: tile | supervision |" in text
    assert "sahi, merging: postprocessing compares axis-aligned boxes" in text
    assert "Class-wise NMS" not in text  # no empty tables
    assert "Splitting" not in text


def test_ultralytics_gets_channels_first_class_scores_and_the_angle_last():
    boxes = torch.tensor([[10.0, 20, 8, 4, 0.5], [30.0, 40, 6, 2, -0.25]])
    prediction = others.ultralytics_prediction(boxes, torch.tensor([0.9, 0.75]), torch.tensor([1, 0]))
    expected = [[10, 30], [20, 40], [8, 6], [4, 2], [0, 0.75], [0.9, 0], [0.5, -0.25]]
    assert prediction.shape == (1, 7, 2)
    assert torch.equal(prediction[0], torch.tensor(expected))


@pytest.fixture
def data(tmp_path):
    """One image of 200 x 100 px with two objects."""
    for name in ("images", "labelTxt"):
        (tmp_path / "data" / name).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "data/images/P1.png"), np.zeros((100, 200, 3), np.uint8))
    lines = ["20 10 40 10 40 20 20 20 ship 0", "100 50 120 50 120 90 100 90 plane 1"]
    (tmp_path / "data/labelTxt/P1.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


def test_labels_are_converted_to_class_indices_and_fractions(data, tmp_path):
    folder = others.yolo_layout(data, tmp_path / "yolo")
    assert (folder / "images/train/P1.png").resolve() == (data / "images/P1.png").resolve()
    lines = [line.split() for line in (folder / "labels/train/P1.txt").read_text().splitlines()]
    assert [others.CLASSES["v2.0"][int(line[0])] for line in lines] == ["ship", "plane"]
    assert [float(value) for value in lines[0][1:]] == [0.1, 0.1, 0.2, 0.1, 0.2, 0.2, 0.1, 0.2]
    assert [float(value) for value in lines[1][1:]] == [0.5, 0.5, 0.6, 0.5, 0.6, 0.9, 0.5, 0.9]


def test_tiles_are_counted_and_compared_by_the_path_of_the_other_tile(tmp_path):
    pixels = np.full((10, 10, 3), 7, np.uint8)
    for folder, names in (("own/images", ["a", "b"]), ("other", ["a_10", "b_10", "c_10"])):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), pixels + (name == "b_10"))
    path_of = lambda tile: tmp_path / "other" / f"{tile.stem}_10.png"  # noqa: E731
    found = bench_others.compare_tiles(tmp_path / "own", tmp_path / "other", path_of)
    assert (found["tiles"], found["baseline_tiles"], found["same_pixels"]) == (2, 3, 1)


def test_the_best_threshold_has_the_fewest_mistakes():
    boxes = torch.tensor([[0.0, 0, 10, 10, 0], [2.0, 0, 10, 10, 0], [50.0, 0, 10, 10, 0]])
    scene = boxes, torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.int64)

    def nms(boxes, scores, labels, threshold):
        return lambda: torch.tensor([0, 2] if threshold == 0.4 else [0, 1, 2])

    expected = {"threshold": 0.4, "mistakes": {"kept_too_many": 0, "dropped_too_many": 0}}
    assert bench_others.best_threshold(nms, scene) == expected


def test_own_tiles_are_cropped_at_the_border_in_the_format_of_the_baseline(data, tmp_path):
    options = ("--labels", str(data / "labelTxt"), "--format", "jpg")
    bench_others.split_own(data, tmp_path / "out", 1, *options)()
    (tile,) = (tmp_path / "out/images").iterdir()
    assert tile.suffix == ".jpg"
    assert cv2.imread(str(tile)).shape == (100, 200, 3)
    labels = read_labels(tmp_path / "out/labelTxt" / f"{tile.stem}.txt")
    assert labels.names == ("ship", "plane")


# The packages themselves, where they are installed.


def test_supervision_gives_the_same_iou_and_nms():
    pytest.importorskip("supervision")
    first, second = inputs.scene(20, 0), inputs.scene(30, 1)
    reference = bench_others.rotated_iou(first, second)
    assert torch.allclose(others.supervision_iou(first, second)().float(), reference, atol=1e-5)
    kept = bench_others.rotated_nms(*DETECTIONS, 0.1)
    assert torch.equal(others.supervision_nms(*DETECTIONS, 0.1)(), kept.sort()[0])


def test_ultralytics_keeps_at_most_one_box_per_object():
    pytest.importorskip("ultralytics")
    kept = others.ultralytics_nms(*DETECTIONS, 0.1)()
    assert 0 < len(kept) <= len(bench_others.rotated_nms(*DETECTIONS, 0.1))
    assert len(kept.unique()) == len(kept)
