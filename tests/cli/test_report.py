"""The command ``report`` and the option ``--report`` of ``evaluate``."""

import csv
import json

import cv2
import numpy as np
import pytest

from rotated_atss.cli import main

BOX = "10 10 30 10 30 20 10 20"
FAR = "60 60 80 60 80 70 60 70"


@pytest.fixture
def folders(tmp_path):
    """Two images: a found ship and a false one; a ship that is detected as a plane."""
    for name in ("merged", "labels", "images"):
        (tmp_path / name).mkdir()
    (tmp_path / "merged/Task1_ship.txt").write_text(f"P1 0.9 {BOX}\nP1 0.6 {FAR}\n")
    (tmp_path / "merged/Task1_plane.txt").write_text(f"P2 0.8 {BOX}\n")
    (tmp_path / "labels/P1.txt").write_text(f"{BOX} ship 0\n")
    (tmp_path / "labels/P2.txt").write_text(f"{BOX} ship 0\n{FAR} plane 1\n")
    for image in ("P1", "P2"):
        cv2.imwrite(str(tmp_path / f"images/{image}.png"), np.full((100, 100, 3), 90, np.uint8))
    return tmp_path


@pytest.fixture
def inputs(folders):
    return ["--detections", str(folders / "merged"), "--labels", str(folders / "labels"), "--quiet"]


@pytest.fixture
def coco_inputs(tmp_path):
    """A dog that is found and a cat that is missed."""
    pytest.importorskip("faster_coco_eval")
    entry = {"image_id": 4, "bbox": [10, 10, 50, 50], "area": 2500, "iscrowd": 0}
    instances = {
        "images": [{"id": 4, "file_name": "val/a.jpg", "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [{**entry, "id": 1, "category_id": 1}, {**entry, "id": 2, "category_id": 2}],
    }
    results = [{"image_id": 4, "category_id": 1, "bbox": entry["bbox"], "score": 0.9}]
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "coco/val").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "coco/val/a.jpg"), np.full((100, 100, 3), 90, np.uint8))
    return ["--coco-annotations", str(tmp_path / "instances.json"), "--detections", str(tmp_path / "results.json")]


def read(folder):
    return json.loads((folder / "report.json").read_text())


def test_evaluate_writes_the_report_with_its_ap(folders, inputs, capsys):
    words = ["--report", str(folders / "rep"), "--json", str(folders / "ap.json"), "--score", "0.5"]
    assert main(["evaluate", *inputs, *words]) == 0
    assert capsys.readouterr().out.endswith(f"report: {folders / 'rep/index.html'}\n")
    content, ap = read(folders / "rep"), json.loads((folders / "ap.json").read_text())
    for name in ("AP50", "AP75", "AP50_95"):
        assert content["summary"][name] == ap[name]
        assert {row["name"]: row[name] for row in content["classes"]} == {
            key: row[name] for key, row in ap["per_class"].items()
        }
    assert content["summary"]["objects"] == 2
    assert content["errors"]["all"]["classification"]["count"] == 1
    assert content["inputs"] == {"detections": str(folders / "merged"), "labels": [str(folders / "labels")]}
    assert {path.name for path in (folders / "rep/tables").iterdir()} == {
        *("classes.csv", "images.csv", "confusion.csv", "errors.csv", "groups.csv", "curves.csv", "detections.csv")
    }
    rows = list(csv.DictReader((folders / "rep/tables/detections.csv").open()))
    assert {(row["image"], row["class"], row["state"], row["error"]) for row in rows} == {
        ("P1", "ship", "tp", ""), ("P1", "ship", "fp", "background"), ("P2", "plane", "fp", "classification"),
    }  # fmt: skip
    assert "<html" in (folders / "rep/index.html").read_text()


