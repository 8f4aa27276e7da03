"""Merge a folder of Task1 files (``Task1_<class>.txt``) of tiles into Task1 files of full images.

Image ids of the input are tile names in the style of mmrotate or of DOTA_devkit. NMS compares the quadrilaterals of
the files, without fitting rectangles. Large files are cut into parts, which several processes merge in parallel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotated_atss.errors import UserError
from rotated_atss.io.processes import available_cores
from rotated_atss.io.progress import progress_bar
from rotated_atss.io.run_state import complete_result
from rotated_atss.io.shards import Shard
from rotated_atss.tiling.merge_parts import ClassMerge, merge_parts
from rotated_atss.tiling.merge_polygons import IOU_THRESHOLD
from rotated_atss.tiling.merge_shards import ShardMerge, has_started_shards, run_shard
from rotated_atss.tiling.merge_task import MergeTask

_SERIAL_BYTES = 1 << 20  # up to this total size of the input files, one process is faster than several
_PART_BYTES = 4 << 20  # bytes per part of a Task1 file; one job merges one part


def merge_folder(
    tiles_dir: str | Path,
    out_dir: str | Path,
    iou_threshold: float = IOU_THRESHOLD,
    *,
    classes: str | Path | Sequence[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool | None = None,
) -> list[ClassMerge]:
    """Merge every ``Task1_<class>.txt`` of a folder by polygon NMS per class and image.

    If ``out_dir`` contains an unfinished merge in shards (:func:`merge_shard`), this function merges only the remaining
    parts.

    Args:
        tiles_dir: Input folder. Image ids are tile names such as ``P0001__1024__0___824`` or ``P0001__0.5__0___824``.
        out_dir: Output folder, created if missing. Files of an earlier merge are replaced; files of classes that are
            not merged now are an error.
        iou_threshold: Detections whose IoU with a higher-scoring kept detection exceeds this value are suppressed.
        classes: Class names or a DOTA version. One file is written for each of these classes, even if it has no
            detections; an input file of another class is an error. None merges all input files.
        workers: Number of processes; None uses one per core. The output does not depend on this number.
        scheduler: Address of a Dask scheduler. If given, the workers of the cluster merge instead of processes, and all
            paths must be absolute.
        progress: Show a progress bar; None shows it on a terminal.

    Returns:
        Counts per class, in the order of ``classes``, or of the file names if ``classes`` is None.

    Raises:
        UserError: An argument, folder or line is invalid. A message about a line starts with ``path:line``. The error
            leaves the files in ``out_dir`` unchanged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "tiles").mkdir()
        ...     _ = Path(folder, "tiles/Task1_ship.txt").write_text("P1__1024__824___0 0.9 1 2 11 2 11 8 1 8")
        ...     merge_folder(f"{folder}/tiles", f"{folder}/merged", workers=1, progress=False)
        [ClassMerge(name='ship', tiles=1, images=1, before=1, after=1)]
    """
    task = MergeTask.create(tiles_dir, out_dir, iou_threshold, classes)
    max_workers = _resolve_workers(workers)
    if has_started_shards(task.out_dir):
        return list(run_shard(task, None, max_workers, scheduler, progress).classes)
    complete_result(task.out_dir)  # an earlier run may have been killed while it renamed the merged files
    task.reject_files_of_other_classes()
    parts = task.cut(_PART_BYTES)
    total_bytes = sum(part.length for part in parts)
    workers = max_workers if total_bytes > _SERIAL_BYTES else 1
    with progress_bar(total=total_bytes, desc="merge", unit="B", show=progress) as bar:
        results = {}
        for part, result in merge_parts(parts, workers, scheduler):
            results[part] = result
            bar.update(part.length)
        merged = {part: results[part] for part in parts}  # parts finish in any order, and are written in this order
        # If the detections on an image are in several parts of a file, this file is merged again as a whole. task.write
        # uses the result of the whole file instead of the results of its parts.
        whole_files = task.files_with_divided_images(merged)
        bar.total += sum(file.length for file in whole_files)
        for file, result in merge_parts(whole_files, workers, scheduler):
            merged[file] = result
            bar.update(file.length)
    return task.write(merged)


def merge_shard(
    tiles_dir: str | Path,
    out_dir: str | Path,
    shard: Shard,
    iou_threshold: float = IOU_THRESHOLD,
    *,
    classes: str | Path | Sequence[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool | None = None,
) -> ShardMerge:
    """Merge one of several shards of a folder. The shard that finishes last writes the files.

    Folders, threshold and classes must be equal for all shards. Shards can run in any order and at the same time. The
    merged files equal those of :func:`merge_folder`. A call with the same arguments continues a shard that was stopped.

    Args:
        tiles_dir: Input folder.
        out_dir: Output folder that all shards share.
        shard: The shard.
        iou_threshold: As for :func:`merge_folder`.
        classes: As for :func:`merge_folder`.
        workers: As for :func:`merge_folder`.
        scheduler: As for :func:`merge_folder`.
        progress: As for :func:`merge_folder`.

    Returns:
        The result. It contains counts per class if this shard has written the files, otherwise the shards that are not
        finished.

    Raises:
        UserError: An argument, folder or line is invalid, or shards with other arguments have started in ``out_dir``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "tiles").mkdir()
        ...     for name in ("plane", "ship"):
        ...         _ = Path(folder, f"tiles/Task1_{name}.txt").write_text("P1__1024__824___0 0.9 1 2 11 2 11 8 1 8")
        ...     first = merge_shard(f"{folder}/tiles", f"{folder}/merged", Shard(2, 2), progress=False)
        ...     last = merge_shard(f"{folder}/tiles", f"{folder}/merged", Shard(1, 2), progress=False)
        >>> [str(shard) for shard in first.unfinished]
        ['1/2']
        >>> [counts.name for counts in last.classes]
        ['plane', 'ship']
    """
    task = MergeTask.create(tiles_dir, out_dir, iou_threshold, classes)
    return run_shard(task, shard, _resolve_workers(workers), scheduler, progress)


def _resolve_workers(workers: int | None) -> int:
    """Return the number of processes; None selects one per core."""
    workers = available_cores() if workers is None else workers
    if workers < 1:
        raise UserError(f"at least 1 worker is needed, got {workers}")
    return workers
