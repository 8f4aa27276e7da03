"""Staged output: a split is written to a temporary folder and moved into place when it is complete.

The folder ``split.partial`` in the output folder holds the tiles, a description of the run and one record per finished
job. A run that is stopped at any time leaves it behind; the next run with the same description continues. Nothing is
flushed to the disk explicitly: this holds for processes that are killed, not for a power failure.

The final move survives a kill at each step: the manifest in ``split.partial`` marks a complete split; then the parts of
an earlier split are removed, its manifest first; ``MOVING`` marks that they are gone; the parts are renamed, the
manifest last; and ``split.partial`` is renamed before it is removed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError
from rotated_atss.io.files import write_bytes
from rotated_atss.io.run_state import first_difference, read_state
from rotated_atss.io.shards import Shard, folder_lock, hold_run_lock
from rotated_atss.io.shared_run import append_record, output_folder, records_name
from rotated_atss.tiling.manifest import FULL_LABELS, MANIFEST, WRITTEN_BY, read_manifest
from rotated_atss.tiling.split_image import SplitStats
from rotated_atss.tiling.split_records import read_records, tile_files

PARTIAL = "split.partial"
COMMAND = "split"
RUN = "run.json"
MOVING = "moving"
PARTS = (
    "images",
    "labelTxt",
    FULL_LABELS,
    MANIFEST,
)  # in the order in which they are moved; the manifest marks a complete split

_NEW, _TRASH = ".split.new", ".split.trash"
_REPLACE = "pass --overwrite to replace it, or choose another --out"
_CHOOSE = "choose a new or empty folder as --out"


class Stage:
    """The temporary folder of one split.

    Attributes:
        out: The output folder.
        folder: The temporary folder, with ``images/`` and, for labeled images, ``labelTxt/``.
        labeled: Whether there are labels.
        shard: Which part of the images this run splits; None for all of them.
        finished: Statistics of the finished jobs by key, those of earlier runs and of other shards included.
    """

    def __init__(self, out: Path, *, labeled: bool, shard: Shard | None = None) -> None:
        self.out, self.folder, self.labeled, self.shard = out, out / PARTIAL, labeled, shard
        self.finished: dict[str, SplitStats] = {}
        self._records = records_name(shard)

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Keep other shards from moving the split; yield False if one has done so."""
        with folder_lock(self.out, COMMAND, self.shard):
            yield self.folder.exists()

    @property
    def is_moving(self) -> bool:
        """Whether a complete split was being moved into place when its run was stopped."""
        return (self.folder / MOVING).exists()

    def resume(self, keys: Collection[str]) -> None:
        """Find the finished jobs of earlier runs and other shards; without shards, remove every other file.

        Args:
            keys: Keys of the jobs of this run. A record with another key, or whose files are missing, does not count.
        """
        self.finished = {key: stats for key, stats in read_records(self.folder).items() if key in keys}
        if self.is_moving:
            return
        present = self._make_folders()
        files = {key: tile_files(stats, labeled=self.labeled) for key, stats in self.finished.items()}
        self.finished = {key: stats for key, stats in self.finished.items() if present.issuperset(files[key])}
        if self.shard is None:
            for name in present.difference(*(files[key] for key in self.finished)):
                _remove(self.folder / name)

    def record(self, key: str, stats: SplitStats) -> None:
        """Record a finished job.

        Raises:
            UserError: The record cannot be written.
        """
        append_record(self.folder / self._records, key, asdict(stats))
        self.finished[key] = stats

    def commit(self) -> None:
        """Move the complete split into the output folder."""
        _move_in(self.folder, self.out)

    def _make_folders(self) -> set[str]:
        """Create the folders of tiles and return the files in them."""
        present = set()
        for name in ("images", "labelTxt") if self.labeled else ("images",):
            (self.folder / name).mkdir(exist_ok=True)
            present |= {f"{name}/{file}" for file in os.listdir(self.folder / name)}
        return present