def test_report_writes_the_same_as_evaluate(folders, inputs, capsys):
    options = ["--images", str(folders / "images"), "--score", "0.7"]
    assert main(["evaluate", *inputs, "--report", str(folders / "one"), *options]) == 0
    assert main(["report", *inputs, "--out", str(folders / "two"), *options]) == 0
    assert "2 of 2 images found in " in capsys.readouterr().out
    assert read(folders / "one") == read(folders / "two")
    files = [
        sorted(str(path.relative_to(folders / name)) for path in (folders / name).rglob("*.*"))
        for name in ("one", "two")
    ]
    assert files[0] == files[1]
    assert read(folders / "one")["settings"]["score_threshold"] == 0.7
    assert "viewer/P1.html" in files[0]


def test_max_images_takes_those_with_most_errors(folders, inputs):
    options = ["--images", str(folders / "images"), "--max-images", "1"]
    assert main(["report", *inputs, "--out", str(folders / "rep"), *options]) == 0
    assert read(folders / "rep")["worst_images"] == ["P2"]
    assert [path.name for path in (folders / "rep/viewer").glob("*.html")] == ["P2.html"]


def test_a_report_is_replaced_and_other_folders_are_not(folders, inputs, user_error):
    for score in ("0.1", "0.7"):
        assert main(["report", *inputs, "--out", str(folders / "rep"), "--score", score]) == 0
    assert read(folders / "rep")["settings"]["score_threshold"] == 0.7
    (folders / "mine").mkdir()
    (folders / "mine/index.html").write_text("my page")
    line = user_error("report", *inputs, "--out", folders / "mine")
    assert "mine: the folder is not empty and has no report (choose a new or empty folder)" in line
    assert (folders / "mine/index.html").read_text() == "my page"
    for name in ("merged", "labels"):
        assert "the output overlaps the input" in user_error("report", *inputs, "--out", folders / name)
    line = user_error("evaluate", *inputs, "--report", folders / "new", "--json", folders / "new/ap.json")
    assert "the folder of the report would contain" in line
    assert not (folders / "new").exists()


def test_files_that_a_new_report_does_not_have_are_removed(folders, inputs):
    assert main(["report", *inputs, "--out", str(folders / "rep"), "--images", str(folders / "images")]) == 0
    assert main(["report", *inputs, "--out", str(folders / "again")]) == 0
    assert (folders / "rep/viewer").is_dir()
    assert (folders / "rep/thumbnails").is_dir()
    assert main(["report", "--json", str(folders / "again"), "--out", str(folders / "rep")]) == 0
    assert sorted(path.name for path in (folders / "rep").iterdir()) == [
        "index.html",
        "report.json",
        "static",
        "tables",
    ]
    assert "detections.csv" not in (folders / "rep/index.html").read_text()
    assert not (folders / "rep/tables/detections.csv").exists()


def test_pages_are_written_again_and_compared(folders, inputs, user_error):
    assert main(["report", *inputs, "--out", str(folders / "one")]) == 0
    (folders / "merged/Task1_plane.txt").write_text("")
    assert main(["report", *inputs, "--out", str(folders / "two"), "--baseline", str(folders / "one")]) == 0
    words = ["report", "--json", str(folders / "two/report.json"), "--baseline", str(folders / "one/report.json")]
    assert main([*words, "--out", str(folders / "three")]) == 0
    assert read(folders / "three") == read(folders / "two")
    assert not (folders / "three/tables/detections.csv").exists()
    pages = [(folders / name / "index.html").read_text() for name in ("two", "three")]
    assert pages[1] == pages[0].replace('<li><a href="tables/detections.csv">detections.csv</a></li>', "")
    assert "overlaps the input" in user_error(*words, "--out", folders / "two")


