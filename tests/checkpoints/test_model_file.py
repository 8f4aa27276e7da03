"""Model metadata in files of every kind."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from rotated_atss.checkpoints.model_file import read_model_info
from rotated_atss.checkpoints.model_info import KEY, ModelInfo, Preprocessing, Thresholds, Window
from rotated_atss.checkpoints.weight_files import read_safetensors, save_weights
from rotated_atss.errors import UserError
from tests.references.onnx_file import onnx_bytes


@pytest.fixture
def info():
    return ModelInfo(
        config_name="demo",
        classes=("plane", "größe"),
        box_type="obb",
        angle_version="le90",
        window=Window(256, 64),
        preprocessing=Preprocessing((1, 2, 3), (4, 5, 6), "RGB", 32),
        thresholds=Thresholds(0.05, 0.1, 2000, 2000, 0.1),
        package_version="0.1.0",
    )


def test_metadata_in_pth_and_safetensors(tmp_path, info):
    for path in save_weights(tmp_path / "model", {"w": torch.ones(1)}, {KEY: info.to_json(), "config": "demo"}):
        assert read_model_info(path) == info
    header = read_safetensors(tmp_path / "model.safetensors")["meta"]
    assert header == {"format": "pt", KEY: info.to_json(), "config": "demo"}
    assert torch.load(tmp_path / "model.pth", weights_only=True)["meta"] == {KEY: info.to_json(), "config": "demo"}


def test_metadata_in_onnx(tmp_path, info):
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_bytes({"other": "x", KEY: info.to_json()}))
    assert read_model_info(path) == info
    path.write_bytes(onnx_bytes({"names": "{0: 'plane'}"}))  # of another program
    assert read_model_info(path) is None


def test_files_without_model_metadata(tmp_path):
    for path in save_weights(tmp_path / "model", {"w": torch.ones(1)}, {"config": "demo"}):
        assert read_model_info(path) is None
    torch.save({"w": torch.ones(1)}, tmp_path / "bare.pth")
    assert read_model_info(tmp_path / "bare.pth") is None


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.onnx", "a.bin"])
@pytest.mark.parametrize("content", [None, b"", b"\0\0", b"PK\3\4", b"text", b"\x08\x09\x3a\xff"])
def test_unreadable_file_is_one_line(tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="no such model file" if content is None else "not a readable") as caught:
        read_model_info(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_damaged_metadata_names_the_file(tmp_path):
    for path in save_weights(tmp_path / "model", {}, {KEY: "{"}):
        with pytest.raises(UserError, match="the model metadata is not valid JSON") as caught:
            read_model_info(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_reading_metadata_of_onnx_or_safetensors_does_not_import_torch(tmp_path, info):
    _, path = save_weights(tmp_path / "model", {}, {KEY: info.to_json()})
    code = (
        "import sys; from rotated_atss.checkpoints.model_file import read_model_info; "
        f"print(read_model_info({str(path)!r}).config_name, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "demo False\n"
