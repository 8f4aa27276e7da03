"""``rotated-atss evaluate --coco-annotations`` as it is typed."""

import json

import pytest

pytest.importorskip("faster_coco_eval")

from rotated_atss.cli import main


@pytest.fixture
def files(tmp_path):
    """One image with a dog that is found and a cat that is not."""
    box = [10, 10, 50, 50]
    entry = {"image_id": 4, "bbox": box, "area": 2500, "iscrowd": 0}
    truth = {
        "images": [{"id": 4, "file_name": "a.jpg", "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [{**entry, "id": 1, "category_id": 1}, {**entry, "id": 2, "category_id": 2}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    found = [{"image_id": 4, "category_id": 1, "bbox": box, "score": 0.9}]
    (tmp_path / "found.json").write_text(json.dumps(found))
    return tmp_path


def evaluate(files, *more):
    words = ["--coco-annotations", str(files / "truth.json"), "--detections", str(files / "found.json")]
    return main(["evaluate", *words, *more])


def test_table_and_json(files, capsys):
    assert evaluate(files, "--per-class", "--json", str(files / "ap.json")) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["AP", "0.50:0.95", "all", "100", "0.500"]
    assert lines[4][-1] == "-"
    assert lines[-2:] == [["dog", "1.000", "1.000"], ["cat", "0.000", "0.000"]]
    told = json.loads((files / "ap.json").read_text())
    assert told["per_class"] == {"dog": {"AP": 1.0, "AP50": 1.0}, "cat": {"AP": 0.0, "AP50": 0.0}}
    assert [row["max_dets"] for row in told["rows"]] == [100] * 6 + [1, 10, 100] + [100] * 3


def test_no_detections_are_told_in_words(files, capsys):
    assert evaluate(files) == 0
    assert "warning" not in capsys.readouterr().out
    (files / "found.json").write_text("[]")
    assert evaluate(files) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "warning: there are no detections"
    assert lines[-2].startswith("0 detections on 1 images")


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda files: (files / "truth.json").unlink(), "truth.json: no such file"),
        (lambda files: (files / "truth.json").write_text("{"), "truth.json:1: not valid JSON"),
        (lambda files: (files / "found.json").write_text("[{}]"), "found.json: detection 0 has no image_id"),
    ],
)
def test_mistakes(files, spoil, message, capsys):
    spoil(files)
    assert evaluate(files) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rotated-atss evaluate: error: ")
    assert message in line


def test_rules_of_dota_are_refused(files, capsys):
    assert evaluate(files, "--metric", "area") == 2
    assert "are DOTA's rules" in capsys.readouterr().err


def test_one_kind_of_ground_truth(files, capsys):
    with pytest.raises(SystemExit):
        evaluate(files, "--labels", str(files))
    with pytest.raises(SystemExit):
        main(["evaluate", "--detections", str(files / "found.json")])
    assert "--coco-annotations" in capsys.readouterr().err