def test_coco_annotations(coco_inputs, tmp_path, capsys):
    words = [*coco_inputs, "--images", str(tmp_path / "coco")]
    assert main(["evaluate", *words, "--report", str(tmp_path / "rep"), "--json", str(tmp_path / "ap.json")]) == 0
    assert main(["report", *words, "--out", str(tmp_path / "rep2")]) == 0
    assert "1 of 1 image found in " in capsys.readouterr().out
    content, ap = read(tmp_path / "rep"), json.loads((tmp_path / "ap.json").read_text())
    assert read(tmp_path / "rep2") == content
    assert content["kind"] == "coco"
    assert content["summary"]["AP50"] == pytest.approx(0.5) == ap["rows"][1]["value"]
    assert (content["summary"]["tp"], content["errors"]["all"]["missed"]["count"]) == (1, 1)
    assert content["images"][0]["image"] == "val/a.jpg"
    assert len(list((tmp_path / "rep/viewer").glob("*.html"))) == 1


def test_names_from_files_are_escaped(folders, inputs):
    name = "<script>alert(1)<&script>"
    (folders / "merged/Task1_ship.txt").write_text(f"{name} 0.9 {BOX}\n")
    (folders / f"labels/{name}.txt").write_text(f"{BOX} ship 0\n")
    assert main(["report", *inputs, "--out", str(folders / "rep")]) == 0
    assert name in [row["image"] for row in read(folders / "rep")["images"]]
    assert "<script>alert" not in (folders / "rep/index.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--score", "0"], "--score does not apply with --json"),
        (["--max-images", "5"], "--max-images does not apply with --json"),
        (["--metric", "area"], "--difficult and --ignore-unlabeled do not apply with --json"),
    ],
)
def test_options_that_a_computed_report_ignores_are_refused(tmp_path, user_error, words, message):
    assert message in user_error("report", "--json", tmp_path / "report.json", "--out", tmp_path / "rep", *words)
    assert not (tmp_path / "rep").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--score", "nan"], "--score: the score threshold must be finite, got nan"),
        (["--max-images", "-1"], "--max-images: the number of images must not be negative, got -1"),
        (["--images", "nowhere"], "nowhere: no such folder of images"),
        (["--baseline", "nowhere.json"], "nowhere.json: "),
        (["--assignment", "nowhere.json"], "nowhere.json: "),
        (["--json", "nowhere.json"], "--detections does not apply with --json"),
    ],
)
def test_wrong_options_write_nothing(folders, inputs, user_error, words, message):
    assert message in user_error("report", *inputs, "--out", folders / "rep", *words)
    assert not (folders / "rep").exists()


def test_missing_inputs(folders, user_error):
    hint = "give --detections and --labels or --coco-annotations, or --json"
    assert hint in user_error("report", "--out", folders / "rep")
    assert hint in user_error("report", "--out", folders / "rep", "--detections", folders / "merged")
    assert "--score applies only to the report (add --report DIR)" in user_error(
        "evaluate", "--detections", folders / "merged", "--labels", folders / "labels", "--score", "0.5"
    )
    assert "--max-images applies only to the report (add --report DIR)" in user_error(
        "evaluate", "--detections", folders / "merged", "--labels", folders / "labels", "--max-images", "5"
    )


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": "rotated-atss-report"}', '{"format": "rotated-atss-report", "format_version": 1}'],
)
def test_a_damaged_report_is_an_error_in_one_line(folders, inputs, user_error, content):
    (folders / "bad.json").write_text(content)
    for words in (["--json", folders / "bad.json"], [*inputs, "--baseline", folders / "bad.json"]):
        assert "bad.json" in user_error("report", "--out", folders / "rep", *words)
    assert not (folders / "rep").exists()


def test_no_value_of_a_report_can_break_the_pages(folders, inputs, user_error):
    """Each value is replaced by another type: the command refuses the file in one line, or writes pages."""
    assert main(["report", *inputs, "--out", str(folders / "rep")]) == 0
    content = read(folders / "rep")
    for key in content:
        for value in (None, 7, "text", [], {}, [None], {"a": None}):
            (folders / "bad.json").write_text(json.dumps({**content, key: value}))
            code = main(["report", "--json", str(folders / "bad.json"), "--out", str(folders / "again")])
            assert code in (0, 2), key
    (folders / "bad.json").write_text(json.dumps({**content, "inputs": {"detections": float("nan")}}))
    assert "bad.json" in user_error("report", "--json", folders / "bad.json", "--out", folders / "again")


