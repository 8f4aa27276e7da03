"""The registry of published models: its entries, and refusal of damaged registries."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from rotated_atss.checkpoints.registry import RegistryEntry, find_entry, find_file_or_entry, load_registry
from rotated_atss.configs import config_names, find_config
from rotated_atss.errors import UserError

ENTRY = dict(name="a", kind="detector", url="a.pth", sha256_prefix="0" * 8, license="MIT", source="me")


def write(path, *entries, **content):
    path.write_text(json.dumps({"format": 1, "models": list(entries), **content}))
    return path


@pytest.mark.parametrize("entry", load_registry().values(), ids=lambda entry: entry.name)
def test_entry_of_the_package(entry):
    assert entry.url.startswith("https://")
    assert entry.file_name.endswith(f"-{entry.sha256_prefix}.pth")  # publishers put the hash into the name
    assert (entry.config in config_names()) == (entry.kind == "detector")
    assert entry.published


@pytest.mark.parametrize("name", [name for name, entry in load_registry().items() if entry.config == name])
def test_result_is_that_of_the_config(name):
    text = find_config(name).read_text()
    figures = re.findall(r"value=([\d.]+), source=\"(?:mmrotate 0.x|MMDetection)", text)
    stated = re.search(r"[\d.]+", load_registry()[name].published).group()
    assert not figures or float(stated) in map(float, figures)


def test_registry_of_a_folder_adds_to_that_of_the_package(tmp_path, monkeypatch):
    path = write(tmp_path / "models.json", ENTRY)
    for registry in (load_registry(path), monkeypatch.setenv("ROTATED_ATSS_REGISTRY", str(path)) or load_registry()):
        assert registry["a"].url == (tmp_path / "a.pth").as_uri()
        assert "resnet50" in registry


def test_unknown_name_suggests_similar_ones():
    with pytest.raises(UserError, match=r"no such model: 'resnet500' \(nearest: resnet50, .*; all names: "):
        find_entry("resnet500")


def test_model_is_found_by_its_config():
    entry = find_entry("rotated_retinanet_obb_r50_fpn_1x_dota_le90")  # two models of this config; one has its name
    assert entry.name == entry.config
    a, b = replace(entry, name="a"), replace(entry, name="b")
    assert find_entry(entry.config, {"a": a, "c": replace(entry, name="c", config=None)}) == a
    with pytest.raises(UserError, match="no such model"):
        find_entry(entry.config, {"a": a, "b": b})


def test_file_precedes_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(find_file_or_entry("resnet50"), RegistryEntry)
    (tmp_path / "resnet50").touch()
    assert not isinstance(find_file_or_entry("resnet50"), RegistryEntry)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../a"}, "name must be letters, digits, '.', '+', '-' and '_', got '../a'"),
        ({"kind": "model"}, "kind must be one of detector, backbone, got 'model'"),
        ({"url": "ftp://host/a.pth"}, "url must be a URL with the scheme http, https, file, got 'ftp://host/a.pth'"),
        ({"url": "a.zip"}, "url must be the URL of a .pth or .safetensors file, got 'file://"),
        ({"url": 3}, "url must be a non-empty string, got 3"),
        ({"sha256_prefix": "0123"}, "sha256_prefix must be 8 to 64 hexadecimal digits, got '0123'"),
        ({"sha256": "0"}, "the entry has an unknown field sha256"),
        ({"size_mb": "big"}, "size_mb must be a finite number of at least 0, got 'big'"),
        ({"license": None}, "license must be a non-empty string, got None"),
    ],
)
def test_wrong_entry_names_its_place(tmp_path, change, message):
    path = write(tmp_path / "models.json", ENTRY, {**ENTRY, "name": "b", **change})
    with pytest.raises(UserError) as caught:
        load_registry(path)
    assert str(caught.value).startswith(f"{path}: models[1]: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 2, "models": []}', '{"format": 1}', "[" * 100_000])
def test_other_files_are_no_registry(tmp_path, text):
    (tmp_path / "models.json").write_text(text)
    with pytest.raises(UserError, match="not a registry of models: "):
        load_registry(tmp_path / "models.json")


def test_name_listed_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"models\[1\]: the name a is listed twice"):
        load_registry(write(tmp_path / "models.json", ENTRY, ENTRY))
    with pytest.raises(UserError, match="no such file"):
        load_registry(tmp_path / "gone.json")
