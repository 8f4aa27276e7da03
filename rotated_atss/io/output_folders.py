"""Output folders that appear only when all of their files are written."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rotated_atss.errors import UserError
from rotated_atss.io.files import write_error


@contextmanager
def staged_folder(out: str | Path) -> Iterator[Path]:
    """Yield a temporary folder to write to. If the block succeeds, the folder is renamed to ``out``.

    If the block fails, the temporary folder is removed and ``out`` is unchanged.

    Args:
        out: A new or empty folder.

    Raises:
        UserError: ``out`` exists and is not an empty folder, or the folder or a file in it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     with staged_folder(Path(parent, "out")) as folder:
        ...         (folder / "a.txt").touch()
        ...     [path.name for path in Path(parent, "out").iterdir()]
        ['a.txt']
    """
    out = Path(os.path.abspath(out))  # has a name even if the path is "."
    check_empty_output(out)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if out.exists():  # an empty folder; on Windows, os.replace does not replace folders
                out.rmdir()
            os.replace(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # does nothing after the renaming
    except OSError as error:  # raised above or in the block of the caller, which writes to the folder
        raise write_error(out, error) from error


def check_empty_output(out: str | Path) -> None:
    """Raise an error unless an output folder is new or empty.

    Raises:
        UserError: ``out`` is a file, or a folder that is not empty.

    Example:
        >>> check_empty_output("/no/such/folder")
        >>> check_empty_output("/")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: /: the output folder is not empty (choose a new or empty folder)
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "the output folder is not empty" if out.is_dir() else "the output is not a folder"
        raise UserError(what, where=out, hint="choose a new or empty folder")
