"""Staged output: a split is written to a temporary folder and moved into place when it is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rotated_atss.errors import UserError
from rotated_atss.io.run_lock import run_lock
from rotated_atss.tiling.manifest import FULL_LABELS, MANIFEST, WRITTEN_BY, read_manifest

PARTIAL = "split.partial"
LOCK = ".split.lock"
PARTS = (
    "images",
    "labelTxt",
    FULL_LABELS,
    MANIFEST,
)  # in the order in which they are moved; the manifest marks a complete split

_REPLACE = "pass --overwrite to replace it, or choose another --out"
_CHOOSE = "choose a new or empty folder as --out"


@contextmanager
def staged(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder for ``PARTS`` and move them into ``out`` when the block succeeds.

    If the block fails or is interrupted, the temporary folder is removed and ``out`` is unchanged. Only a killed
    process leaves the folder ``PARTIAL`` behind; the next run reports it. The lock ``LOCK`` in ``out`` is held
    meanwhile: a second run into the same folder is refused, with and without ``overwrite``.

    Args:
        out: The output folder; it need not exist.
        overwrite: Replace an earlier split in ``out``, complete or not. Other content is never replaced.

    Raises:
        UserError: ``out`` is not a folder, cannot be written, has content that must not be replaced, or another run
            writes into it.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     with staged(Path(parent, "out")) as folder:
        ...         (folder / "images").mkdir()
        ...     [path.name for path in Path(parent, "out").iterdir()]
        ['images']
    """
    if out.exists() and not out.is_dir():
        raise UserError("not a folder", where=out, hint=_CHOOSE)
    created = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _create_error(out, error) from error
    try:
        with run_lock(out / LOCK):
            _check_replaceable(out, overwrite)
            yield from _moved_when_complete(out)
    finally:
        if created and not any(out.iterdir()):
            out.rmdir()


def _moved_when_complete(out: Path) -> Iterator[Path]:
    partial = out / PARTIAL
    try:
        _remove(partial)
        partial.mkdir()
    except OSError as error:
        raise _create_error(out, error) from error
    try:
        yield partial
        _move_in(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _create_error(out: Path, error: OSError) -> UserError:
    return UserError(f"the output folder cannot be created: {error.strerror}", where=out)


def _check_replaceable(out: Path, overwrite: bool) -> None:
    names = {path.name for path in out.iterdir() if path.name == PARTIAL or not path.name.startswith(".")}
    if not names:
        return
    unfinished = PARTIAL in names
    if not names <= {PARTIAL, *PARTS} or not (unfinished or _is_split(out)):
        raise UserError(f"the output folder contains other files ({min(names)})", where=out, hint=_CHOOSE)
    if not overwrite and unfinished:
        raise UserError("an earlier split into this folder is unfinished", where=out, hint=_REPLACE)
    if not overwrite:
        raise UserError("the output folder contains a finished split", where=out, hint=_REPLACE)


def _is_split(out: Path) -> bool:
    """Return whether the folder has a manifest of this package."""
    try:
        return read_manifest(out / MANIFEST).written_by == WRITTEN_BY
    except UserError:
        return False


def _move_in(partial: Path, out: Path) -> None:
    for name in reversed(PARTS):  # the old manifest first: a folder without manifest counts as incomplete
        _remove(out / name)
    for name in PARTS:
        if (partial / name).exists():
            os.replace(partial / name, out / name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
