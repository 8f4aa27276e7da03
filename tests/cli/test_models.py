"""The command ``models``: list, info, download and publish."""

from __future__ import annotations

import hashlib
import io
import json

import pytest
import torch

from rotated_atss.checkpoints.model_file import read_model_info
from rotated_atss.checkpoints.model_info import KEY, ModelInfo, Preprocessing, Thresholds, TrainingData, Window
from rotated_atss.checkpoints.weight_files import save_weights
from rotated_atss.cli import main
from tests.references.file_server import file_server

LE90 = "rotated_atss_obb_r50_fpn_1x_dota_le90"
LEGAL = ["--license", "CC-BY-4.0", "--source", "Port authority"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROTATED_ATSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ROTATED_ATSS_REGISTRY", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def info():
    return ModelInfo(
        config_name="demo",
        config="model = {'depth': 18}\n",
        classes=("plane", "ship"),
        box_type="obb",
        angle_version="le90",
        window=Window(256, 81),
        preprocessing=Preprocessing((1, 2, 3), (4, 5, 6), "RGB", 32, resize=(1333, 800), bits=11),
        thresholds=Thresholds(0.05, 0.1, 2000, 2000, 0.1),
        training_data=TrainingData(6, 2, {"plane": 3, "ship": 1}, {"0.5": 30, "0.99": 80.2}, {"0.5": 12.5, "0.99": 20}),
        ground_resolution=0.3,
        package_version="0.1.0",
        commit="abc",
    )


LINES = """\
config: demo
classes: 2 (plane, ship)
boxes: oriented, angle version le90
windows: 256 px, overlap 81 px
input: RGB, mean 1 2 3, std 4 5 6, scaled to fit 1333 x 800 px, padded to multiples of 32 px, 16-bit images with 11 used bits
thresholds: score 0.05, NMS IoU 0.1, 2000 candidates per level, at most 2000 detections per window, merging IoU 0.1
ground resolution: 0.3 m/px
training data: 6 tiles of 2 images; 4 objects (plane 3, ship 1); longer side 30 px (quantile 0.5), 80.2 px (quantile 0.99); \
shorter side 12.5 px (quantile 0.5), 20 px (quantile 0.99)
origin: trained with this package
written by: rotated-atss 0.1.0, commit abc
"""  # noqa: E501


def test_info_of_a_file(tmp_path, info, capsys):
    for path in save_weights(tmp_path / "a", {"w": torch.ones(1)}, {KEY: info.to_json()}):
        assert main(["models", "info", str(path)]) == 0
        assert capsys.readouterr().out == f"file: {path}\n{LINES}"
        assert main(["models", "info", str(path), "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert ModelInfo.from_json(printed["record"]) == info
        assert main(["models", "info", str(path), "--config"]) == 0
        assert capsys.readouterr().out == info.config


def test_info_of_a_name(cache, capsys):
    assert main(["models", "info", "resnet50"]) == 0
    out = capsys.readouterr().out
    assert "url: https://download.pytorch.org/models/resnet50-0676ba61.pth\nSHA-256 starts with: 0676ba61\n" in out
    assert main(["models", "info", "resnet50", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["downloaded"] is None


def test_the_list_fits_a_terminal(cache, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["models", "list"]) == 0
    *table, _ = capsys.readouterr().out.splitlines()
    assert max(map(len, table)) <= 80
    assert table[table.index("resnet18") + 1].split()[-2:] == ["46.8", "BSD-3-Clause"]


def test_list(cache, capsys):
    cache.mkdir()
    (cache / "resnet18-f37072fd.pth").touch()
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert rows[LE90].split("  ")[-1].strip() == "Apache-2.0"
    assert "mAP 70.64, DOTA v1.0 test" in rows[LE90]
    assert rows["resnet18"].endswith("yes")
    assert lines[-1] == f"downloads are kept in {cache}"
    assert main(["models", "list", "--json"]) == 0
    assert sum(entry["downloaded"] for entry in json.loads(capsys.readouterr().out)) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "gone.pth"], "gone.pth: no such file, and no model of this name"),
        (["info", "resnet500"], "(nearest: resnet50, "),
        (["download", "resnet500"], "no such model: 'resnet500' (nearest: resnet50, "),
        (["info", "resnet50", "--config"], "resnet50: --config needs a model file"),
        (["list", "--registry", "gone.json"], "gone.json: no such file"),
        (["publish", "gone.pth", "out", *LEGAL], "gone.pth: no such checkpoint"),
    ],
)
def test_wrong_arguments_are_one_line(words, message, user_error):
    assert message in user_error("models", *words)


def test_file_without_a_record(tmp_path, user_error):
    path, _ = save_weights(tmp_path / "a", {"w": torch.ones(1)}, {"epoch": 12})
    assert f"{path}: the file has no model metadata" in user_error("models", "info", path)
    line = user_error("models", "publish", path, tmp_path / "out", *LEGAL)
    assert f"{path}: the checkpoint has no model metadata (give the config of the checkpoint: --config CONFIG)" in line
    assert not (tmp_path / "out").exists()


def test_publish_then_download(tmp_path, info, capsys):
    state = {"module.w": torch.ones(1)}
    torch.save({"state_dict": state, "meta": {KEY: info.to_json()}, "optimizer": {"x": 1}}, tmp_path / "a.pth")
    words = ["--name", "harbors", "--result", "AP50 0.9", *LEGAL]
    assert main(["models", "publish", str(tmp_path / "a.pth"), str(tmp_path / "out"), *words]) == 0
    (path,) = (tmp_path / "out").glob("harbors-*.safetensors")
    assert capsys.readouterr().out == f"wrote {path} and {tmp_path / 'out' / 'models.json'}\n"
    assert read_model_info(path) == info
    registry = ["--registry", str(tmp_path / "out" / "models.json")]
    assert main(["models", "download", "harbors", *registry]) == 0
    assert f"downloaded: {tmp_path / 'cache' / path.name}\n" in capsys.readouterr().out
    assert main(["models", "list", *registry]) == 0
    assert "harbors " in capsys.readouterr().out


@pytest.fixture
def narrow(tmp_path):
    """Config and weights of a narrow model."""
    pytest.importorskip("mmdet")
    pytest.importorskip("mmcv.ops")
    from rotated_atss.detection.engine.config import build_model, load_config

    config = tmp_path / f"{LE90}.py"
    config.write_text(
        f"_base_ = 'rotated_atss::dota/{LE90}.py'\n"
        "model = dict(backbone=dict(base_channels=4, stem_channels=4, init_cfg=None),"
        " neck=dict(in_channels=[16, 32, 64, 128], out_channels=16),"
        " bbox_head=dict(in_channels=16, feat_channels=16))\n"
    )
    return config, build_model(load_config(config)).state_dict()


def test_publish_a_checkpoint_without_a_record(tmp_path, narrow, user_error, capsys):
    config, state = narrow
    torch.save({"state_dict": state, "meta": {"CLASSES": tuple("abcdefghijklmno")}}, tmp_path / "a.pth")
    words = [str(tmp_path / "a.pth"), str(tmp_path / "out"), "--config"]
    assert main(["models", "publish", *words, str(config), *LEGAL]) == 0
    (path,) = (tmp_path / "out").glob(f"{LE90}-*.safetensors")
    info = read_model_info(path)
    assert (info.config_name, info.classes) == (LE90, tuple("abcdefghijklmno"))
    assert info.window == Window(1024, 200)
    marker = tmp_path / "executed"
    (tmp_path / "b.py").write_text(f"{config.read_text()}open({str(marker)!r}, 'w').close()\n")
    message = user_error("models", "publish", *words, tmp_path / "b.py", *LEGAL, "--safe-config")
    assert "b.py:3: not a literal" in message
    assert not marker.exists()
    message = user_error("models", "publish", *words, "rotated_atss_obb_r18_demo_le90", *LEGAL)
    assert "these are weights of another model" in message


def test_download_checks_converts_and_caches(tmp_path, cache, capsys, narrow):
    config, state = narrow
    buffer = io.BytesIO()
    torch.save({"meta": {"mmrotate_version": "0.3.4"}, "state_dict": state}, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    name = f"{LE90}-{digest}.pth"
    entry = dict(name="small", kind="detector", sha256_prefix=digest, license="MIT", source="me", config=str(config))
    with file_server() as server:
        server.files[f"/{name}"] = buffer.getvalue()
        registry = tmp_path / "models.json"
        registry.write_text(json.dumps({"format": 1, "models": [{**entry, "url": f"{server.url}/{name}"}]}))
        words = ["download", "small", "--registry", str(registry)]
        assert main(["models", *words]) == 0
        out = capsys.readouterr().out
        assert f"{name}: mmrotate-0.x, 5 box parameters, mmrotate_version 0.3.4 in meta\n" in out
        assert f"downloaded: {cache / 'small.pth'}\n" in out
        assert read_model_info(cache / "small.pth").origin == f"mmrotate-0.x, {name}"
        assert main(["models", *words]) == 0
        assert "mmrotate-0.x" not in capsys.readouterr().out  # neither downloaded nor converted again
        assert len(server.requests) == 1

        registry.write_text(
            json.dumps({"format": 1, "models": [{**entry, "url": f"{server.url}/{name}", "sha256_prefix": "0" * 8}]})
        )
        (cache / name).unlink()
        capsys.readouterr()
        assert main(["models", *words]) == 2
        assert "the file has a wrong hash and was removed: expected SHA-256 00000000" in capsys.readouterr().err
        assert not (cache / name).exists()
