"""Stage a split: write it to a temporary folder, and move it into the output folder when it is complete.

The temporary folder is ``split.partial`` in the output folder. It contains the tiles, a description of the run and one
record per finished job (an image, or a part of an image). If a run is stopped at any time, the temporary folder
remains, and the next run with the same description continues the split. This works whenever the process is killed. It
is not guaranteed after a power failure, because nothing is flushed to the disk explicitly.

The final move has five steps. If the process is killed at any of them, the next run completes the move:

1. The caller writes the manifest to ``split.partial``. The split is now complete; :meth:`Stage.commit` does the rest.
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
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError
from rotated_atss.io.files import write_bytes
from rotated_atss.io.run_lock import run_lock
from rotated_atss.io.run_state import first_difference, read_state
from rotated_atss.io.shards import Shard, common_lock, lock_path, shard_lock
from rotated_atss.io.shared_run import append_record, output_folder, records_name
from rotated_atss.tiling.manifest import FULL_LABELS, MANIFEST, WRITTEN_BY, read_manifest
from rotated_atss.tiling.split_records import list_tile_files, read_records
from rotated_atss.tiling.split_stats import SplitStats

COMMAND = "split"
PARTIAL = "split.partial"
RUN = "run.json"  # description of the run, in the temporary folder
MOVING = "moving"  # empty file in the temporary folder, which exists from step 3 of the final move on
ENTRIES = ("images", "labelTxt", FULL_LABELS, MANIFEST)
"""Folders and files of a split, in the order of their move. The manifest is last because it marks a complete split."""

# The temporary folder is created under the name _NEW and then renamed to PARTIAL. To remove it, it is first renamed to
# _TRASH. The folder PARTIAL therefore appears and disappears as a whole. All three are in the output folder.
_NEW = ".split.new"
_TRASH = ".split.trash"
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
            keys: Keys of the jobs of all shards. A record is ignored if its key is not among them or if a tile of its
                job is missing.
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
        folders = ("images", "labelTxt") if self.labeled else ("images",)
        for folder in folders:
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
    """Yield the temporary folder of a split: a new folder, or the folder of a stopped run with the same description.

    When the split is complete, the block has to call :meth:`Stage.commit`, which moves the split into ``out``. If the
    block fails or is interrupted, the rest of ``out`` is unchanged. The temporary folder is then kept if a job has
    finished, and removed otherwise. While the block runs, ``out`` is locked, so that a second run into ``out`` raises
    an error.

    Args:
        out: The output folder; it need not exist.
        description: JSON values by name. This run continues a stopped run only if all values are equal.
        labeled: Whether the images have labels.
        overwrite: Replace an earlier split in ``out``, even an unfinished one with another description. Other content
            is never replaced.
        shard: The part of the images that this run splits. All shards use the same temporary folder. A shard locks only
            its own part, and locks the whole folder only to prepare and to move it. If a shard fails, the folder stays.

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
        can_continue = stage.finished or stage.is_moving
        is_shared = stage.shard is not None  # other shards may use the folder
        if not (can_continue or is_shared):
            _discard(stage.folder)
        raise


def _prepare(out: Path, description: Mapping[str, Any], overwrite: bool) -> None:
    """Create the temporary folder, or keep the folder of a stopped run with the same description."""
    partial = out / PARTIAL
    try:
        for name in (_NEW, _TRASH):  # left by killed runs
            _remove(out / name)
        difference = _describe_difference(partial, description)
        # Complete the move of another split if it has begun, because some files of that split may already be in out.
        if difference and (partial / MOVING).exists():
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
    """Describe how an unfinished split differs from this one; return "" if there is none or if they are equal."""
    if not partial.exists():
        return ""
    recorded = read_state(partial / RUN)
    if recorded is None:
        return "its settings are unknown"
    return first_difference(recorded, description) or ""


def _check_replaceable(out: Path, overwrite: bool, difference: str) -> None:
    """Raise an error if the output folder contains anything that this run may not continue or replace."""
    names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    if not names:
        return
    is_unfinished = PARTIAL in names
    # Folders such as ``images`` belong to a split only if there is also split.partial or a manifest of this package.
    contains_split = is_unfinished or _is_split(out)
    foreign = names - {PARTIAL, *ENTRIES} if contains_split else names
    if foreign:
        raise UserError(f"the output folder contains other files ({min(foreign)})", where=out, hint=_CHOOSE_HINT)
    if overwrite:
        return
    # The move of a split with the same settings was stopped, and this run completes it. If the settings were different,
    # _prepare would have completed the move already.
    if is_unfinished and (out / PARTIAL / MOVING).exists():
        return
    if is_unfinished and difference:
        what = f"an unfinished split with other settings is in this folder: {difference}"
        raise UserError(what, where=out, hint=f"repeat its command to continue it, {_REPLACE_HINT}")
    if _is_split(out):  # The input of that split differs, because find_finished_split has found no equal split.
        what = "the output folder contains a finished split of other settings, images or labels"
        raise UserError(what, where=out, hint=_REPLACE_HINT)


def remove_leftovers(out: Path) -> None:
    """Remove the temporary folder and the lock file of a run that was killed when its split was already complete.

    Example:
        >>> remove_leftovers(Path("no_such_folder"))
    """
    shutil.rmtree(out / _TRASH, ignore_errors=True)
    if lock_path(out, COMMAND).exists():
        with suppress(UserError), run_lock(lock_path(out, COMMAND)):  # removes the file, unless a run still holds it
            pass


def _is_split(out: Path) -> bool:
    """Return whether a folder has a manifest that this package wrote."""
    try:
        return read_manifest(out / MANIFEST).written_by == WRITTEN_BY
    except UserError:
        return False


def _finish_move(partial: Path, out: Path) -> None:
    """Carry out the remaining steps of the final move (see the description of the module)."""
    if not (partial / MOVING).exists():
        # The manifest of the earlier split is removed first, because a folder without manifest counts as incomplete.
        for name in reversed(ENTRIES):
            _remove(out / name)
        (partial / MOVING).touch()
    for name in ENTRIES:
        if (partial / name).exists():
            os.replace(partial / name, out / name)
    _discard(partial)


def _discard(folder: Path) -> None:
    """Rename a folder, then remove it, so that an interruption leaves no incomplete folder with the original name."""
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
