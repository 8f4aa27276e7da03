"""Checks of a ``.pth`` file before it is loaded: what it can allocate is limited by its own size.

A ``.pth`` file is a zip or a bare pickle. torch has its own reader of zips, so these checks accept only zips that torch
and Python read alike, and whose entries are neither compressed nor overlapping. They refuse pickles that allocate
memory of a size given as a number.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rotated_atss.errors import UserError

_ZIP_START = b"PK\x03\x04"  # how torch recognizes a zip
_END = struct.Struct("<4s4H2LH")  # end of the directory: signature, disks, entries, size, offset, comment
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
# bytearray(10**10) in a file of 100 bytes; torch.save writes none for tensors, arrays and plain values
_ALLOCATING_NAME = b"\nbytearray\n"


def check_checkpoint_file(file: Any) -> int:
    """Check a ``.pth`` file before it is loaded.

    Args:
        file: Path, or open binary file, whose position is then its start.

    Returns:
        Upper bound of the total size of the tensors in bytes. For a zip, it is the size of the entries that hold
        values (``data/``); for a bare pickle, the size of the file.

    Raises:
        UserError: Its entries are compressed or overlap, its directory can be read in two ways, or its pickle makes a
            ``bytearray``, whose size is not limited by that of the file.
        zipfile.BadZipFile: The file is a damaged zip.

    Example:
        >>> import io, torch
        >>> file = io.BytesIO()
        >>> torch.save({"w": torch.zeros(2)}, file)
        >>> check_checkpoint_file(file)
        8
    """
    with _opened(file) as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(0)
        if opened.read(4) == _ZIP_START:
            with zipfile.ZipFile(opened) as archive:
                reason = _zip_problem(archive, opened, size)
                size = sum(entry.file_size for entry in archive.infolist() if "/data/" in entry.filename.lower())
        else:
            reason = _pickle_problem(_chunks(opened))
        opened.seek(0)
    if reason:
        raise UserError(f"not loaded, for safety: {reason}", where=name_of(file), hint="write it with torch.save")
    return size


def name_of(file: Any) -> Any:
    """Return the path of a file for messages.

    Example:
        >>> name_of("a.pth")
        'a.pth'
    """
    return file if not hasattr(file, "read") else getattr(file, "name", None) or "checkpoint"


@contextmanager
def _opened(file: Any) -> Iterator[IO[bytes]]:
    if hasattr(file, "read"):
        yield file
        return
    with Path(file).open("rb") as opened:
        yield opened


def _zip_problem(archive: zipfile.ZipFile, file: IO[bytes], size: int) -> str:
    """Return the problem of a zip, empty if it has none; ``file`` is the open zip of ``size`` bytes."""
    entries = archive.infolist()
    if _directory_start(file, size) != archive.start_dir:
        return "its directory is not at its end"
    if any(entry.file_size > entry.compress_size for entry in entries):
        return "its entries are compressed"
    if sum(entry.compress_size for entry in entries) > size:
        return "its entries overlap"
    pickles = (entry for entry in entries if entry.filename.lower().endswith("data.pkl"))
    return next(filter(None, (_pickle_problem(iter([archive.read(entry)])) for entry in pickles)), "")


def _directory_start(file: IO[bytes], size: int) -> int:
    """Return the start of a zip's directory as stated by the records at the end of the file.

    Returns -1 if the directory and these records are not the last bytes of the file.
    """
    end_at = size - _END.size
    signature, *_, length, start, comment = _unpack(_END, file, end_at)
    if signature != b"PK\x05\x06" or comment:
        return -1
    locator, _, end_64_at, _ = _unpack(_LOCATOR_64, file, end_at - _LOCATOR_64.size)
    if locator == b"PK\x06\x07":
        if end_64_at != end_at - _LOCATOR_64.size - _END_64.size:
            return -1
        length, start = _unpack(_END_64, file, end_64_at)[-2:]
        end_at = end_64_at
    return start if start + length == end_at else -1


def _unpack(record: struct.Struct, file: IO[bytes], start: int) -> tuple[Any, ...]:
    """Read a record at a position of the file. Bytes missing in a short file are read as zeros."""
    file.seek(max(start, 0))
    return record.unpack(file.read(record.size).ljust(record.size, b"\0"))


def _chunks(file: IO[bytes], length: int = 2**24) -> Iterator[bytes]:
    """Yield a file from its current position in parts that overlap by the length of the searched name."""
    while part := file.read(length):
        yield part
        if len(part) == length:
            file.seek(-len(_ALLOCATING_NAME), os.SEEK_CUR)


def _pickle_problem(parts: Iterator[bytes]) -> str:
    return "it holds bytearray" if any(_ALLOCATING_NAME in part for part in parts) else ""
