"""Errors of predict and test on ONNX files, without a runtime."""

import sys
from types import SimpleNamespace

import pytest

from rotated_atss.cli import main
from tests.references.onnx_file import onnx_bytes
from tests.runtime.test_detector import GRAPH, GRAPH_KEY, INFO, KEY


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "a.onnx"
    file.write_bytes(onnx_bytes({GRAPH_KEY: GRAPH.to_json(), KEY: INFO.to_json()}))
    (tmp_path / "a.png").write_bytes(b"")
    return file


def test_missing_onnxruntime_names_the_extra(path, tmp_path, monkeypatch, user_error):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("rotated_atss.doctor._checkout", lambda: None)
    monkeypatch.setattr("rotated_atss.doctor._requirements", lambda: [("onnx", "onnxruntime", ">=1.18")])
    (tmp_path / "tiles" / "images").mkdir(parents=True)
    for words in (["predict", path, tmp_path / "a.png"], ["test", path, "--data", tmp_path / "tiles"]):
        line = user_error(*words, "--out", tmp_path / "out")
        assert "onnxruntime is not installed (run: " in line
        assert "install --upgrade 'rotated-atss[onnx]'" in line
    assert not (tmp_path / "out").exists()


def test_options_that_do_not_apply_to_an_onnx_file(path, tmp_path, user_error):
    image = tmp_path / "a.png"
    assert "--amp: this option does not apply to an ONNX file" in user_error("predict", path, image, "--amp")
    assert "an ONNX file needs no config, because it contains one" in user_error(
        "predict", "rotated_atss_obb_r18_demo_le90", path, image
    )
    assert "--data: an ONNX file does not state where the test data is" in user_error("test", path)
    test_words = ("test", path, "--data", tmp_path)
    assert "--tta: this option does not apply" in user_error(*test_words, "--tta")
    assert "--workers: this option does not apply" in user_error(*test_words, "--workers", "0")
    assert "--on-bad-image skip: this option does" in user_error(*test_words, "--on-bad-image", "skip")
    assert "--launcher: this option does not apply" in user_error(*test_words, "--launcher", "pytorch")


@pytest.mark.parametrize("folders, tested", [(["images"], ""), (["val/images"], "/val"), (["test/images"], "/test")])
def test_data_is_a_folder_of_tiles_or_contains_one(path, tmp_path, monkeypatch, folders, tested):
    root = tmp_path / "tiles"
    for name in folders:
        (root / name).mkdir(parents=True)
        (root / name / "P1.png").touch()
    used = []
    detector = SimpleNamespace(info=INFO, description="a stub", classes=INFO.classes, iou_threshold=0.1, pixels=None)
    monkeypatch.setattr("rotated_atss.runtime.load_detector", lambda *_, **__: detector)
    monkeypatch.setattr(
        "rotated_atss.tiling.tile_evaluation.evaluate_on_tiles", lambda _, data, *__, **___: used.append(data)
    )
    assert main(["test", str(path), "--data", str(root), "--out", str(tmp_path / "out")]) == 0
    assert list(map(str, used)) == [f"{root}{tested}"]


def test_missing_tiles_next_to_folders_of_other_subsets(path, tmp_path, user_error):
    (tmp_path / "tiles" / "train" / "images").mkdir(parents=True)
    line = user_error("test", path, "--data", tmp_path / "tiles")
    assert line.endswith(f"tiles/images: no such folder (choose a subset: --data {tmp_path}/tiles/train)")


def test_file_of_another_tool(path, tmp_path, user_error):
    path.write_bytes(onnx_bytes({"producer": "another tool"}))
    line = user_error("predict", path, tmp_path / "a.png", "--out", tmp_path / "out")
    assert "a.onnx: not exported by rotated-atss" in line
    assert not (tmp_path / "out").exists()


def test_work_folder_that_cannot_be_written_is_refused_before_the_test(path, tmp_path, monkeypatch, user_error):
    (tmp_path / "tiles" / "images").mkdir(parents=True)
    (tmp_path / "file").touch()
    monkeypatch.setattr("rotated_atss.runtime.load_detector", lambda *_, **__: pytest.fail("the test has started"))
    words = ("--data", tmp_path / "tiles", "--out", tmp_path / "out", "--work-dir", tmp_path / "file" / "below")
    assert f"test_result.json: cannot be written: {tmp_path}/file is not a folder" in user_error("test", path, *words)
