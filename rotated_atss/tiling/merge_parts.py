"""Merge Task1 files in parts, so that several processes share a large file and the memory stays bounded.

A part is a range of consecutive lines of a file; files are cut only between lines of different images. If the lines of
a file are grouped by image, each part contains all detections on its images, and joining the merged parts gives the
same result as merging the whole file. Otherwise the file has to be merged as a whole (:func:`images_are_separate`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from rotated_atss.dota.detections import format_detections, parse_detections
from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes
from rotated_atss.io.processes import run_jobs
from rotated_atss.tiling.merge_polygons import merge_detections

_MEMORY_FACTOR = 12  # merging needs about this many bytes of memory per byte of text


@dataclass(frozen=True)
class ClassMerge:
    """Counts of one merged class.

    Attributes:
        name: The class.
        tiles: Number of tiles with detections.
        images: Number of full images with detections.
        before: Number of detections on tiles, before merging.
        after: Number of detections on full images, after merging.
    """

    name: str
    tiles: int
    images: int
    before: int
    after: int


@dataclass(frozen=True)
class TextPart:
    """Consecutive lines of the Task1 file of one class.

    Attributes:
        name: The class.
        path: The file.
        iou_threshold: Detections whose IoU with a higher-scoring kept detection exceeds this value are suppressed.
        start: Byte of the file at which the part starts.
        length: Bytes of the part.
    """

    name: str
    path: Path
    iou_threshold: float
    start: int
    length: int

    @classmethod
    def of_file(cls, name: str, path: Path, iou_threshold: float) -> TextPart:
        """Return the part that is the whole file."""
        return cls(name, path, iou_threshold, 0, path.stat().st_size)

    def key(self) -> str:
        """Return the key under which the merged part is stored: a digest of the part and the threshold.

        The digest contains the size and the modification time of the file instead of the content, which is not read.
        """
        status = self.path.stat()
        values = [status.st_size, status.st_mtime_ns, self.name, self.iou_threshold, self.start, self.length]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


@dataclass(frozen=True)
class MergedPart:
    """Detections on full images, merged from the lines of a part.

    Attributes:
        images: Ids of the full images.
        counts: Number of tiles, number of detections on tiles, number of detections on full images.
        content: The detections on full images, as lines of a Task1 file.
    """

    images: tuple[str, ...]
    counts: tuple[int, int, int]
    content: bytes

    def to_json(self) -> dict[str, Any]:
        """Convert to a JSON object."""
        return {"images": self.images, "counts": self.counts, "content": self.content.decode()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> MergedPart:
        """Convert from the JSON object of :meth:`to_json`."""
        tiles, before, after = values["counts"]
        return cls(tuple(values["images"]), (tiles, before, after), values["content"].encode())


def cut_into_parts(file: TextPart, part_bytes: int) -> list[TextPart]:
    r"""Cut a file into parts between lines of different images.

    Args:
        file: The whole file.
        part_bytes: Minimum size of every part but the last. Merging a part needs about 12 times its size in memory.

    Returns:
        The parts, in the order of the file.

    Example:
        >>> import tempfile
        >>> line = "P1__1__0___0 0.9 1 2 11 2 11 8 1 8\n"  # 35 bytes
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "Task1_ship.txt")
        ...     _ = path.write_text(line + line + line.replace("P1", "P2"))
        ...     [part.start for part in cut_into_parts(TextPart.of_file("ship", path, 0.1), part_bytes=9)]
        [0, 70]
    """
    starts = [0]
    if file.length > part_bytes:
        try:
            with open(file.path, "rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as data:
                while (start := _find_next_image(data, starts[-1] + part_bytes)) < file.length:
                    starts.append(start)
        except OSError:
            return [file]  # the error is reported when the part is read
    stops = [*starts[1:], file.length]
    return [replace(file, start=start, length=stop - start) for start, stop in zip(starts, stops, strict=True)]


def _find_next_image(data: mmap, position: int) -> int:
    """Return the start of the next line of another image than the line at ``position``.

    The position can be inside a line. If all following lines are of the same image, the file size is returned.
    """
    start = data.rfind(b"\n", 0, position) + 1
    tile = data[start : data.find(b"\n", start)].partition(b" ")[0]
    image_prefix = tile.rsplit(b"__", 3)[0] + b"__"  # tile names are image__rate__x___y
    while (end := data.find(b"\n", start)) >= 0:
        start = end + 1
        if data[start : start + len(image_prefix)] != image_prefix:
            return start
    return len(data)


def merge_parts(
    parts: Sequence[TextPart], workers: int, scheduler: str | None = None
) -> Iterator[tuple[TextPart, MergedPart]]:
    """Merge parts in worker processes, or on a Dask cluster, and yield them as they finish.

    Raises:
        UserError: A line is malformed, or does not begin with a tile name. The message starts with ``path:line``.
    """
    job_bytes = [part.length * _MEMORY_FACTOR for part in parts]
    for index, merged_part in run_jobs(_merge_part, parts, workers, job_bytes, scheduler=scheduler):
        yield parts[index], merged_part


def _merge_part(part: TextPart) -> MergedPart:
    """Read, merge and format a part."""
    try:
        tiles = parse_detections(read_bytes(part.path, part.start, part.length), part.path)
        merged = merge_detections(tiles, part.iou_threshold, path=part.path)
    except UserError:
        # parse_detections counts lines from the start of the part. Parsing the whole file raises the same error with
        # the line number in the file. If no line is malformed, the error is from merge_detections, which has found the
        # line in the file already.
        parse_detections(read_bytes(part.path), part.path)
        raise
    counts = (len(tiles.images), len(tiles), len(merged))  # `tiles.images` are names of tiles
    return MergedPart(merged.images, counts, format_detections(merged))


def images_are_separate(parts: Sequence[MergedPart]) -> bool:
    """Return whether every image occurs in only one part.

    If so, joining the merged parts gives the same result as merging the whole file.

    Example:
        >>> images_are_separate([MergedPart(("P1",), (1, 2, 1), b""), MergedPart(("P2", "P1"), (2, 2, 2), b"")])
        False
    """
    num_distinct_images = len({image for part in parts for image in part.images})
    return num_distinct_images == sum(len(part.images) for part in parts)


def join_parts(name: str, parts: Sequence[MergedPart]) -> tuple[ClassMerge, bytes]:
    r"""Join the merged parts of a class, which must not share images (:func:`images_are_separate`).

    Args:
        name: The class.
        parts: The parts, in the order of the file.

    Returns:
        Counts of the class, and the content of its merged Task1 file.

    Example:
        >>> parts = [MergedPart(("P1",), (1, 2, 1), b"P1 ...\n"), MergedPart(("P2",), (1, 1, 1), b"P2 ...\n")]
        >>> join_parts("ship", parts)
        (ClassMerge(name='ship', tiles=2, images=2, before=3, after=2), b'P1 ...\nP2 ...\n')
    """
    tiles, before, after = (sum(part.counts[column] for part in parts) for column in range(3))
    counts = ClassMerge(name, tiles, sum(len(part.images) for part in parts), before, after)
    return counts, b"".join(part.content for part in parts)
