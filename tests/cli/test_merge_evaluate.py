"""The commands merge, evaluate and check-submission."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rotated_atss.cli import main
from rotated_atss.dota.datasets import DATASETS

BOX = "10 10 30 10 30 20 10 20"


@pytest.fixture
def folders(tmp_path):
    """Tile detections of two images with one ship each, the first detected twice; labels; an image without objects."""
    (tmp_path / "tiles").mkdir()
    (tmp_path / "tiles" / "Task1_ship.txt").write_text(
        f"P1__1024__0___0 0.9 {BOX}\nP1__1.0__0___0 0.80 {BOX}\nP2__0.5__0___0 0.7 {BOX}\n"
    )
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "P1.txt").write_text(f"gsd:0.1\n{BOX} ship 0\n")
    (tmp_path / "labels" / "P2.txt").write_text("20 20 60 20 60 40 20 40 ship 0\n20 20 60 20 60 40 20 40 plane 1\n")
    (tmp_path / "labels" / "P3.txt").write_text("")
    return tmp_path


def merge(folders, *more):
    return main(["merge", str(folders / "tiles"), "--out", str(folders / "merged"), *more])


def evaluate(folders, *more, detections="merged"):
    return main(["evaluate", "--detections", str(folders / detections), "--labels", str(folders / "labels"), *more])


def test_merge_and_evaluate_write_files_and_print_tables(folders, capsys):
    assert merge(folders) == 0
    assert (folders / "merged" / "Task1_ship.txt").read_text() == (
        "P1 0.9 10.0 10.0 30.0 10.0 30.0 20.0 10.0 20.0\nP2 0.7 20.0 20.0 60.0 20.0 60.0 40.0 20.0 40.0\n"
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["ship", "3", "2", "3", "2"]
    assert lines[2].split() == ["all", "3", "2"]
    assert evaluate(folders, "--json", str(folders / "ap.json")) == 0
    figures = json.loads((folders / "ap.json").read_text())
    assert (figures["AP50"], figures["AP75"], figures["AP50_95"]) == pytest.approx((1, 1, 1))
    assert figures["per_class"]["ship"]["objects"] == 2
    assert figures["images"] == 3
    assert figures["per_class"]["plane"] == {
        "objects": 0, "detections": 0, "recall": None, "AP50": None, "AP75": None, "AP50_95": None,
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "mAP at IoU 0.5: 1.0000 over 1 class on 3 images (VOC07, 11 points; 1 difficult object ignored)" in out


def test_shards_write_the_files_of_one_run(folders, capsys, user_error):
    words = ["merge", folders / "tiles", "--out", folders / "sharded", "--classes", "plane,ship"]
    merge(folders, "--classes", "plane,ship")
    one_run = capsys.readouterr().out.splitlines()
    for shard in ("3/2", "0/2", "x"):
        assert f"a shard must be I/N with I from 1 to N, got {shard}" in user_error(*words, "--shard", shard)
    assert main([*map(str, words), "--shard", "2/2"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(f" s; shard 1/2 is not finished; the last shard to end writes {folders / 'sharded'}")
    assert "--iou-threshold is '0.5', was '0.1'" in user_error(*words, "--shard", "1/2", "--iou-threshold", "0.5")
    assert "number of shards is '3', was '2'" in user_error(*words, "--shard", "1/3")
    assert main([*map(str, words), "--shard", "1/2"]) == 0
    assert capsys.readouterr().out.splitlines()[:-1] == one_run[:-1]
    for name in ("Task1_plane.txt", "Task1_ship.txt"):
        assert (folders / "sharded" / name).read_bytes() == (folders / "merged" / name).read_bytes()
    assert main([*map(str, words), "--shard", "1/2"]) == 0
    assert "this merge is complete; nothing to do" in capsys.readouterr().out
    assert main([*map(str, words), "--shard", "1/2", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_images_without_detections_are_named(folders, capsys):
    (folders / "merged").mkdir()
    (folders / "merged" / "Task1_ship.txt").write_text(f"P2 0.9 {BOX}\n")
    assert evaluate(folders) == 0
    assert "images with objects but without detections: P1\n" in capsys.readouterr().out
    assert evaluate(folders, "--classes", "ship,plane") == 0
    assert "without detections: P1\n" in capsys.readouterr().out


def test_evaluation_rules_are_options(folders, capsys):
    merge(folders)
    evaluate(folders, "--dota-version", "v2.0", "--metric", "area", "--json", str(folders / "ap.json"))
    figures = json.loads((folders / "ap.json").read_text())
    assert figures["AP50"] == pytest.approx(0.5)
    assert len(figures["per_class"]) == 18
    assert (figures["metric"], figures["difficult"], figures["dataset"]) == ("area", "count", "v2.0")
    assert "classes without a Task1 file, evaluated with no detections: plane" in capsys.readouterr().out
    evaluate(folders, "--dota-version", "v2.0", "--difficult", "ignore", "--json", str(folders / "ap.json"))
    assert json.loads((folders / "ap.json").read_text())["AP50"] == pytest.approx(1)


def test_a_dataset_selects_classes_and_rules(folders, capsys):
    """Ships of 20 x 10 and 40 x 20 pixels, both found: for SODA-A one is relatively and one generally small."""
    merge(folders)
    (folders / "labels" / "P2.txt").write_text("20 20 60 20 60 40 20 40 ship 0\n")
    assert evaluate(folders, "--dataset", "soda-a", "--json", str(folders / "ap.json")) == 0
    figures = json.loads((folders / "ap.json").read_text())
    assert (figures["metric"], figures["difficult"], figures["dataset"]) == ("coco", "count", "soda-a")
    assert tuple(figures["per_class"]) == DATASETS["soda-a"].classes
    assert figures["by_size"] == {
        "small": 1.0, "extremely small": None, "relatively small": 1.0, "generally small": 1.0, "normal": None,
    }  # fmt: skip
    assert "AP50:95 by size: small 1.0000, extremely small -, " in capsys.readouterr().out
    assert evaluate(folders, "--dataset", "hrsid") == 0
    assert "AP50:95 by size: all 1.0000, small 1.0000, medium -, large -" in capsys.readouterr().out
    assert evaluate(folders, "--dataset", "dior-r", "--metric", "coco") == 0  # COCO's sizes, no limit of detections
    assert "(COCO, 101 points; difficult objects counted)" in capsys.readouterr().out


def test_classes_option_limits_the_evaluation(folders, capsys):
    merge(folders, "--quiet")
    assert capsys.readouterr().out == ""
    assert evaluate(folders, "--classes", "ship,") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "plane" in line] == ["classes not evaluated (not in --classes): plane"]


def test_other_names_than_those_of_dota_can_be_left_out(folders, capsys):
    merge(folders, "--quiet")
    (folders / "merged" / "Task1_roof.txt").write_text("")
    with open(folders / "labels" / "P1.txt", "a") as file:
        file.write(f"{BOX} roof 0\n")
    capsys.readouterr()
    assert evaluate(folders, "--classes", "ship,") == 0
    assert "classes not evaluated (not in --classes): plane, roof" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "labels" / "P1.txt").write_text(f"{BOX} shp 0\n"), "P1.txt:1: unknown class 'shp'"),
        (lambda root: (root / "labels" / "P1.txt").write_text(f"{BOX} helipad 0\n"), "a class of DOTA v2.0"),
        (lambda root: (root / "labels" / "P2.txt").unlink(), "1 detection on 1 image without labels"),
        (lambda root: (root / "merged" / "Task1_ship.txt").unlink(), "merged: no Task1_<class>.txt"),
        (lambda root: (root / "merged" / "Task1_shp.txt").write_text(""), "Task1_shp.txt: unknown class 'shp'"),
    ],
)
def test_user_error_is_one_line(folders, capsys, change, message):
    merge(folders, "--quiet")
    change(folders)
    assert evaluate(folders) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.startswith("rotated-atss evaluate: error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("name", ["merged/Task1_ship.txt", "labels/P1.txt"])
def test_results_do_not_overwrite_an_input(folders, capsys, name):
    merge(folders)
    content = (folders / name).read_text()
    assert evaluate(folders, "--json", str(folders / name)) == 2
    assert "the output overlaps the input" in capsys.readouterr().err
    assert (folders / name).read_text() == content


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs sysfs")
def test_results_that_cannot_be_written_are_known_before_the_evaluation(folders, capsys):
    merge(folders, "--quiet")
    assert evaluate(folders, "--json", "/sys/ap.json") == 2
    captured = capsys.readouterr()
    assert captured.out == ""  # no table: nothing was evaluated
    assert captured.err.startswith("rotated-atss evaluate: error: /sys/ap.json: cannot be written: no ")


def test_own_classes_without_the_option_suggest_it(folders, capsys):
    merge(folders, "--quiet")
    (folders / "merged" / "Task1_roof.txt").write_text("")
    assert evaluate(folders) == 2
    assert capsys.readouterr().err.endswith("; if the classes are your own, add --classes plane,roof,ship)\n")
    assert evaluate(folders, "--classes", "plane,roof,ship") == 0
    for name in ("ship", "roof"):
        (folders / "merged" / f"Task1_{name}.txt").unlink()
    (folders / "merged" / "Task1_car.txt").write_text("")
    for path in (folders / "labels").iterdir():
        path.write_text(f"{BOX} car 0\n")
    assert evaluate(folders) == 2
    assert capsys.readouterr().err.endswith("add --classes car,)\n")
    assert evaluate(folders, "--classes", "car,") == 0


def test_table_and_json_have_the_same_fields(folders, capsys):
    merge(folders, "--quiet")
    capsys.readouterr()
    assert evaluate(folders, "--json", str(folders / "ap.json")) == 0
    header = capsys.readouterr().out.splitlines()[0].split()
    per_class = json.loads((folders / "ap.json").read_text())["per_class"]
    assert header == ["class", *per_class["ship"]]


@pytest.mark.parametrize("workers", ["0", "-3"])
def test_at_least_one_thread(folders, capsys, workers):
    merge(folders)
    assert evaluate(folders, "--workers", workers) == 2
    assert f"--workers: at least 1 worker is needed, got {workers}" in capsys.readouterr().err


def test_tile_detections_are_refused(folders, capsys):
    for more in ((), ("--ignore-unlabeled",)):  # ignoring all of them would report an AP of 0
        assert evaluate(folders, *more, detections="tiles") == 2
        assert "merge tiles into full images first" in capsys.readouterr().err


def test_misspelled_class_is_refused(folders, capsys):
    merge(folders)
    capsys.readouterr()
    assert evaluate(folders, "--classes", "shipp,plane") == 2
    assert "unknown class 'shipp' (nearest known class: 'ship')" in capsys.readouterr().err


def test_ignore_unlabeled_drops_images_without_labels(folders, capsys):
    merge(folders)
    (folders / "labels" / "P2.txt").unlink()
    assert evaluate(folders, "--ignore-unlabeled") == 0
    assert "over 1 class on 2 images" in capsys.readouterr().out


def test_image_with_two_label_files_is_refused(folders, capsys):
    merge(folders)
    assert evaluate(folders, "--labels", str(folders / "labels")) == 0  # the same folder given twice
    other = folders / "other"
    other.mkdir()
    (other / "P1.txt").write_text("")
    assert evaluate(folders, "--labels", str(other)) == 2
    assert "P1.txt: the image P1 also has a label file in" in capsys.readouterr().err


def test_check_submission(folders, capsys):
    merge(folders, "--classes", "v1.0")
    capsys.readouterr()
    assert main(["check-submission", str(folders / "merged")]) == 0
    assert capsys.readouterr().out.endswith("merged: valid (0 errors, 0 warnings)\n")
    assert main(["check-submission", str(folders / "tiles")]) == 1
    out = capsys.readouterr().out
    assert "Task1_ship.txt: image ids are tile names" in out
    assert "invalid (15 errors, 0 warnings)" in out
    (folders / "merged" / "Task1_ship.txt").unlink()
    main(["check-submission", str(folders / "merged")])
    assert "(1 error, 0 warnings)" in capsys.readouterr().out


def test_merge_and_evaluate_import_neither_torch_nor_opencv(folders):
    code = (
        "import sys; from rotated_atss.cli import main; "
        f"main(['merge', {str(folders / 'tiles')!r}, '--out', {str(folders / 'merged')!r}]); "
        f"main(['evaluate', '--detections', {str(folders / 'merged')!r}, '--labels', {str(folders / 'labels')!r}]); "
        "sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