@pytest.mark.parametrize(
    ("present", "line"),
    [
        (("P1", "P2"), "2 of 2 images found in {folder}"),
        (("P1",), "1 of 2 images found in {folder}; the others have no picture"),
        ((), "0 of 2 images found in {folder}; the report has no pictures (for example, no file for image P1)"),
    ],
)
def test_images_that_are_not_found(present, line, folders, inputs, capsys):
    for image in {"P1", "P2"} - set(present):
        (folders / f"images/{image}.png").rename(folders / f"images/x{image}.png")
    assert main(["report", *inputs, "--out", str(folders / "rep"), "--images", str(folders / "images")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == line.format(folder=folders / "images")


@pytest.mark.parametrize(("score", "stated"), [("0.9", False), ("0.91", True)])
def test_a_score_that_no_detection_has(score, stated, folders, inputs, capsys):
    assert main(["report", *inputs, "--out", str(folders / "rep"), "--score", score]) == 0
    line = f"no detection has a score of at least {score}: all counts of detections are 0"
    assert (line in capsys.readouterr().out.splitlines()) == stated
    assert (read(folders / "rep")["summary"]["detections"] == 0) == stated


def test_a_report_that_was_killed_is_written_again(folders, inputs, monkeypatch):
    """Killed before its first file, and between its first files and the page."""
    (folders / "rep/tables").mkdir(parents=True)
    for name in (".report.json.0123abcd.part", "tables/.classes.csv.0123abcd.part"):
        (folders / "rep" / name).write_text("half")
    assert main(["report", *inputs, "--out", str(folders / "rep")]) == 0
    assert not list((folders / "rep").rglob(".*.part"))

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("rotated_atss.report.build.write_pages", killed)
    assert main(["report", *inputs, "--out", str(folders / "rep"), "--score", "0.7"]) == 130
    monkeypatch.undo()
    assert read(folders / "rep")["settings"]["score_threshold"] == 0.7
    assert not (folders / "rep/index.html").exists(), "no page with the figures of the earlier report"
    assert main(["report", *inputs, "--out", str(folders / "rep")]) == 0
    assert (folders / "rep/index.html").exists()


def test_temporary_files_of_others_are_not_those_of_a_report(folders, inputs, user_error):
    (folders / "mine").mkdir()
    (folders / "mine/.thesis.tex.0123abcd.part").write_text("text")
    assert "is not empty and has no report" in user_error("report", *inputs, "--out", folders / "mine")


def test_a_class_named_all_classes_is_refused(coco_inputs, tmp_path, user_error):
    """Its curve would be replaced by that of all classes together."""
    path = tmp_path / "instances.json"
    path.write_text(path.read_text().replace('"cat"', '"all classes"'))
    line = user_error("report", *coco_inputs, "--out", tmp_path / "rep")
    assert "the class name 'all classes' is reserved for the curve of all classes (rename the class)" in line
    assert not (tmp_path / "rep").exists()


def test_a_folder_as_json_is_refused_before_the_evaluation(folders, inputs, user_error, capsys):
    words = ["evaluate", *inputs, "--report", folders / "rep", "--json", folders / "images"]
    assert "images: not the name of a file (add a file name)" in user_error(*words)
    assert not (folders / "rep").exists()
    stats = ["stats", "--images", folders / "images", "--labels", folders / "labels", "--json", folders / "merged"]
    assert "merged: not the name of a file" in user_error(*stats)
    assert capsys.readouterr().out == ""


def test_the_default_number_of_images_is_that_of_the_library() -> None:
    from rotated_atss.cli._report_options import MAX_IMAGES
    from rotated_atss.report import build

    assert MAX_IMAGES == build.MAX_IMAGES  # repeated, as the help must not import the report
