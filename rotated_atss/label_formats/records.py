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

if TYPE_CHECKING:
    from rotated_atss.io.georeference import Georeference
    from rotated_atss.label_formats.image_files import ImageFiles

CLASS_KEYS = ("class", "class_name", "label", "name", "category", "classification", "type")
"""Names of properties and columns that can hold the class. The first one that is present is read."""

# Other endings, such as v2 in P0001.v2, are part of the image id.
_IMAGE_SUFFIXES = frozenset(["png", "jpg", "jpeg", "bmp", "tif", "tiff", "gif", "webp", "jp2", "img"])


@dataclass(frozen=True)
class ImageLabels:
    """Objects of one image, labels or detections.

    Attributes:
        name: File name of the image, or the image id if the format states no file name.
        source: File that the objects were read from.
        polygons: (N, 8) float64, corners in pixels, in the order of the file.
        classes: N class names.
        difficult: (N,) int64, 0, 1, or 2 (truncated by splitting).
        scores: (N,) float64 for detections; None for labels.
        size: Width and height of the image in pixels, or None if not stated.
        lines: (N,) int64, line of each object in ``source``; 0 for formats without lines.
        header: Header lines of DOTA text.
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
        notes: What was dropped or changed in reading, one line each.
    """

    format_name: str
    images: tuple[ImageLabels, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class ReadOptions:
    """Settings of a reader, and its results in addition to the records.

    Attributes:
        classes: Class names in index order, for formats that store class indices.
        size_of: Function that returns width and height in pixels for an image id, or None if they are not known.
        fit_polygons: Replace polygons that do not have exactly four corners with their minimum-area rectangles instead
            of raising.
        images: Image files, for labels in map coordinates.
        class_column: Column with the class, for labels in map coordinates; None reads the first of :data:`CLASS_KEYS`
            that is present.
        class_name: Class of all objects, for labels in map coordinates; None reads the column.
        notes: Filled by the reader: what was dropped or changed and how often, in the form of :func:`format_notes`.
        class_order: Filled by the reader if the format has class indices: class names in index order, as keys.
    """

    classes: tuple[str, ...] | None = None
    size_of: Callable[[str], tuple[int, int] | None] = lambda image_id: None
    fit_polygons: bool = False
    images: ImageFiles | None = None
    class_column: str | None = None
    class_name: str | None = None
    notes: Counter[tuple[str, str]] = field(default_factory=Counter)
    class_order: dict[str, None] = field(default_factory=dict)


class ObjectList:
    """Builder of the record of an image, to which objects are added one by one.

    Example:
        >>> objects = ObjectList()
        >>> objects.add([1, 2, 11, 2, 11, 8, 1, 8], "ship", where="P1.json")
        >>> objects.build("P1.png", Path("P1.json"), (20, 10)).polygons.shape
        (1, 8)
    """

    def __init__(self) -> None:
        # polygon, class name, difficult flag, score, line
        self._rows: list[tuple[Sequence[float], str, int, float | None, int]] = []

    def add(
        self,
        polygon: Sequence[float],
        name: object,
        *,
        where: object,
        difficult: int = 0,
        score: float | None = None,
        line: int = 0,
    ) -> None:
        """Add an object.

        Args:
            polygon: Eight numbers, pixels.
            name: Class name.
            where: File, or ``path:line``, for errors.
            difficult: 0, 1, or 2 (truncated by splitting).
            score: Confidence of a detection; None for a label.
            line: Line of the object in the file.

        Raises:
            UserError: The name is empty or not a text, the difficult flag is not 0, 1 or 2, the score is not finite, or
                only some objects have a score.
        """
        if not isinstance(name, str) or not name.strip() or not name.strip().isprintable():
            raise UserError(f"the class name must be a text, got {quote(name)}", where=where)
        if difficult not in (0, 1, 2):
            raise UserError(f"the difficult flag must be 0, 1 or 2, got {quote(difficult)}", where=where)
        if score is not None and not math.isfinite(score):
            raise UserError(f"the score must be a finite number, got {score}", where=where)
        if self._rows and (self._rows[0][3] is None) != (score is None):
            hint = "give a score to all objects (detections) or to none (labels)"
            raise UserError("some objects of the image have a score and others have none", where=where, hint=hint)
        self._rows.append((polygon, name.strip(), difficult, score, line))

    def build(
        self, name: str, source: Path, size: tuple[int, int] | None = None, header: Iterable[str] = ()
    ) -> ImageLabels:
        """Return the record of the image with all added objects.

        Args:
            name: File name of the image, or its id.
            source: File that the objects were read from.
            size: Width and height in pixels, or None.
            header: Header lines of DOTA text.

        Raises:
            UserError: The name is empty or has control characters.
        """
        if not image_id_of(name).strip(" .") or not name.isprintable():
            raise UserError(f"the name of an image must be printable, got {quote(name)}", where=source)
        polygons, classes, difficult, scores, lines = zip(*self._rows) if self._rows else ((), (), (), (), ())
        has_scores = bool(scores) and scores[0] is not None
        return ImageLabels(
            name=name,
            source=source,
            polygons=np.array(polygons, dtype=np.float64).reshape(-1, 8),
            classes=tuple(classes),
            difficult=np.array(difficult, dtype=np.int64),
            scores=np.array(scores, dtype=np.float64) if has_scores else None,
            size=size,
            lines=np.array(lines, dtype=np.int64),
            header=tuple(header),
        )


def format_notes(notes: Mapping[tuple[str, str], int]) -> tuple[str, ...]:
    """Format notes on what was dropped or changed, one line each.

    Args:
        notes: Number of occurrences by (noun in the singular, text after the noun).

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
    stem, dot, suffix = base.rpartition(".")
    return stem if dot and stem and suffix.lower() in _IMAGE_SUFFIXES else base
