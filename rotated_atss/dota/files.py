"""Files read whole and written whole: nothing half-written ever stands under its final name."""

import os
import secrets
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
    ``atomic_write``."""
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
