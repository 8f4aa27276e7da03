"""Check a ``.pth`` file before it is loaded, so that loading cannot allocate more memory than the size of the file.

A ``.pth`` file is a zip archive or a bare pickle. These conditions are checked:

- The entries of a zip archive are neither compressed nor overlapping.
- The directory of a zip archive is at the end of the file. This check reads the archive with Python's zipfile, but
  torch has its own reader. If the directory were elsewhere, the two readers could find different entries.
- A pickle does not call ``bytearray(n)``, which allocates n bytes however small the file is.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rotated_atss.errors import UserError

_ZIP_START = b"PK\x03\x04"  # torch recognizes a zip archive by these bytes
# Records at the end of a zip archive. The last record is called "end of central directory". Its fields are the
# signature, four numbers of disks and entries, the size and the offset of the directory, and the length of the comment.
# In a zip64 archive, two records precede it: first a version of it with larger integers (_END_64), then a locator with
# the offset of that larger record.
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
# A pickle of 100 bytes can call bytearray(10**10). Therefore files that contain this name are rejected. Ordinary
# checkpoints do not contain it, because torch.save does not write it for tensors, arrays and plain values.
_ALLOCATING_NAME = b"\nbytearray\n"


def check_checkpoint_file(file: str | Path | IO[bytes]) -> int:
    """Check that loading a ``.pth`` file allocates at most the size of the file.

    Args:
        file: Path, or open binary file. The position of an open file is set to its start.

    Returns:
        Upper bound of the total size of the tensors in bytes. For a zip archive, it is the size of the entries that
        contain tensor values (``data/``). For a bare pickle, it is the size of the file.

    Raises:
        UserError: Entries of the archive are compressed or overlap, its directory is not at the end of the file, or
            the pickle creates a ``bytearray``, which can be larger than the file.
        zipfile.BadZipFile: The file is a damaged zip archive.

    Example:
        >>> import io, torch
        >>> file = io.BytesIO()
        >>> torch.save({"w": torch.zeros(2)}, file)
        >>> check_checkpoint_file(file)
        8
    """
    with _open_binary(file) as opened:
        file_size = opened.seek(0, os.SEEK_END)
        opened.seek(0)
        if opened.read(4) == _ZIP_START:
            with zipfile.ZipFile(opened) as archive:
                problem = _find_zip_problem(archive, opened, file_size)
                entries = archive.infolist()
                # torch ignores the case of entry names.
                max_bytes = sum(entry.file_size for entry in entries if "/data/" in entry.filename.lower())
        else:
            problem = _find_pickle_problem(_read_chunks(opened))
            max_bytes = file_size
        opened.seek(0)
    if problem:
        raise UserError(f"not loaded, for safety: {problem}", where=name_of(file), hint="write it with torch.save")
    return max_bytes


def name_of(file: str | Path | IO[bytes]) -> object:
    """Return the path of a file for messages; "checkpoint" for an open file without a name.

    Example:
        >>> name_of("a.pth")
        'a.pth'
    """
    if isinstance(file, (str, os.PathLike)):
        return file
    return getattr(file, "name", None) or "checkpoint"


@contextmanager
def _open_binary(file: str | Path | IO[bytes]) -> Iterator[IO[bytes]]:
    """Open a path for reading. If a file is already open, yield it and leave it open."""
    if isinstance(file, (str, os.PathLike)):
        with Path(file).open("rb") as opened:
            yield opened
    else:
        yield file


def _find_zip_problem(archive: zipfile.ZipFile, file: IO[bytes], file_size: int) -> str:
    """Return a description of what is wrong with an archive; empty if nothing is. ``file`` is the open archive."""
    entries = archive.infolist()
    if _read_directory_offset(file, file_size) != archive.start_dir:  # zipfile has found a directory somewhere else
        return "its central directory is not at the end of the file"
    if any(entry.file_size > entry.compress_size for entry in entries):
        return "its entries are compressed"
    # Entries can also overlap if their total size is not larger than the file. That is harmless, because loading them
    # allocates no more than the size of the file.
    if sum(entry.compress_size for entry in entries) > file_size:
        return "its entries overlap"
    for entry in entries:
        if entry.filename.lower().endswith("data.pkl"):
            problem = _find_pickle_problem([archive.read(entry)])
            if problem:
                return problem
    return ""


def _read_directory_offset(file: IO[bytes], file_size: int) -> int:
    """Return the offset of the directory of a zip archive, according to the records at the end of the file.

    Returns -1 if the directory and these records are not the last bytes of the file.
    """
    end_offset = file_size - _END.size
    directory_end = end_offset
    signature, *_, directory_size, directory_offset, comment_length = _unpack(_END, file, end_offset)
    if signature != b"PK\x05\x06" or comment_length:
        return -1
    locator_signature, _, end_64_offset, _ = _unpack(_LOCATOR_64, file, end_offset - _LOCATOR_64.size)
    if locator_signature == b"PK\x06\x07":
        if end_64_offset != end_offset - _LOCATOR_64.size - _END_64.size:
            return -1
        directory_size, directory_offset = _unpack(_END_64, file, end_64_offset)[-2:]
        directory_end = end_64_offset  # in a zip64 archive, this record follows the directory
    return directory_offset if directory_offset + directory_size == directory_end else -1


def _unpack(record: struct.Struct, file: IO[bytes], offset: int) -> tuple[Any, ...]:
    """Read a record at an offset of the file, or at 0 if the offset is negative. Bytes after the end count as zeros."""
    file.seek(max(offset, 0))
    return record.unpack(file.read(record.size).ljust(record.size, b"\0"))


def _read_chunks(file: IO[bytes], chunk_size: int = 2**24) -> Iterator[bytes]:
    """Yield the bytes from the current position of a file, in chunks.

    Chunks overlap by the length of ``_ALLOCATING_NAME``, so that a name at the border of two chunks is found.
    """
    while chunk := file.read(chunk_size):
        yield chunk
        if len(chunk) == chunk_size:
            file.seek(-len(_ALLOCATING_NAME), os.SEEK_CUR)


def _find_pickle_problem(chunks: Iterable[bytes]) -> str:
    """Return a description of what is wrong with a pickle; empty if nothing is."""
    if any(_ALLOCATING_NAME in chunk for chunk in chunks):
        return "it uses bytearray, which can allocate any amount of memory"
    return ""
