"""Synthetic DOTA text files: counts, readability, and equal content for equal seeds."""

import numpy as np
import pytest

from benchmarks import bench_evaluate, bench_merge, bench_report, task1
from rotated_atss.dota.detections import list_task1_files, read_detections
from rotated_atss.dota.folders import list_label_files
from rotated_atss.dota.labels import read_labels
from rotated_atss.dota.tiles import parse_tile_name


def test_tile_detections_are_readable_and_seeded(tmp_path):
    written = task1.write_tiles(tmp_path / "one", 3000, 20)
    task1.write_tiles(tmp_path / "two", 3000, 20)
    found = {name: read_detections(path) for name, path in list_task1_files(tmp_path / "one").items()}
    assert list(found) == sorted(task1.CLASS_MIX)
    assert sum(map(len, found.values())) == written
    assert 2500 < written < 3500
    assert all(parse_tile_name(image).x >= 0 for image in found["ship"].images)
    for path in list_task1_files(tmp_path / "one").values():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_merged_detections_and_labels_have_the_stated_counts(tmp_path):
    written = bench_evaluate.write(tmp_path, 2000)
    images = [path.stem for path in list_label_files(tmp_path / "labelTxt")]
    labels = [read_labels(path, tuple(task1.CLASS_MIX)) for path in list_label_files(tmp_path / "labelTxt")]
    assert len(images) == bench_evaluate.IMAGES
    assert 380 < sum(map(len, labels)) < 420
    assert 1900 < written < 2100
    assert 0.03 < np.concatenate([each.difficult for each in labels]).mean() < 0.2
    found = [read_detections(path) for path in list_task1_files(tmp_path / "detections").values()]
    assert sum(map(len, found)) == written
    assert {image for each in found for image in each.images} <= set(images)


@pytest.mark.baseline
def test_both_evaluations_give_equal_ap(tmp_path):
    pytest.importorskip("dotadevkit.evaluate.task1")
    bench_evaluate.write(tmp_path, 2000)
    bench_evaluate.evaluate(tmp_path)
    assert bench_evaluate.largest_difference(tmp_path) < 1e-12


def test_merged_rows_are_compared_as_sets(tmp_path):
    shape, moved = "0 0 1 0 1 1 0 1", "9 9 1 0 1 1 0 1"
    folders = {
        "a": [f"P1 0.5 {shape}", f"P1 0.4 {shape}", f"P2 0.3 {shape}"],
        "b": [f"P1 0.5 {shape}", f"P1 0.4 {moved}", f"P2 0.2 {shape}"],
    }
    for name, lines in folders.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "Task1_ship.txt").write_text("\n".join(lines) + "\n")
    assert bench_merge.compare(tmp_path / "a", tmp_path / "b") == {"same": 1, "tied": 1, "different": 1}


def test_report_is_compared_with_evaluation_for_all_detections_only():
    rows = [{"command": "evaluate", "cpu_s": 1.0}, {"command": "report", "cpu_s": 4.5}]
    (target,) = bench_report.targets(rows, 50_000)
    assert (target["measured"], target["at_most"], target["met"]) == (4.5, 5.0, True)
    assert bench_report.targets(rows, 1000)[0]["measured"] is None
