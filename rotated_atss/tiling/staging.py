"""An output folder that is either complete or not there: everything is written aside and moved in at the end."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rotated_atss.errors import UserError

PARTIAL = "split.partial"
MANIFEST = "manifest.json"
PARTS = ("images", "labelTxt", MANIFEST)  # in the order in which they move; the manifest says that all is there
WRITTEN_BY = "rotated-atss split"

_REPLACE = "pass --overwrite to replace it, or choose another --out"
_CHOOSE = "choose a new or empty folder as --out"


@contextmanager
def staged(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder to write ``PARTS`` into; when the block ends well, they move into ``out``.

    When the block fails, or is interrupted, what it wrote is removed and ``out`` stays as it was. Only a process that
    is killed leaves the folder ``PARTIAL`` behind, which the next run reports.

    Raises:
        UserError: ``out`` is not a folder, cannot be written, or holds something that ``overwrite`` does not cover.
    """
    _check_free(out, overwrite)
    partial, made_out = out / PARTIAL, not out.exists()
    try:
        _remove(partial)
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"the output folder cannot be made: {error.strerror}", where=out) from error
    try:
        yield partial
        _move_in(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if made_out and not any(out.iterdir()):
            out.rmdir()


def _check_free(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError("not a folder", where=out, hint=_CHOOSE)
    names = {path.name for path in out.iterdir() if path.name == PARTIAL or not path.name.startswith(".")}
    if not names:
        return
    unfinished, ours = PARTIAL in names, names <= {PARTIAL, *PARTS} and (PARTIAL in names or _is_split(out))
    if not ours:
        raise UserError(f"the output folder holds other files ({min(names)})", where=out, hint=_CHOOSE)
    if not overwrite and unfinished:
        raise UserError("an earlier split did not finish here, or is still running", where=out, hint=_REPLACE)
    if not overwrite:
        raise UserError("the output folder holds a finished split", where=out, hint=_REPLACE)


def _is_split(out: Path) -> bool:
    """Whether the folder's manifest is one of ours."""
    try:
        manifest = json.loads((out / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("written_by") == WRITTEN_BY


def _move_in(partial: Path, out: Path) -> None:
    for name in reversed(PARTS):  # the old manifest goes first: without it nothing claims to be complete
        _remove(out / name)
    for name in PARTS:
        if (partial / name).exists():
            os.replace(partial / name, out / name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
