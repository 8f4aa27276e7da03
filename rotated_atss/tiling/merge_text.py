"""Merge folders of ``Task1_<class>.txt`` on tiles into the same files on full images.

Image ids of the input are tile names in the style of mmrotate or of DOTA_devkit. Suppression compares the
quadrilaterals as written. A large file is cut into parts of whole images, which
processes merge in parallel: 1.8 times as fast for one class with two processes (``benchmarks/bench_merge.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path

from rotated_atss.dota.classes import resolve_classes, unknown_class_hint
from rotated_atss.dota.detections import format_detections, list_task1_files, parse_detections, task1_path
from rotated_atss.errors import UserError
from rotated_atss.io.files import check_output_apart, read_bytes
from rotated_atss.io.processes import available_cores, run_jobs
from rotated_atss.io.progress import ProgressBar, progress_bar
from rotated_atss.io.run_state import complete_result, write_result
from rotated_atss.tiling.merge_polygons import IOU_THRESHOLD, merge_detections

_SERIAL_BYTES = 1 << 20  # up to this size one process is faster than several
_PART_BYTES = 4 << 20  # target size of a part, which bounds the memory of intermediate arrays
_MEMORY_FACTOR = 12  # bytes of memory per byte of text


@dataclass(frozen=True)
class ClassMerge:
    """Counts of one merged class.

    Attributes:
        name: The class.
        tiles: Tiles with detections.
        images: Full images with detections.
        before: Detections on tiles.
        after: Detections on full images.
    """

    name: str
    tiles: int
    images: int
    before: int
    after: int


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

    Args:
        tiles_dir: Input folder. Image ids are tile names such as ``P0001__1024__0___824`` or ``P0001__0.5__0___824``.
        out_dir: Output folder, created if missing. Files of an earlier merge are replaced.
        iou_threshold: Detections whose IoU with a higher-scoring kept detection exceeds this value are suppressed.
        classes: Class names or a DOTA version: a file is written per class, empty without detections, and other
            classes are rejected. None merges the files that exist.
        workers: Processes; None uses one per core. The output does not depend on it.
        scheduler: Address of a Dask scheduler whose workers merge instead; paths must be absolute then.
        progress: Show a progress bar; None shows it on a terminal.

    Returns:
        Counts per class, in the order of ``classes`` or else of the file names.

    Raises:
        UserError: An argument, folder or line (with ``path:line``) is invalid. ``out_dir`` is unchanged then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "tiles").mkdir()
        ...     _ = Path(folder, "tiles/Task1_ship.txt").write_text("P1__1024__824___0 0.9 1 2 11 2 11 8 1 8")
        ...     merge_folder(f"{folder}/tiles", f"{folder}/merged", workers=1, progress=False)
        [ClassMerge(name='ship', tiles=1, images=1, before=1, after=1)]
    """
    tiles_dir, out_dir = Path(tiles_dir), Path(out_dir)
    workers = available_cores() if workers is None else workers
    if not 0 <= iou_threshold <= 1:
        raise UserError(f"the IoU threshold must be in [0, 1], got {iou_threshold}")
    if workers < 1:
        raise UserError(f"at least 1 worker is needed, got {workers}")
    files = list_task1_files(tiles_dir)
    names = tuple(files) if classes is None else resolve_classes(classes)
    _reject_unknown_classes(files, names)
    check_output_apart(out_dir, [tiles_dir])
    complete_result(out_dir)
    _reject_leftovers(out_dir, names)
    present = {name: files[name] for name in names if name in files}
    merged = {name: (ClassMerge(name, 0, 0, 0, 0), b"") for name in names}
    merged |= _merge_files(present, iou_threshold, workers, scheduler, progress)
    write_result(out_dir, {task1_path(out_dir, name).name: content for name, (_, content) in merged.items()})
    return [counts for counts, _ in merged.values()]


@dataclass(frozen=True)
class _Part:
    """Consecutive lines of the file of one class."""

    name: str
    path: Path
    iou_threshold: float
    start: int  # bytes
    length: int  # bytes


@dataclass(frozen=True)
class _MergedPart:
    """The merged detections of a part."""

    images: tuple[str, ...]
    counts: tuple[int, int, int]  # tiles, detections on tiles, detections on full images
    content: bytes