@contextmanager
def staged(
    out: Path,
    description: Mapping[str, Any],
    *,
    labeled: bool = True,
    overwrite: bool = False,
    shard: Shard | None = None,
) -> Iterator[Stage]:
    """Yield the temporary folder of a split, new or that of a stopped run with the same description.

    The caller calls :meth:`Stage.commit`. If the block fails or is interrupted after a job has finished, the temporary
    folder stays; else it is removed. The rest of ``out`` is unchanged in both cases. A lock in ``out`` is held
    meanwhile: a second run into the same folder is refused.

    Args:
        out: The output folder; it need not exist.
        description: What a run must have in common with a stopped one to continue it, as JSON values.
        labeled: Whether there are labels.
        overwrite: Replace an earlier split in ``out``, and an unfinished one with another description. Other content
            is never replaced.
        shard: Share the folder with other shards: each holds a lock of its own, and that of the folder only while it
            prepares and moves the folder. Their temporary folder is never removed.

    Raises:
        UserError: ``out`` is not a folder, cannot be written, has content that must not be replaced, or another run
            writes into it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     with staged(Path(parent, "out"), {}) as stage:
        ...         (stage.folder / "images").mkdir()
        ...         stage.commit()
        ...     [path.name for path in Path(parent, "out").iterdir()]
        ['images']
    """
    if out.exists() and not out.is_dir():
        raise UserError("not a folder", where=out, hint=_CHOOSE)
    with output_folder(out), hold_run_lock(out, COMMAND, shard):
        with folder_lock(out, COMMAND, shard):
            _prepare(out, description, overwrite)
        yield from _kept_if_any_is_finished(Stage(out, labeled=labeled, shard=shard))


def _kept_if_any_is_finished(stage: Stage) -> Iterator[Stage]:
    try:
        yield stage
    except BaseException:
        if not (stage.finished or stage.is_moving or stage.shard):
            _discard(stage.folder)
        raise


def _prepare(out: Path, description: Mapping[str, Any], overwrite: bool) -> None:
    """Create the temporary folder, or keep that of a stopped run with the same description."""
    partial = out / PARTIAL
    try:
        for name in (_NEW, _TRASH):
            _remove(out / name)
        difference = _difference(partial, description)
        if difference and (partial / MOVING).exists():
            _move_in(partial, out)
        _check_replaceable(out, overwrite, difference)
        if difference:
            _discard(partial)
        if not partial.exists():
            (out / _NEW).mkdir()
            write_bytes(out / _NEW / RUN, json.dumps(description, indent=1).encode())
            os.replace(out / _NEW, partial)
    except OSError as error:
        raise UserError(f"the output folder cannot be created: {error.strerror}", where=out) from error


def _difference(partial: Path, description: Mapping[str, Any]) -> str:
    """Return how an unfinished split differs from this one; empty if there is none or it does not differ."""
    if not partial.exists():
        return ""
    old = read_state(partial / RUN)
    return "its settings are unknown" if old is None else first_difference(old, description) or ""


def _check_replaceable(out: Path, overwrite: bool, difference: str) -> None:
    names = {path.name for path in out.iterdir() if path.name == PARTIAL or not path.name.startswith(".")}
    if not names:
        return
    unfinished = PARTIAL in names
    if not names <= {PARTIAL, *PARTS} or not (unfinished or _is_split(out)):
        raise UserError(f"the output folder contains other files ({min(names)})", where=out, hint=_CHOOSE)
    if overwrite or (unfinished and (out / PARTIAL / MOVING).exists()):
        return
    if unfinished and difference:
        what = f"an unfinished split with other settings is in this folder: {difference}"
        raise UserError(what, where=out, hint=f"repeat its command to continue it, {_REPLACE}")
    if _is_split(out):
        what = "the output folder contains a finished split of other settings, images or labels"
        raise UserError(what, where=out, hint=_REPLACE)


def remove_trash(out: Path) -> None:
    """Remove what a run has left that was killed after its last rename.

    Example:
        >>> remove_trash(Path("no_such_folder"))
    """
    shutil.rmtree(out / _TRASH, ignore_errors=True)


def _is_split(out: Path) -> bool:
    """Return whether the folder has a manifest of this package."""
    try:
        return read_manifest(out / MANIFEST).written_by == WRITTEN_BY
    except UserError:
        return False


def _move_in(partial: Path, out: Path) -> None:
    if not (partial / MOVING).exists():
        for name in reversed(PARTS):  # the old manifest first: a folder without manifest counts as incomplete
            _remove(out / name)
        (partial / MOVING).touch()
    for name in PARTS:
        if (partial / name).exists():
            os.replace(partial / name, out / name)
    _discard(partial)


def _discard(folder: Path) -> None:
    """Remove a folder; if this is interrupted, no part of it remains under its name."""
    trash = folder.with_name(_TRASH)
    shutil.rmtree(trash, ignore_errors=True)
    if folder.exists():
        os.replace(folder, trash)
    shutil.rmtree(trash, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
