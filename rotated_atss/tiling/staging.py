"""Stage a split: write it to a temporary folder, and move it into the output folder when it is complete.

The temporary folder is ``split.partial`` in the output folder. It contains the tiles, a description of the run and one
record per finished job (an image or a part of one). A run that is stopped at any time leaves it behind, and the next
run with the same description continues. This is guaranteed if the process is killed, but not after a power failure,
because nothing is flushed to the disk explicitly.

The final move has five steps. If the process is killed at any of them, the next run completes the move:

1. The caller writes the manifest to ``split.partial``: the split is complete. :meth:`Stage.commit` does the rest.
2. An earlier split in the output folder is removed, its manifest first.
3. The file ``split.partial/moving`` is created, which records that the earlier split is gone.
4. The folders and files of the new split (:data:`ENTRIES`) are renamed into the output folder, the manifest last.
5. ``split.partial`` is renamed, then removed.
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
from rotated_atss.io.shards import Shard, common_lock, shard_lock
from rotated_atss.io.shared_run import append_record, output_folder, records_name
from rotated_atss.tiling.manifest import FULL_LABELS, MANIFEST, WRITTEN_BY, read_manifest
from rotated_atss.tiling.split_records import list_tile_files, read_records
from rotated_atss.tiling.split_stats import SplitStats

COMMAND = "split"
PARTIAL = "split.partial"
RUN = "run.json"  # description of the run, in the temporary folder
MOVING = "moving"  # empty file in the temporary folder from step 3 on
ENTRIES = ("images", "labelTxt", FULL_LABELS, MANIFEST)
"""Folders and files of a split, in the order in which they are moved: the manifest marks a complete split."""

# The temporary folder is created under the name _NEW and removed under the name _TRASH, both in the output folder.
# Renaming makes it appear and disappear as a whole.
_NEW, _TRASH = ".split.new", ".split.trash"
_REPLACE_HINT = "pass --overwrite to replace it, or choose another --out"
_CHOOSE_HINT = "choose a new or empty folder as --out"


class Stage:
    """The temporary folder of one split.

    Attributes:
        out: The output folder.
        folder: The temporary folder, with ``images/`` and, for labeled images, ``labelTxt/``.
        labeled: Whether the images have labels.
        shard: The part of the images that this run splits; None for all images.
        finished: Statistics of the finished jobs by key, including jobs of earlier runs and of other shards.
    """

    def __init__(self, out: Path, *, labeled: bool, shard: Shard | None = None) -> None:
        self.out, self.folder, self.labeled, self.shard = out, out / PARTIAL, labeled, shard
        self.finished: dict[str, SplitStats] = {}
        self._records = records_name(shard)

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Keep other shards from moving the split while the block runs; yield False if another shard has moved it."""
        with common_lock(self.out, COMMAND, self.shard):
            yield self.folder.exists()

    @property
    def is_moving(self) -> bool:
        """Whether a complete split was being moved into place when its run was stopped."""
        return (self.folder / MOVING).exists()

    def resume(self, keys: Collection[str]) -> None:
        """Set ``finished`` to the jobs that earlier runs and other shards have finished.

        Without shards, files that belong to no finished job are removed. With shards they are kept, because jobs of
        other shards that still run may have written them.

        Args:
            keys: Keys of the jobs of all shards. Records with other keys, or whose tiles are missing, are ignored.
        """
        self.finished = {key: stats for key, stats in read_records(self.folder).items() if key in keys}
        if self.is_moving:  # the split was complete, and some of its tiles can already be in the output folder
            return
        present_files = self._make_folders()
        files_by_key = {key: list_tile_files(stats, labeled=self.labeled) for key, stats in self.finished.items()}
        self.finished = {
            key: stats for key, stats in self.finished.items() if present_files.issuperset(files_by_key[key])
        }
        if self.shard is None:
            for name in present_files.difference(*(files_by_key[key] for key in self.finished)):
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
        _finish_move(self.folder, self.out)

    def _make_folders(self) -> set[str]:
        """Create the folders of tiles if they are missing, and return the files in them as ``folder/name``."""
        files = set()
        for folder in ("images", "labelTxt") if self.labeled else ("images",):
            (self.folder / folder).mkdir(exist_ok=True)
            files |= {f"{folder}/{name}" for name in os.listdir(self.folder / folder)}
        return files


