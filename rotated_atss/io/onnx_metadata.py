"""Metadata of ONNX files, read without the packages onnx and onnxruntime and without reading the weights.

An ONNX file is a protocol buffer of type ``ModelProto``. Its field 14, ``metadata_props``, occurs once per entry of the
metadata and contains a key (field 1) and a value (field 2). All other fields are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from rotated_atss.errors import UserError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_IR_VERSION, _GRAPH, _METADATA = 1, 7, 14  # fields of ModelProto
_KEY, _VALUE = 1, 2  # fields of StringStringEntryProto
_MAX_ENTRY_BYTES = 2**26  # longest entry (key and value) that is read


def read_onnx_metadata(path: str | Path) -> dict[str, str]:
    r"""Read the metadata of an ONNX file.

    Args:
        path: The file.

    Returns:
        Values by key, in the order of the file.

    Raises:
        UserError: The file is missing, truncated or not an ONNX file.

    Example:
        >>> import tempfile
        >>> content = b"\x08\x09" + b"\x3a\x00" + b"\x72\x0c\x0a\x04name\x12\x04demo"  # version, empty graph, metadata
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.onnx").write_bytes(content)
        ...     read_onnx_metadata(Path(folder, "a.onnx"))
        {'name': 'demo'}
    """
    metadata: dict[str, str] = {}
    fields_in_file = set()  # (field number, wire type)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            for field, wire_type, payload in _iter_fields(file, size, payloads_of=_METADATA):
                fields_in_file.add((field, wire_type))
                if field == _METADATA and payload is not None:
                    entry_fields = _iter_fields(BytesIO(payload), len(payload), payloads_of=None)
                    entry = {entry_field: entry_payload for entry_field, _, entry_payload in entry_fields}
                    key, value = entry.get(_KEY) or b"", entry.get(_VALUE) or b""
                    metadata[key.decode()] = value.decode()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=path) from error
    except ValueError as error:  # including UnicodeDecodeError, if a key or value is not UTF-8
        raise _not_onnx_error(path) from error
    # every ONNX file has a version and a graph; other files can be valid protocol buffers by chance
    if not {(_IR_VERSION, _VARINT), (_GRAPH, _BYTES)} <= fields_in_file:
        raise _not_onnx_error(path)
    return metadata


def _not_onnx_error(path: str | Path) -> UserError:
    return UserError("not a readable ONNX file", where=path, hint="check that the file is complete")


def _iter_fields(file: BinaryIO, size: int, payloads_of: int | None) -> Iterator[tuple[int, int, bytes | None]]:
    """Yield number, wire type and payload of each field of a protocol buffer.

    Args:
        file: The protocol buffer.
        size: Its length in bytes.
        payloads_of: Number of the field whose payloads are read; None reads the payloads of all fields. A payload that
            is not read, or whose wire type is not bytes, is yielded as None.

    Raises:
        ValueError: The protocol buffer is malformed or truncated.
    """
    while file.tell() < size:
        tag = _read_varint(file)
        field, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            _read_varint(file)
            length = 0
        elif wire_type in (_FIXED64, _FIXED32):
            length = 8 if wire_type == _FIXED64 else 4
        elif wire_type == _BYTES:
            length = _read_varint(file)
        else:
            raise ValueError(f"unknown wire type {wire_type}")
        if field == 0:
            raise ValueError("a field has the number 0")
        if length > size - file.tell():
            raise ValueError("the file is truncated")
        if wire_type == _BYTES and payloads_of in (None, field):
            if length > _MAX_ENTRY_BYTES:
                raise ValueError("an entry is too long")
            yield field, wire_type, file.read(length)
        else:
            file.seek(length, os.SEEK_CUR)
            yield field, wire_type, None


def _read_varint(file: BinaryIO) -> int:
    """Read an integer with 7 bits per byte, lowest first; the highest bit of a byte is set if another byte follows."""
    value = 0
    for shift in range(0, 70, 7):  # 64 bits need at most ten bytes
        byte = file.read(1)
        if not byte:
            raise ValueError("the file is truncated")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("an integer is longer than 64 bits")
