"""Common representation of labels and detections: every format is read into these records and written from them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from rotated_atss.errors import UserError, count_of, quote
from rotated_atss.geo.polygon_layer import Note

if TYPE_CHECKING:
    from rotated_atss.io.georeference import Georeference
    from rotated_atss.label_formats.image_files import ImageFiles

CLASS_KEYS = ("class", "class_name", "label", "name", "category", "classification", "type")
"""Properties and columns that can contain the class name. The first one that is present is read."""

# The image id is the file name without one of these suffixes. Other text after a dot is part of the id: the id of
# P0001.v2.png is P0001.v2.
_IMAGE_SUFFIXES = frozenset(["png", "jpg", "jpeg", "bmp", "tif", "tiff", "gif", "webp", "jp2", "img"])


@dataclass(frozen=True)
class ImageLabels:
    """Labels or detections of one image.

    Attributes:
        name: File name of the image, or the image id if the format does not store file names.
        source: File that the objects were read from; for Task1 files, their folder.
        polygons: (N, 8) float64, corners in pixels, in the order of the file.
        classes: Class name of each of the N objects.
        difficult: (N,) int64, 0, 1, or 2 (truncated by splitting).
        scores: (N,) float64 for detections; None for labels.
        size: Width and height of the image in pixels, or None if unknown.
        lines: (N,) int64, line number of each object in ``source``, counted from 1; 0 for formats without line numbers.
            Empty if the record was made without line numbers.
        header: Header lines of a DOTA label file, such as ``gsd:0.5``.
        georeference: Georeference of the image, for formats in map coordinates; None if it is unknown or not needed.
    """

    name: str
    source: Path
    polygons: np.ndarray
    classes: tuple[str, ...]
    difficult: np.ndarray
    scores: np.ndarray | None = None
    size: tuple[int, int] | None = None
    lines: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    header: tuple[str, ...] = ()
    georeference: Georeference | None = None

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def image_id(self) -> str:
        """The name without folder and suffix."""
        return image_id_of(self.name)


@dataclass(frozen=True)
class LabelSet:
    """The images of a label folder or file.

    Attributes:
        format_name: Name of the format.
        images: Images, in the order of the files.
        classes: Class names in the order of the source's class indices; empty for formats without class indices.
        notes: What was dropped or changed while reading, one line each.
    """

    format_name: str
    images: tuple[ImageLabels, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class ReadOptions:
    """Settings of a reader. The reader also fills two of the fields, ``notes`` and ``class_order``.

    Attributes:
        classes: Class names in index order, for formats that store class indices without names. DOTA's reader uses them
            to recognize names with spaces.
        size_of: Function that returns width and height in pixels for an image id, or None if they are not known.
        fit_polygons: Replace polygons that do not have exactly four corners with their minimum-area rectangles instead
            of raising.
        images: Image files, for labels in map coordinates.
        class_column: For vector files in map coordinates: the attribute column with the class; None reads the first of
            :data:`CLASS_KEYS` that is present.
        class_name: For vector files in map coordinates: the class of all objects; None reads the column.
        notes: Filled by the reader: what was dropped or changed, and how often. It is the argument of
            :func:`format_notes`.
        class_order: Filled by the reader if the format has class indices: a dict used as an ordered set, with the class
            names in index order as keys.
    """

    classes: tuple[str, ...] | None = None
    size_of: Callable[[str], tuple[int, int] | None] = lambda image_id: None
    fit_polygons: bool = False
    images: ImageFiles | None = None
    class_column: str | None = None
    class_name: str | None = None
    notes: Counter[Note] = field(default_factory=Counter)
    class_order: dict[str, None] = field(default_factory=dict)


class ObjectList:
    """Builder that collects the objects of one image and returns them as a record.

    Example:
        >>> objects = ObjectList()
        >>> objects.add([1, 2, 11, 2, 11, 8, 1, 8], "ship", where="P1.json")
        >>> objects.build("P1.png", Path("P1.json"), size=(20, 10)).polygons.shape
        (1, 8)
    """

    def __init__(self) -> None:
        self._polygons: list[Sequence[float]] = []
        self._classes: list[str] = []
        self._difficult: list[int] = []
        self._scores: list[float | None] = []
        self._lines: list[int] = []

    def add(
        self,
        polygon: Sequence[float],
        class_name: object,
        *,
        where: object,
        difficult: int = 0,
        score: float | None = None,
        line: int = 0,
    ) -> None:
        """Add an object.

        Args:
            polygon: ``x1, y1, ..., x4, y4`` in pixels.
            class_name: Class name as read from the file. It is validated here.
            where: File, or ``path:line``, for errors.
            difficult: 0, 1, or 2 (truncated by splitting).
            score: Confidence of a detection; None for a label.
            line: Line number of the object in the file; 0 for formats without line numbers.

        Raises:
            UserError: The class name is not a string, is empty or has control characters, the difficult flag is not 0,
                1 or 2, the score is not finite, or only some objects have a score.
        """
        name = class_name.strip() if isinstance(class_name, str) else ""
        if not name or not name.isprintable():
            raise UserError(f"the class name must be a printable string, got {quote(class_name)}", where=where)
        if difficult not in (0, 1, 2):
            raise UserError(f"the difficult flag must be 0, 1 or 2, got {quote(difficult)}", where=where)
        if score is not None and not math.isfinite(score):
            raise UserError(f"the score must be a finite number, got {score}", where=where)
        if self._scores and (self._scores[0] is None) != (score is None):
            hint = "give a score to all objects (detections) or to none (labels)"
            raise UserError("some objects of the image have a score and others have none", where=where, hint=hint)
        self._polygons.append(polygon)
        self._classes.append(name)
        self._difficult.append(difficult)
        self._scores.append(score)
        self._lines.append(line)

    def build(
        self, name: str, source: Path, size: tuple[int, int] | None = None, header: Iterable[str] = ()
    ) -> ImageLabels:
        """Return the record of the image with all added objects.

        Args:
            name: File name of the image, or its id.
            source: File that the objects were read from.
            size: Width and height in pixels, or None.
            header: Header lines of a DOTA label file.

        Raises:
            UserError: The image id is empty or consists of dots and spaces, or the name has control characters.
        """
        # Writers name files after the image id, so it must not be empty or a path such as "..".
        if not image_id_of(name).strip(" .") or not name.isprintable():
            raise UserError(f"the name of an image must be a printable file name, got {quote(name)}", where=source)
        has_scores = bool(self._scores) and self._scores[0] is not None
        return ImageLabels(
            name=name,
            source=source,
            polygons=np.array(self._polygons, dtype=np.float64).reshape(-1, 8),
            classes=tuple(self._classes),
            difficult=np.array(self._difficult, dtype=np.int64),
            scores=np.array(self._scores, dtype=np.float64) if has_scores else None,
            size=size,
            lines=np.array(self._lines, dtype=np.int64),
            header=tuple(header),
        )


def format_notes(notes: Mapping[Note, int]) -> tuple[str, ...]:
    """Format notes on what was dropped or changed, one line each.

    Args:
        notes: Number of occurrences per pair (singular noun, text after the noun).

    Example:
        >>> format_notes({("shape", " of type point: left out"): 1, ("score", ": left out"): 2})
        ('1 shape of type point: left out', '2 scores: left out')
    """
    return tuple(count_of(count, noun) + text for (noun, text), count in notes.items())


def image_id_of(name: str) -> str:
    r"""Return the name of an image without folder and suffix.

    Example:
        >>> image_id_of("train/P0001.png"), image_id_of("C:\\data\\P0001.v2.tif"), image_id_of("P0001")
        ('P0001', 'P0001.v2', 'P0001')
    """
    base = PurePosixPath(name.replace("\\", "/")).name
    stem, _, suffix = base.rpartition(".")  # the stem is empty if there is no dot
    if stem and suffix.lower() in _IMAGE_SUFFIXES:
        return stem
    return base
