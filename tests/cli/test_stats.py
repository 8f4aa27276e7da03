"""The command stats: printed tables, JSON, CSV, plots and error lines."""

import csv
import json

import cv2
import numpy as np
import pytest

from rotated_atss.cli import main
from tests.references.datasets import dataset, random_dataset, write_folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "data", random_dataset(count=60, image_wh=((1500, 700), (400, 300))))


def stats(*words):
    assert main(["stats", *map(str, words)]) == 0


def test_full_images(folder, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    words = ["--images", folder / "images", "--labels", folder / "labelTxt", "--workers", "1"]
    stats(*words, "--json", tmp_path / "a.json", "--out", tmp_path / "out")
    out = capsys.readouterr().out
    report = json.loads((tmp_path / "a.json").read_text())
    lines = out.splitlines()
    assert lines[0] == "2 images, sides from 400 x 300 to 1500 x 700 px, 1.2 megapixels, 0 without objects"
    assert lines[1].startswith("60 objects of 2 classes: ")
    for advice in report["advice"]:
        assert f"{advice['topic']}: {advice['proposal']}" in lines
        assert f"  {advice['reason']}" in lines
    plan_lines = [line.split() for line in lines if line.startswith("1024 px")]
    assert len(plan_lines) == len(report["plans"])
    for words, plan in zip(plan_lines, report["plans"]):
        assert {str(plan["gap"]), str(plan["tiles"]), str(plan["cut"]), str(plan["in_no_tile"])} <= set(words)
    rows = list(csv.DictReader((tmp_path / "out" / "classes.csv").open()))
    assert {row["class"]: int(row["objects"]) for row in rows} == {c["name"]: c["objects"] for c in report["classes"]}
    assert float(rows[0]["size_median"]) == report["classes"][0]["size"]["median"]
    assert cv2.imread(str(tmp_path / "out" / "dataset.png")).shape == (960, 1920, 3)


def test_tables_fit_the_terminal(folder, capsys, monkeypatch):
    words = ["--images", folder / "images", "--labels", folder / "labelTxt", "--workers", "1"]
    stats(*words)
    full = capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    stats(*words)
    tables = capsys.readouterr().out.split("\n\n")[1:-1]
    assert max(len(line) for table in full.split("\n\n")[1:-1] for line in table.splitlines()) > 80
    assert max(len(line) for table in tables for line in table.splitlines()) <= 80
    for cell in full.split("\n\n", 1)[1].rpartition("\n\n")[0].split():
        assert cell in "\n".join(tables)


def test_tiles(folder, tmp_path, capsys):
    tiles = tmp_path / "tiles"
    words = ["split", "--images", folder / "images", "--labels", folder / "labelTxt", "--out", tiles, "--workers", "1"]
    assert main([*map(str, words), "--quiet"]) == 0
    capsys.readouterr()
    stats("--data", tiles, "--json", tmp_path / "a.json")
    report = json.loads((tmp_path / "a.json").read_text())
    manifest = json.loads((tiles / "manifest.json").read_text())
    assert report["images"]["count"] == len(manifest["tiles"])
    assert report["objects"]["count"] == manifest["totals"]["objects_in_tiles"]
    assert report["plans"] == []
    assert "objects per tile" in capsys.readouterr().out
    assert "the gap of 200 px" in next(each["reason"] for each in report["advice"] if each["topic"] == "tiles")


def test_coco(tmp_path, capsys):
    content = {
        "images": [{"id": 4, "file_name": "a.png", "width": 640, "height": 480}],
        "categories": [{"id": 9, "name": "ship"}],
        "annotations": [{"id": 1, "image_id": 4, "category_id": 9, "bbox": [5, 6, 200, 100]}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    stats("--coco-annotations", tmp_path / "a.json", "--json", tmp_path / "b.json")
    report = json.loads((tmp_path / "b.json").read_text())
    assert "anchor scale: " in capsys.readouterr().out
    assert (report["objects_per_tile"], report["plans"]) == (None, [])
    before = report["anchor_scales"]
    stats("--coco-annotations", tmp_path / "a.json", "--json", tmp_path / "b.json", "--input-size", "640", "480")
    assert json.loads((tmp_path / "b.json").read_text())["anchor_scales"] != before


def test_datasets_without_objects(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    folder = write_folder(tmp_path / "data", dataset([], names=()))
    words = ["--images", folder / "images", "--labels", folder / "labelTxt"]
    stats(*words, "--label-format", "dota", "--out", tmp_path / "out", "--json", tmp_path / "a.json")
    assert capsys.readouterr().out.startswith("1 image, 1000 x 800 px, 0.8 megapixels, 1 without objects\n0 objects of")
    assert (tmp_path / "out" / "dataset.png").is_file()


def test_user_errors(folder, tmp_path, user_error):
    images, labels = folder / "images", folder / "labelTxt"
    both = ["--images", images, "--labels", labels]
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "P0.txt").write_text("1 2 3 4 5 6 7 8 ship 0\n1 2\n")
    (tmp_path / "bad.json").write_text('{"images": []}')
    for words, message in (
        ([], "exactly one of --labels, --data and --coco-annotations is required, got none"),
        ([*both, "--data", folder], "is required, got --labels and --data"),
        (["--labels", labels], "--images and --labels must be given together"),
        (["--images", images], "one of --labels"),
        (["--images", tmp_path / "gone", "--labels", labels], "gone: no such folder"),
        (["--images", images, "--labels", tmp_path / "empty"], "empty: no label files in this folder"),
        (["--images", images, "--labels", tmp_path / "bad"], "P0.txt:2: a label line must have 9 or 10 fields"),
        (["--data", folder / "images"], "images: no folder images (give the output folder of split"),
        (["--coco-annotations", tmp_path / "bad.json"], "bad.json: not in COCO's instances format"),
        ([*both, "--out", images / "x"], "the output overlaps the input"),
        ([*both, "--json", labels / "a.json"], "the output overlaps the input"),
        ([*both, "--workers", "0"], "--workers must be at least 1, got 0"),
        ([*both, "--input-size", "0", "5"], "--input-size must be positive, got 0 5"),
    ):
        assert message in user_error("stats", *words)
    assert not (images / "x").exists()


def test_real_images(shared_data, capsys):
    folder = shared_data("dota_sample")
    stats("--images", folder / "images", "--labels", folder / "labelTxt")
    out = capsys.readouterr().out
    assert "1013 objects of 10 classes" in out
    assert np.count_nonzero([line.startswith("ship ") for line in out.splitlines()]) == 1


def test_detections_are_no_labels(folder, tmp_path, user_error):
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "Task1_ship.txt").write_text("P0 0.9 1 1 9 1 9 9 1 9\n")
    line = user_error("stats", "--images", folder / "images", "--labels", tmp_path / "found")
    assert "the objects have scores: these are detections (give the ground-truth labels)" in line