@contextmanager
def staged(
    out: Path,
    description: Mapping[str, Any],
    *,
    labeled: bool = True,
    overwrite: bool = False,
    shard: Shard | None = None,
) -> Iterator[Stage]:
    """Yield the temporary folder of a split: a new one, or that of a stopped run with the same description.

    At its end, the block has to call :meth:`Stage.commit`, which moves the split into ``out``. If the block fails or is
    interrupted, the temporary folder is kept if a job has finished, and removed otherwise; the rest of ``out`` is
    unchanged. While the block runs, ``out`` is locked, so that a second run into it raises an error.

    Args:
        out: The output folder; it need not exist.
        description: JSON values by name that must equal those of a stopped run for this run to continue it.
        labeled: Whether the images have labels.
        overwrite: Replace an earlier split in ``out``, even an unfinished one with another description. Other content
            is never replaced.
        shard: The part of the images that this run splits. Shards share the temporary folder: each locks only its own
            part, and the whole folder only to prepare and move it. If a shard fails, the folder stays.

    Raises:
        UserError: ``out`` is not a folder, cannot be written or has content that must not be replaced, or another run
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
        raise UserError("not a folder", where=out, hint=_CHOOSE_HINT)
    # In a run of all images, shard_lock locks the folder, and common_lock does nothing. In a run of a shard,
    # shard_lock locks only the shard, and common_lock locks the folder.
    with output_folder(out), shard_lock(out, COMMAND, shard):
        with common_lock(out, COMMAND, shard):
            _prepare(out, description, overwrite)
        yield from _discard_after_failure(Stage(out, labeled=labeled, shard=shard))


def _discard_after_failure(stage: Stage) -> Iterator[Stage]:
    """Yield a stage; if the block fails and no run can continue from its temporary folder, remove the folder."""
    try:
        yield stage
    except BaseException:
        if not (stage.finished or stage.is_moving or stage.shard):  # other shards may use the folder
            _discard(stage.folder)
        raise


def _prepare(out: Path, description: Mapping[str, Any], overwrite: bool) -> None:
    """Create the temporary folder, or keep that of a stopped run with the same description."""
    partial = out / PARTIAL
    try:
        for name in (_NEW, _TRASH):  # left by killed runs
            _remove(out / name)
        difference = _describe_difference(partial, description)
        if difference and (partial / MOVING).exists():  # another split, which is complete and may be partly moved
            _finish_move(partial, out)
        _check_replaceable(out, overwrite, difference)
        if difference:
            _discard(partial)
        if not partial.exists():
            (out / _NEW).mkdir()
            write_bytes(out / _NEW / RUN, json.dumps(description, indent=1).encode())
            os.replace(out / _NEW, partial)
    except OSError as error:
        raise UserError(f"the output folder cannot be created: {error.strerror}", where=out) from error


def _describe_difference(partial: Path, description: Mapping[str, Any]) -> str:
    """Describe how an unfinished split differs from this one; empty if it does not differ or does not exist."""
    if not partial.exists():
        return ""
    recorded = read_state(partial / RUN)
    return "its settings are unknown" if recorded is None else first_difference(recorded, description) or ""


def _check_replaceable(out: Path, overwrite: bool, difference: str) -> None:
    """Raise an error if the output folder contains anything that this run may not continue or replace."""
    names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    if not names:
        return
    is_unfinished = PARTIAL in names
    # without split.partial and a manifest of this package, folders such as ``images`` are not those of a split
    foreign = names - {PARTIAL, *ENTRIES} if is_unfinished or _is_split(out) else names
    if foreign:
        raise UserError(f"the output folder contains other files ({min(foreign)})", where=out, hint=_CHOOSE_HINT)
    if overwrite:
        return
    # a split with the same settings, whose move was stopped, is completed; _prepare has completed any other
    if is_unfinished and (out / PARTIAL / MOVING).exists():
        return
    if is_unfinished and difference:
        what = f"an unfinished split with other settings is in this folder: {difference}"
        raise UserError(what, where=out, hint=f"repeat its command to continue it, {_REPLACE_HINT}")
    if _is_split(out):  # it differs from this one: find_finished_split has found no equal split
        what = "the output folder contains a finished split of other settings, images or labels"
        raise UserError(what, where=out, hint=_REPLACE_HINT)


def remove_trash(out: Path) -> None:
    """Remove the renamed temporary folder of a run that was killed before it could remove it.

    Example:
        >>> remove_trash(Path("no_such_folder"))
    """
    shutil.rmtree(out / _TRASH, ignore_errors=True)


def _is_split(out: Path) -> bool:
    """Return whether a folder has a manifest that this package wrote."""
    try:
        return read_manifest(out / MANIFEST).written_by == WRITTEN_BY
    except UserError:
        return False


def _finish_move(partial: Path, out: Path) -> None:
    """Carry out the remaining steps of the final move (see the description of the module)."""
    if not (partial / MOVING).exists():
        for name in reversed(ENTRIES):  # the old manifest first: a folder without manifest counts as incomplete
            _remove(out / name)
        (partial / MOVING).touch()
    for name in ENTRIES:
        if (partial / name).exists():
            os.replace(partial / name, out / name)
    _discard(partial)


def _discard(folder: Path) -> None:
    """Remove a folder. It is renamed first, so that no incomplete folder of its name remains after an interruption."""
    trash = folder.with_name(_TRASH)
    shutil.rmtree(trash, ignore_errors=True)
    if folder.exists():
        os.replace(folder, trash)
    shutil.rmtree(trash, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove a folder, a file or a link, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
