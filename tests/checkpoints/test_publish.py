"""Publishing of models to a folder, and their download from there."""

from __future__ import annotations

import json

import pytest
import torch

from rotated_atss.checkpoints.download import fetch, sha256_of
from rotated_atss.checkpoints.model_file import read_model_info
from rotated_atss.checkpoints.model_info import ModelInfo, Preprocessing, Thresholds, Window
from rotated_atss.checkpoints.publish import publish
from rotated_atss.checkpoints.registry import load_registry
from rotated_atss.checkpoints.weight_files import read_safetensors
from rotated_atss.errors import UserError
from tests.references.file_server import file_server

STATE = {"backbone.w": torch.arange(6.0).reshape(2, 3).T, "head.b": torch.ones(2)}
LEGAL = {"license": "CC-BY-4.0", "source": "Port authority"}


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


def test_published_model_is_found_and_checked(tmp_path, info, monkeypatch):
    monkeypatch.setenv("ROTATED_ATSS_CACHE", str(tmp_path / "cache"))
    path = publish(tmp_path / "out", "harbors", STATE, info, published="AP50 0.9, own data", **LEGAL)
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [path.name, "models.json"]
    assert path.name == f"harbors-{sha256_of(path)[:8]}.safetensors"
    entry = load_registry(tmp_path / "out" / "models.json")["harbors"]
    assert (entry.sha256_prefix, entry.license, entry.source) == (sha256_of(path), "CC-BY-4.0", "Port authority")
    for address in (entry.url, None):
        with file_server() as server:
            if address is None:
                (tmp_path / "cache" / path.name).unlink()
                server.files[f"/{path.name}"] = path.read_bytes()
                entry = load_registry(served(tmp_path, f"{server.url}/{path.name}"))["harbors"]
            assert read_model_info(fetch(entry)) == info
    state = read_safetensors(path)["state_dict"]
    assert all(torch.equal(state[name], value) for name, value in STATE.items())
    assert list(state) == list(STATE)


def test_size_is_in_millions_of_bytes(tmp_path, info):
    path = publish(tmp_path, "a", {"w": torch.zeros(100_000)}, info, **LEGAL)
    size_mb = load_registry(tmp_path / "models.json")["a"].size_mb
    assert size_mb == round(path.stat().st_size / 1e6, 3) == pytest.approx(0.401, abs=0.002)


def served(folder, url):
    content = json.loads((folder / "out" / "models.json").read_text())
    content["models"][0]["url"] = url
    (folder / "served.json").write_text(json.dumps(content))
    return folder / "served.json"


def test_equal_models_give_equal_files(tmp_path, info):
    first, second = (publish(tmp_path / name, "a", STATE, info, **LEGAL) for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert publish(tmp_path / "one", "a", STATE, info, **LEGAL) == first
    assert (tmp_path / "one" / "models.json").read_bytes() == (tmp_path / "two" / "models.json").read_bytes()


def test_second_model_is_added_and_a_name_is_not_reused(tmp_path, info):
    publish(tmp_path, "a", STATE, info, **LEGAL)
    publish(tmp_path, "b", STATE, info, **LEGAL)
    assert {"a", "b"} <= set(load_registry(tmp_path / "models.json"))
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(UserError, match=r"a different model named 'a' is already published .* \(choose another --name"):
        publish(tmp_path, "a", {"w": torch.ones(1)}, info, **LEGAL)
    with pytest.raises(UserError, match=r"name must be letters, digits, .* got 'a/b'"):
        publish(tmp_path, "a/b", STATE, info, **LEGAL)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_folder_with_another_models_json_is_refused(tmp_path, info):
    (tmp_path / "models.json").write_text("{}")
    with pytest.raises(UserError, match="not a registry of models"):
        publish(tmp_path, "a", STATE, info, **LEGAL)
    assert [path.name for path in tmp_path.iterdir()] == ["models.json"]
