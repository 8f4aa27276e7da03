"""Commands never replace their own inputs."""

import cv2
import numpy as np
import pytest

from rotated_atss.cli import main

LABEL = b"1 2 11 2 11 8 1 8 ship 0\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("model.pth", "model.onnx", "config.py", "classes.txt", "labelTxt/P1.txt", "tiles/manifest.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(LABEL)
    (tmp_path / "images").mkdir()
    cv2.imwrite("images/P1.png", np.zeros((20, 20, 3), np.uint8))
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "predict model.pth images/P1.png --json model.pth",
        "predict model.onnx images/P1.png --json ./model.onnx",
        "test config.py model.pth --submission config.py",
        "test model.onnx --data tiles --submission model.onnx",
        "evaluate --detections merged --labels labelTxt --classes classes.txt --json classes.txt",
        "check-data --images images --labels labelTxt --json labelTxt/P1.txt",
        "check-data --images images --labels labelTxt --json images/P1.png",
        "check-data --images images --classes classes.txt --json classes.txt",
    ],
)
def test_an_input_is_not_replaced(folder, capsys, command):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(command.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the output overlaps the input" in line
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_submission_is_a_zip_file(folder, capsys):
    (folder / "tiles" / "images").mkdir()
    command = ["test", "model.onnx", "--data", "tiles", "--submission", "tiles/manifest.json"]
    assert main(command) == 2
    assert "tiles/manifest.json: a submission must be a .zip file" in capsys.readouterr().err
    assert (folder / "tiles" / "manifest.json").read_bytes() == LABEL


def test_a_file_of_problems_is_replaced_by_a_later_run(folder):
    command = ["check-data", "--images", "images", "--labels", "labelTxt", "--json", "images/problems.json", "--quiet"]
    assert main(command) == main(command) == 0
    assert (folder / "images" / "problems.json").is_file()
