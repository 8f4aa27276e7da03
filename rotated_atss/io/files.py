"""Files read whole and written whole: nothing half-written ever stands under its final name."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from rotated_atss.errors import UserError


def read_bytes(path: str | Path, start: int = 0, length: int = -1) -> bytes:
    """The content of ``path``, or ``length`` bytes of it from ``start``. Raises UserError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(length)
    except FileNotFoundError:
        raise UserError("no such file", where=path) from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=path) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a new file into a folder that is itself set aside until it is complete. Raises UserError as
    ``atomic_write``.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise _not_written(path, error) from error


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write ``data`` beside ``path`` under a temporary name, then rename it: ``path`` is old, new or absent, never
    part.

    Raises:
        UserError: The folder cannot be made or written, or the disk is full; the temporary file is removed.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot be written: {error.strerror}", where=path, hint="check the folder and the free space")


def check_output_apart(
    out: str | Path,
    inputs: Iterable[str | Path],
    *,
    may_contain_inputs: bool = False,
    hint: str = "choose another output",
) -> None:
    """Refuse an output that overlaps an input, so that inputs are never written to.

    Args:
        out: File or folder to write to; it need not exist.
        inputs: Files and folders that are read.
        may_contain_inputs: Accept an output folder with an input somewhere below it.
        hint: What to do instead, for the error message.

    Raises:
        UserError: ``out`` is, lies inside or, unless ``may_contain_inputs``, contains one of ``inputs``.
    """
    target = Path(out).resolve()
    for given in inputs:
        source = Path(given).resolve()
        same = target == source or (target.exists() and source.exists() and target.samefile(source))
        if same or source in target.parents or (target in source.parents and not may_contain_inputs):
            raise UserError(f"the output overlaps the input {given}", where=out, hint=hint)
