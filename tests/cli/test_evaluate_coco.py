"""The command ``evaluate --coco-annotations``."""

import json

import pytest

pytest.importorskip("faster_coco_eval")

from rotated_atss.cli import main


@pytest.fixture
def files(tmp_path):
    """One image with a detected dog and a missed cat."""
    box = [10, 10, 50, 50]
    entry = {"image_id": 4, "bbox": box, "area": 2500, "iscrowd": 0}
    instances = {
        "images": [{"id": 4, "file_name": "a.jpg", "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [{**entry, "id": 1, "category_id": 1}, {**entry, "id": 2, "category_id": 2}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    results = [{"image_id": 4, "category_id": 1, "bbox": box, "score": 0.9}]
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path


def evaluate(files, *more):
    words = ["--coco-annotations", str(files / "instances.json"), "--detections", str(files / "results.json")]
    return main(["evaluate", *words, *more])


def test_table_and_json(files, capsys):
    assert evaluate(files, "--per-class", "--json", str(files / "ap.json")) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["AP", "0.50:0.95", "all", "100", "0.500"]
    assert lines[4][-1] == "-"
    assert lines[-2:] == [["dog", "1.000", "1.000"], ["cat", "0.000", "0.000"]]
    figures = json.loads((files / "ap.json").read_text())
    assert figures["per_class"] == {"dog": {"AP": 1.0, "AP50": 1.0}, "cat": {"AP": 0.0, "AP50": 0.0}}
    assert [row["max_dets"] for row in figures["rows"]] == [100] * 6 + [1, 10, 100] + [100] * 3


def test_empty_results_print_a_warning(files, capsys):
    assert evaluate(files) == 0
    (files / "results.ids.json").write_text('{"images": 5}')
    assert evaluate(files) == 0
    assert "warning" not in capsys.readouterr().out
    (files / "results.json").write_text("[]")
    assert evaluate(files) == 0
    (files / "results.ids.json").write_text('{"images": 5}')
    assert evaluate(files) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "warning: there are no detections"
    assert lines[-2].startswith("0 detections on 1 image;")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda files: (files / "instances.json").unlink(), "instances.json: no such file"),
        (lambda files: (files / "instances.json").write_text("{"), "instances.json:1: not valid JSON"),
        (lambda files: (files / "results.json").write_text("[{}]"), "results.json: detections[0] has no image_id"),
    ],
)
def test_user_error_is_one_line(files, damage, message, capsys):
    damage(files)
    assert evaluate(files) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rotated-atss evaluate: error: ")
    assert message in line


def test_dota_rules_are_refused(files, capsys):
    assert evaluate(files, "--metric", "area") == 2
    assert "do not apply with --coco-annotations" in capsys.readouterr().err


def test_labels_and_coco_annotations_exclude_each_other(files, capsys):
    with pytest.raises(SystemExit):
        evaluate(files, "--labels", str(files))
    with pytest.raises(SystemExit):
        main(["evaluate", "--detections", str(files / "results.json")])
    assert "--coco-annotations" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["instances.json", "results.json"])
def test_results_do_not_overwrite_an_input(files, capsys, name):
    content = (files / name).read_text()
    assert evaluate(files, "--json", str(files / name)) == 2
    assert "the output overlaps the input" in capsys.readouterr().err
    assert (files / name).read_text() == content


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({"images": [{"id": 4, "file_name": "b.jpg"}]}, "images: the id 4 is 'b.jpg' here and 'a.jpg' in"),
        ({"categories": [{"id": 1, "name": "cat"}]}, "categories: the id 1 is 'cat' here and 'dog' in"),
        ({"images": [3]}, "images must be an object"),
    ],
)
def test_ids_of_predict_that_are_not_those_of_the_annotations(files, capsys, listed, message):
    (files / "results.ids.json").write_text(json.dumps(listed))
    assert evaluate(files) == 2
    assert message in capsys.readouterr().err


def test_ids_of_predict_that_agree_with_the_annotations(files):
    listed = {"images": [{"id": 4, "file_name": "a.jpg"}], "categories": [{"id": 2, "name": "cat"}]}
    (files / "results.ids.json").write_text(json.dumps(listed))
    assert evaluate(files) == 0
    (files / "results.ids.json").write_text('{"images": 5}')
    assert evaluate(files) == 0
