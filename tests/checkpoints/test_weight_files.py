"""Pair of weight files: equal content, separate storage, errors."""

from __future__ import annotations

import json
import os

import pytest
import torch

from rotated_atss.checkpoints.weight_files import output_paths, read_safetensors, save_weights
from rotated_atss.errors import UserError

META = {"converted_from": "mmrotate-0.x", "dataset_meta": {"classes": ["plane", "ship"]}}


def weights():
    values = torch.arange(12.0)
    return {
        "a.weight": values[:6].view(2, 3),
        "shared": values[:6],
        "transposed": torch.arange(6.0).view(2, 3).t(),
        "none": torch.zeros(0, 3),
        "steps": torch.tensor(7),
        "half": torch.ones(2, dtype=torch.float16),
    }


@pytest.mark.parametrize("name", ["model", "model.pth", "model.safetensors", "model.v1.5.pth", "model.v1.5"])
def test_both_files_for_every_form_of_the_name(tmp_path, name):
    paths = save_weights(tmp_path / "deep" / name, weights(), META)
    stem = name.removesuffix(".pth").removesuffix(".safetensors")
    assert [path.name for path in paths] == [f"{stem}.pth", f"{stem}.safetensors"]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == sorted(path.name for path in paths)
    pth, safetensors = torch.load(paths[0], weights_only=True), read_safetensors(paths[1])
    for content in (pth, safetensors):
        assert {key: content["meta"][key] for key in META} == META
        assert set(content["state_dict"]) == set(weights())
        for key, value in weights().items():
            assert torch.equal(content["state_dict"][key], value)
            assert content["state_dict"][key].dtype == value.dtype
    assert all(isinstance(value, str) for value in json.loads(_header(paths[1]))["__metadata__"].values())
    assert paths[0].stat().st_size < 10_000  # slices are saved without the rest of their tensor


def _header(path):
    data = path.read_bytes()
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def test_file_of_another_writer(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2)}, tmp_path / "other.safetensors")
    assert read_safetensors(tmp_path / "other.safetensors")["meta"] == {}
    save_file({"w": torch.ones(2)}, tmp_path / "named.safetensors", metadata={"format": "pt", "note": "{not json"})
    assert read_safetensors(tmp_path / "named.safetensors")["meta"] == {"format": "pt", "note": "{not json"}
    save_file({"w": torch.ones(2)}, tmp_path / "nested.safetensors", metadata={"note": "[" * 100_000})
    assert read_safetensors(tmp_path / "nested.safetensors")["meta"]["note"].startswith("[[[")


def test_damaged_and_missing_files_raise(tmp_path):
    data = save_weights(tmp_path / "model", weights(), META)[1].read_bytes()
    for name, content in {"cut": data[:-9], "empty": b"", "short": data[:5], "text": b"hello, no weights here"}.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"{name}.safetensors: not a readable checkpoint"):
            read_safetensors(path)
    with pytest.raises(UserError, match="no such checkpoint"):
        read_safetensors(tmp_path / "none.safetensors")


HEADERS = {
    "absurd shape": {"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
    "shape that overflows": {"w": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}},
    "shape of other data": {"w": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 8]}},
    "overlapping data": {name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in "vw"},
    "negative offset": {"w": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}},
    "unknown dtype": {"w": {"dtype": "O", "shape": [2], "data_offsets": [0, 8]}},
    "nested header": {"w": json.loads("[" * 900 + "]" * 900)},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_hostile_headers_raise_before_memory_is_taken(tmp_path, header):
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(UserError, match=r"a\.safetensors: not a readable checkpoint"):
        read_safetensors(tmp_path / "a.safetensors")


def test_an_absurd_length_of_the_header_raises(tmp_path):
    (tmp_path / "a.safetensors").write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(UserError, match=r"a\.safetensors: not a readable checkpoint"):
        read_safetensors(tmp_path / "a.safetensors")


def test_invalid_output_paths_raise(tmp_path):
    for wrong in (tmp_path, tmp_path / ".pth", ""):
        with pytest.raises(UserError, match="the output path is a folder or has no file name"):
            output_paths(wrong)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        save_weights(tmp_path / "file" / "model", weights(), META)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_read_only_folder_raises(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        save_weights(tmp_path / "model", weights(), META)
    tmp_path.chmod(0o700)
    assert not list(tmp_path.iterdir())
