"""Bytes of an ONNX file with metadata, written field by field."""

from __future__ import annotations


def _varint(value: int) -> bytes:
    data = b""
    while value >= 0x80:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])


def _bytes_field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def onnx_bytes(metadata: dict[str, str], graph: bytes = b"\x12\x04name") -> bytes:
    """Return a ModelProto with an IR version, a producer, a graph and metadata."""
    entries = [_bytes_field(1, key.encode()) + _bytes_field(2, value.encode()) for key, value in metadata.items()]
    parts = [b"\x08\x09", _bytes_field(2, b"test"), _bytes_field(7, graph)]
    return b"".join([*parts, *(_bytes_field(14, entry) for entry in entries)])
