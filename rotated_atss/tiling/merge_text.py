"""Merge the detections of tiles into detections of full images: shift, scale back, suppress what several tiles saw.

Reads a folder of ``Task1_<class>.txt`` whose image ids are tile names, of mmrotate's or of DOTA_devkit's kind, and
writes the same files for full images. Suppression compares the quadrilaterals as they are written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rotated_atss.dota.classes import resolve_classes, unknown_class_hint
from rotated_atss.dota.detections import (
    EMPTY_DETECTIONS,
    Detections,
    format_detections,
    list_task1_files,
    parse_detections,
    task1_path,
)
from rotated_atss.dota.tiles import TileName, parse_tile_name
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, check_output_apart, read_bytes
from rotated_atss.io.processes import available_cores, run_jobs
from rotated_atss.io.progress import progress_bar
from rotated_atss.ops.polygon_nms import group_order, polygon_nms

__all__ = ["ClassMerge", "merge_detections", "merge_folder", "parse_tile_name", "to_full_images"]

IOU_THRESHOLD = 0.1
_SMALL = 1 << 20  # bytes of text that one process reads sooner than a second one starts
_PART = 4 << 20  # bytes of a file that are merged at once: what is worked out on the way stays small
_BYTES_PER_BYTE = 12  # memory that merging takes, per byte of the file


@dataclass(frozen=True)
class ClassMerge:
    """What became of one class."""

    name: str
    tiles: int  # distinct tiles with detections
    images: int
    before: int  # detections on tiles
    after: int  # on full images


def merge_folder(
    tiles_dir: str | Path,
    out_dir: str | Path,
    iou_threshold: float = IOU_THRESHOLD,
    *,
    classes: str | Path | Sequence[str] | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> list[ClassMerge]:
    """Merge every ``Task1_<class>.txt`` of ``tiles_dir`` into ``out_dir``; nothing is written unless all of them are
    right.

    Args:
        tiles_dir: Image ids are tile names such as ``P0001__1024__0___824`` or ``P0001__0.5__0___824``.
        out_dir: Made where it is missing. Files of an earlier merge are replaced.
        iou_threshold: A detection goes when its IoU with a better one of its class is above this.
        classes: A file is written for each of them, an empty one where nothing was found, and other classes are
            refused. None merges the files that are there.
        workers: Processes; None takes one a core. The result does not depend on it.
        progress: Show a progress bar; None shows it on a terminal.

    Returns:
        One entry a class, in the order of ``classes`` or else of the file names.

    Raises:
        UserError: Anything wrong with the folders or a file, with ``path:line``. ``out_dir`` then is as it was.
    """
    tiles_dir, out_dir = Path(tiles_dir), Path(out_dir)
    workers = available_cores() if workers is None else workers
    if not 0 <= iou_threshold <= 1:
        raise UserError(f"the IoU threshold lies between 0 and 1, not at {iou_threshold}")
    if workers < 1:
        raise UserError(f"at least 1 worker is needed, not {workers}")
    files = list_task1_files(tiles_dir)
    names = tuple(files) if classes is None else resolve_classes(classes)
    _check_classes(files, names)
    check_output_apart(out_dir, [tiles_dir])
    _check_leftovers(out_dir, names)
    present = {name: files[name] for name in names if name in files}
    merged = {name: (ClassMerge(name, 0, 0, 0, 0), b"") for name in names}
    merged |= _merge_all(present, iou_threshold, workers, progress)
    for name, (_, content) in merged.items():
        atomic_write(task1_path(out_dir, name), content)
    return [told for told, _ in merged.values()]


def merge_detections(
    tiles: Detections, iou_threshold: float = IOU_THRESHOLD, *, path: str | Path | None = None
) -> Detections:
    """Detections of one class on tiles as detections on full images.

    Args:
        tiles: Their image ids are tile names.
        iou_threshold: As in ``merge_folder``.
        path: The file they came from, for errors.

    Returns:
        Image by image in the order of the input, falling scores within an image, equal scores in the order of the
        input.

    Raises:
        UserError: An image id that is no tile's name.
    """
    found = to_full_images(tiles, path=path)
    keep = polygon_nms(found.polygons, found.scores, iou_threshold, groups=found.image_index)
    return found.take(keep[group_order(found.image_index[keep])])


def to_full_images(tiles: Detections, *, path: str | Path | None = None) -> Detections:
    """The same detections in pixels of the full images, ``(point + corner of the tile) / rate``, nothing suppressed."""
    if not len(tiles):
        return EMPTY_DETECTIONS
    names = [_parse(tile, path) for tile in tiles.images]
    numbers: dict[str, int] = {}
    image_of_tile = np.array([numbers.setdefault(name.image_id, len(numbers)) for name in names])
    corners = np.array([(name.x, name.y) for name in names], dtype=np.float64)
    rates = np.array([name.rate for name in names])[tiles.image_index, None]
    polygons = (tiles.polygons + np.tile(corners, 4)[tiles.image_index]) / rates
    images = image_of_tile[tiles.image_index]
    return Detections(tuple(numbers), images, tiles.scores, _without_noise(polygons), tiles.score_texts)


# -- inside ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """Some lines of a file: everything of their images, as far as the lines around them tell."""

    name: str  # of the class
    path: Path
    iou_threshold: float
    start: int
    length: int


@dataclass(frozen=True)
class _Merged:
    """What became of a part."""

    images: tuple[str, ...]
    counts: tuple[int, int, int]  # tiles, detections on them, detections on full images
    content: bytes


def _merge_all(
    files: dict[str, Path], iou_threshold: float, workers: int, progress: bool | None
) -> dict[str, tuple[ClassMerge, bytes]]:
    """What each class became and the content of its new file, by class name."""
    whole = [_Part(name, path, iou_threshold, 0, path.stat().st_size) for name, path in files.items()]
    size = sum(part.length for part in whole)
    workers = workers if size > _SMALL else 1
    with progress_bar(total=size, desc="merge", unit="B", show=progress) as bar:
        found = _merge_parts([part for each in whole for part in _cut(each)], workers, bar)
        mixed = [part for part in whole if not _apart(found[part.name])]
        bar.total += sum(part.length for part in mixed)
        found |= _merge_parts(mixed, workers, bar)
    return {name: _join(name, results) for name, results in found.items()}


def _merge_parts(parts: Sequence[_Part], workers: int, bar: tqdm) -> dict[str, list[_Merged]]:
    """The results of every class, in the order of its parts."""
    results: dict[int, _Merged] = {}
    for index, result in run_jobs(_merge_part, parts, workers, [part.length * _BYTES_PER_BYTE for part in parts]):
        results[index] = result
        bar.update(parts[index].length)
    found: dict[str, list[_Merged]] = {}
    for index, part in enumerate(parts):
        found.setdefault(part.name, []).append(results[index])
    return found


def _merge_part(part: _Part) -> _Merged:
    """In a worker process: read, merge, format."""
    try:
        tiles = parse_detections(read_bytes(part.path, part.start, part.length), part.path)
        found = merge_detections(tiles, part.iou_threshold, path=part.path)
    except UserError:
        parse_detections(read_bytes(part.path), part.path)  # counts its lines from the top of the file
        raise
    return _Merged(found.images, (len(tiles.images), len(tiles), len(found)), format_detections(found))


def _cut(whole: _Part) -> list[_Part]:
    """A file in parts of a few megabytes that end where an image seems to end, at the same bytes whatever the
    workers.
    """
    starts = [0]
    if whole.length > _PART:
        try:
            with open(whole.path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                while (start := _next_image(data, starts[-1] + _PART)) < whole.length:
                    starts.append(start)
        except OSError:
            return [whole]  # reading it tells
    stops = [*starts[1:], whole.length]
    return [replace(whole, start=start, length=stop - start) for start, stop in zip(starts, stops, strict=True)]


def _next_image(data: mmap, position: int) -> int:
    """Where, after ``position``, a line begins whose image is not that of the line there."""
    start = data.rfind(b"\n", 0, position) + 1
    token = data[start : data.find(b"\n", start)].partition(b" ")[0]
    image = token.rsplit(b"__", 3)[0] + b"__"
    while (end := data.find(b"\n", start)) >= 0:
        start = end + 1
        if data[start : start + len(image)] != image:
            return start
    return len(data)


def _apart(results: Sequence[_Merged]) -> bool:
    """Whether every image lies in one part alone: then merging part by part is merging the whole."""
    return len({image for each in results for image in each.images}) == sum(len(each.images) for each in results)


def _join(name: str, results: Sequence[_Merged]) -> tuple[ClassMerge, bytes]:
    tiles, before, after = (sum(each.counts[column] for each in results) for column in range(3))
    told = ClassMerge(name, tiles, sum(len(each.images) for each in results), before, after)
    return told, b"".join(each.content for each in results)


def _without_noise(polygons: np.ndarray) -> np.ndarray:
    """Millionths of a pixel where a coordinate is one but for rounding: 664.9 + 810 is written 1474.9, not
    ...899999.
    """
    rounded = np.rint(polygons * 1e6) / 1e6
    return np.where(np.abs(rounded - polygons) < 1e-9, rounded, polygons)


@lru_cache(maxsize=1 << 16)  # every class names the same tiles
def _parse_cached(tile: str) -> TileName:
    return parse_tile_name(tile)


def _parse(tile: str, path: str | Path | None) -> TileName:
    try:
        return _parse_cached(tile)
    except UserError as error:
        where = path if path is None else f"{path}:{_line_of(path, tile)}"
        raise UserError(error.what, where=where, hint=error.hint) from None


def _line_of(path: str | Path, tile: str) -> int:
    lines = read_bytes(path).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return 1 + next(number for number, line in enumerate(lines) if line.split()[:1] == [tile.encode()])


def _check_classes(files: dict[str, Path], names: Sequence[str]) -> None:
    for name, path in files.items():
        if name not in names:
            raise UserError(f"unknown class '{name}'", where=path, hint=unknown_class_hint(name, names))


def _check_leftovers(out_dir: Path, names: Sequence[str]) -> None:
    """Files of other classes would pass for part of this result."""
    if out_dir.is_dir() and any(out_dir.glob("Task1_*.txt")):
        strangers = [path for name, path in list_task1_files(out_dir).items() if name not in names]
        if strangers:
            hint = "remove it, or choose another output folder"
            raise UserError("a file of an earlier merge that this one would not replace", where=strangers[0], hint=hint)
