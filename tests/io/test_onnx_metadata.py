"""Metadata of ONNX files, and refusal of other files."""

from __future__ import annotations

import pytest

from rotated_atss.errors import UserError
from rotated_atss.io.onnx_metadata import read_onnx_metadata
from tests.references.onnx_file import onnx_bytes


def test_metadata_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(onnx_bytes({"b": "größe", "a": "x" * 1000, "empty": ""}, graph=bytes(100_000)))
    assert list(read_onnx_metadata(path).items()) == [("b", "größe"), ("a", "x" * 1000), ("empty", "")]


def test_fields_of_every_wire_type_are_skipped(tmp_path):
    path = tmp_path / "a.onnx"
    fixed = (
        bytes([90 << 3 & 0x7F | 0x80 | 5, 90 >> 4]) + bytes(4) + bytes([91 << 3 & 0x7F | 0x80 | 1, 91 >> 4]) + bytes(8)
    )
    path.write_bytes(fixed + onnx_bytes({"name": "demo"}))
    assert read_onnx_metadata(path) == {"name": "demo"}


@pytest.mark.parametrize("size", [1, 5, 20, 40])
def test_truncated_file_is_refused(tmp_path, size):
    path = tmp_path / "a.onnx"
    path.write_bytes(onnx_bytes({"name": "demo", "other": "value"})[:size])
    with pytest.raises(UserError, match=r"a\.onnx: not a readable ONNX file"):
        read_onnx_metadata(path)


def test_metadata_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(onnx_bytes({"name": "demo"}).replace(b"demo", b"\xff\xfe\0\0"))
    with pytest.raises(UserError, match="not a readable ONNX file"):
        read_onnx_metadata(path)


@pytest.mark.parametrize(
    "length", [b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x07", b"\xff" * 20], ids=["64 bits", "2 GB", "endless"]
)
def test_an_absurd_length_is_refused_before_memory_is_taken(tmp_path, length):
    path = tmp_path / "a.onnx"
    path.write_bytes(onnx_bytes({"name": "demo"}) + b"\x72" + length)
    with pytest.raises(UserError, match="not a readable ONNX file"):
        read_onnx_metadata(path)


def test_package_onnx_agrees(tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "g", [], [])
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, {"name": "demo", "text": "größe" * 100})
    onnx.save(model, tmp_path / "a.onnx")
    assert read_onnx_metadata(tmp_path / "a.onnx") == {"name": "demo", "text": "größe" * 100}
