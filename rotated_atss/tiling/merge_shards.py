"""Merge in shards (``merge --shard``): several runs divide the parts of the Task1 files among themselves.

The unit of work is a *part* of a Task1 file: consecutive lines, about a megabyte, cut between two images. A whole file
is not the unit, because a few frequent classes have most of the detections. An image is not the unit either, because
every shard would have to read all files to find the lines of its images. Parts are read only once, take about equal
time, and limit the memory. Each of N shards merges every N-th part.

If the lines of an image are not consecutive in a file, several parts can contain some of them. The shard that writes
the result then merges this file again as a whole.

The shards record the merged parts in the folder ``merge.partial`` in the output folder. The shard that finds all parts
recorded writes the merged files and removes ``merge.partial``. It also writes a hidden file. A shard that is run again
sees from this file that nothing is left to do. The file is next to the output folder, because inside the folder it
would become part of a submission.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotated_atss import __version__
from rotated_atss.dota.detections import task1_path
from rotated_atss.errors import UserError
from rotated_atss.io.files import write_json
from rotated_atss.io.progress import progress_bar
from rotated_atss.io.run_lock import run_lock
from rotated_atss.io.run_state import complete_result, describe_files, read_state
from rotated_atss.io.shards import Shard, common_lock, shard_lock
from rotated_atss.io.shared_run import SharedRun, output_folder
from rotated_atss.tiling.merge_parts import ClassMerge, MergedPart, TextPart, merge_parts
from rotated_atss.tiling.merge_task import MergeTask

COMMAND = "merge"  # the names of the lock files contain this name
PARTIAL = "merge.partial"  # name of the folder in the output folder in which merged parts are recorded

_PART_BYTES = 1 << 20  # smaller than the parts of merge_text.py, so that the shards get more equal shares


@dataclass(frozen=True)
class ShardMerge:
    """Result of a shard.

    Attributes:
        classes: Counts per class, if this shard has written the merged files.
        unfinished: Shards with parts that are not merged yet.
        was_finished: Whether another run has written the merged files already.
    """

    classes: tuple[ClassMerge, ...] = ()
    unfinished: tuple[Shard, ...] = ()
    was_finished: bool = False


def has_started_shards(out_dir: Path) -> bool:
    """Return whether an output folder has an unfinished merge in shards.

    Example:
        >>> has_started_shards(Path("no_such_folder"))
        False
    """
    return (out_dir / PARTIAL).exists()


def finished_path(out_dir: Path) -> Path:
    """Return the file that describes the finished merge of an output folder.

    Example:
        >>> finished_path(Path("work/merged")).name
        '.merged.merge-finished.json'
    """
    folder = out_dir.resolve()
    return folder.with_name(f".{folder.name}.merge-finished.json")


def run_shard(
    task: MergeTask, shard: Shard | None, workers: int, scheduler: str | None = None, progress: bool | None = None
) -> ShardMerge:
    """Merge the parts of a shard, and write the merged files if no other part is left.

    Args:
        task: The input and output files.
        shard: The shard; None merges all parts that shards have not merged yet.
        workers: Number of worker processes.
        scheduler: Address of a Dask scheduler. If given, the workers of the cluster merge instead of processes.
        progress: Show a progress bar; None shows it on a terminal.

    Raises:
        UserError: A line is malformed, another run of this shard is active, or shards with other settings have started
            in the output folder.
    """
    with output_folder(task.out_dir), shard_lock(task.out_dir, COMMAND, shard):
        parts = {part.key(): part for part in task.cut(_PART_BYTES)}
        run = SharedRun(task.out_dir / PARTIAL, _describe_settings(task), shard, MergedPart.from_json)
        input_description = _describe_input(task, list(parts))
        # shard_lock excludes other runs of the same shard. common_lock excludes the other shards, too. In a run without
        # a shard, shard_lock has taken the common lock already, and common_lock does nothing.
        with common_lock(task.out_dir, COMMAND, shard):
            complete_result(task.out_dir)  # an earlier run may have been killed while it renamed the merged files
            # A shard has nothing to do after a finished merge; a run without --shard merges again.
            if shard is not None and _is_finished(task, input_description):
                run.remove()  # a run that was killed after it had written the merged files has left its folder
                return ShardMerge(was_finished=True)
            task.reject_files_of_other_classes()
            run.prepare()
        keys_to_merge = run.select(list(parts))
        key_of_part = {parts[key]: key for key in keys_to_merge}
        _merge_and_record(run, key_of_part, workers, scheduler, progress)
        return _write_if_complete(task, run, parts, input_description, workers, scheduler)


def _merge_and_record(
    run: SharedRun[MergedPart],
    key_of_part: Mapping[TextPart, str],
    workers: int,
    scheduler: str | None,
    progress: bool | None,
) -> None:
    """Merge parts, and record each under its key as soon as it is merged."""
    with progress_bar(total=sum(part.length for part in key_of_part), desc="merge", unit="B", show=progress) as bar:
        for part, result in merge_parts(list(key_of_part), workers, scheduler):
            run.record(key_of_part[part], result.to_json())
            bar.update(part.length)


def _write_if_complete(
    task: MergeTask,
    run: SharedRun[MergedPart],
    parts: Mapping[str, TextPart],
    input_description: Mapping[str, Any],
    workers: int,
    scheduler: str | None,
) -> ShardMerge:
    """Write the merged files, unless parts of other shards are left or another shard has written the files."""
    with common_lock(task.out_dir, COMMAND, run.shard):
        if not run.folder.exists():  # the shard that wrote the merged files has removed this folder
            return ShardMerge(was_finished=True)
        unfinished = run.unfinished_shards(list(parts))
        results = {} if unfinished else dict(run.results())
    if unfinished:
        return ShardMerge(unfinished=tuple(unfinished))
    merged = {part: results[key] for key, part in parts.items()}
    # If an image has lines in several parts of a file, the whole file is merged again, as one large part. ``merged``
    # then has both results, and task.write uses the one of the whole file. This can take long, so no lock is held here.
    merged |= dict(merge_parts(task.files_with_divided_images(merged), workers, scheduler))
    with common_lock(task.out_dir, COMMAND, run.shard):
        if not run.folder.exists():  # another shard wrote the merged files while no lock was held
            return ShardMerge(was_finished=True)
        classes = task.write(merged)
        finished = {**input_description, "output": describe_files(_output_paths(task))}
        write_json(finished_path(task.out_dir), finished, indent=None)
        run.remove()
        _remove_locks_of_killed_shards(task.out_dir)
    return ShardMerge(tuple(classes))


def _remove_locks_of_killed_shards(out_dir: Path) -> None:
    """Remove the lock files of killed shards. Each lock is taken and released, which removes its file."""
    for path in out_dir.glob(f".{COMMAND}.*-of-*.lock"):
        # The lock of an active shard cannot be taken. This error is ignored, because the shard removes its lock itself.
        with suppress(UserError), run_lock(path):
            pass


def _describe_settings(task: MergeTask) -> dict[str, Any]:
    """Return what all shards must share: the settings as strings and, without a class list, the input file names."""
    description: dict[str, Any] = {
        "version": __version__,
        "TASK1_DIR": str(task.tiles_dir.resolve()),
        "--iou-threshold": str(task.iou_threshold),
        "--classes": ", ".join(task.classes) if task.has_class_list else None,
    }
    if not task.has_class_list:
        # If two runs differ in an entry whose value is a list, the error of SharedRun says "Task1_ship.txt is new" or
        # "is missing". Such a list normally has the size and the time of a file. It is empty here, because only the
        # names matter.
        description["Task1 files"] = {task1_path("", name).name: [] for name in task.classes}
    return description


def _describe_input(task: MergeTask, keys: Sequence[str]) -> dict[str, Any]:
    """Return everything that determines the merged files: the settings and a digest of the keys of all parts.

    Each key depends on the size and the modification time of its input file.
    """
    return {**_describe_settings(task), "input": hashlib.sha256("".join(keys).encode()).hexdigest()}


def _is_finished(task: MergeTask, input_description: Mapping[str, Any]) -> bool:
    """Return whether the output folder has the unchanged files of a finished merge with the same input."""
    recorded = read_state(finished_path(task.out_dir))
    try:
        return recorded == {**input_description, "output": describe_files(_output_paths(task))}
    except UserError:  # a file is missing
        return False


def _output_paths(task: MergeTask) -> list[Path]:
    return [task1_path(task.out_dir, name) for name in task.classes]