def _merge_files(
    files: dict[str, Path], iou_threshold: float, workers: int, scheduler: str | None, progress: bool | None
) -> dict[str, tuple[ClassMerge, bytes]]:
    """Merge the file of each class; return the counts and the content of the new file by class."""
    whole_files = [_Part(name, path, iou_threshold, 0, path.stat().st_size) for name, path in files.items()]
    total = sum(part.length for part in whole_files)
    workers = workers if total > _SERIAL_BYTES else 1
    with progress_bar(total=total, desc="merge", unit="B", show=progress) as bar:
        parts = [part for whole_file in whole_files for part in _cut_into_parts(whole_file)]
        merged = _merge_parts(parts, workers, scheduler, bar)
        # Files whose lines are not grouped by image have images in several parts: these are merged as a whole.
        ungrouped = [part for part in whole_files if not _images_are_separate(merged[part.name])]
        bar.total += sum(part.length for part in ungrouped)
        merged |= _merge_parts(ungrouped, workers, scheduler, bar)
    return {name: _join(name, parts) for name, parts in merged.items()}


def _merge_parts(
    parts: Sequence[_Part], workers: int, scheduler: str | None, bar: ProgressBar
) -> dict[str, list[_MergedPart]]:
    """Merge the parts in worker processes; return them by class, in order."""
    results: dict[int, _MergedPart] = {}
    job_bytes = [part.length * _MEMORY_FACTOR for part in parts]
    for index, result in run_jobs(_merge_part, parts, workers, job_bytes, scheduler=scheduler):
        results[index] = result
        bar.update(parts[index].length)
    merged: dict[str, list[_MergedPart]] = {}
    for index, part in enumerate(parts):
        merged.setdefault(part.name, []).append(results[index])
    return merged


def _merge_part(part: _Part) -> _MergedPart:
    """Read, merge and format a part."""
    try:
        tiles = parse_detections(read_bytes(part.path, part.start, part.length), part.path)
        merged = merge_detections(tiles, part.iou_threshold, path=part.path)
    except UserError:
        parse_detections(read_bytes(part.path), part.path)  # raises with the line number within the whole file
        raise
    return _MergedPart(merged.images, (len(tiles.images), len(tiles), len(merged)), format_detections(merged))


def _cut_into_parts(whole_file: _Part) -> list[_Part]:
    """Cut a file into parts of about ``_PART_BYTES`` between lines of different images, independent of the workers."""
    starts = [0]
    if whole_file.length > _PART_BYTES:
        try:
            with open(whole_file.path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                while (start := _next_image(data, starts[-1] + _PART_BYTES)) < whole_file.length:
                    starts.append(start)
        except OSError:
            return [whole_file]  # reading it reports the error
    stops = [*starts[1:], whole_file.length]
    return [replace(whole_file, start=start, length=stop - start) for start, stop in zip(starts, stops, strict=True)]


def _next_image(data: mmap, position: int) -> int:
    """Return the start of the first line after ``position`` whose image differs from that of the line there."""
    start = data.rfind(b"\n", 0, position) + 1
    tile = data[start : data.find(b"\n", start)].partition(b" ")[0]
    image = tile.rsplit(b"__", 3)[0] + b"__"
    while (end := data.find(b"\n", start)) >= 0:
        start = end + 1
        if data[start : start + len(image)] != image:
            return start
    return len(data)


def _images_are_separate(parts: Sequence[_MergedPart]) -> bool:
    """Return whether no image occurs in two parts, so that merging by parts equals merging the whole file."""
    return len({image for part in parts for image in part.images}) == sum(len(part.images) for part in parts)


def _join(name: str, parts: Sequence[_MergedPart]) -> tuple[ClassMerge, bytes]:
    tiles, before, after = (sum(part.counts[column] for part in parts) for column in range(3))
    counts = ClassMerge(name, tiles, sum(len(part.images) for part in parts), before, after)
    return counts, b"".join(part.content for part in parts)


def _reject_unknown_classes(files: dict[str, Path], names: Sequence[str]) -> None:
    for name, path in files.items():
        if name not in names:
            raise UserError(f"unknown class '{name}'", where=path, hint=unknown_class_hint(name, names))


def _reject_leftovers(out_dir: Path, names: Sequence[str]) -> None:
    """Reject an output folder with files of other classes, which would look like part of the result."""
    if out_dir.is_dir() and any(out_dir.glob("Task1_*.txt")):
        leftovers = [path for name, path in list_task1_files(out_dir).items() if name not in names]
        if leftovers:
            hint = "remove it, or choose another output folder"
            raise UserError("the file of an earlier merge would not be replaced", where=leftovers[0], hint=hint)
