"""Read and write DOTA Task1 detection files.

A Task1 file contains one detection per line, ``image_id score x1 y1 x2 y2 x3 y3 x4 y4`` in pixels of the image. The
class is part of the file name, ``Task1_<class>.txt``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from rotated_atss.dota._detection_columns import parse_detection_columns
from rotated_atss.dota._fields import parse_finite, split_fields
from rotated_atss.dota._tokens import format_decimals, join_columns
from rotated_atss.dota.classes import unknown_class_error
from rotated_atss.dota.folders import check_image_name, list_label_files
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, read_bytes
from rotated_atss.io.run_state import JOURNAL, write_result
from rotated_atss.io.threads import map_in_threads

TASK1_PREFIX = "Task1_"


@dataclass(frozen=True)
class Detections:
    """Detections of one class over many images, in file order.

    Attributes:
        images: The distinct image ids, in order of first appearance.
        image_index: (N,) int64, index into ``images`` per detection.
        scores: (N,) float64.
        polygons: (N, 8) float64, corners in pixels.
        score_texts: (N,) bytes, the scores as written in the file; None if the detections were not read from a file.

    Example:
        >>> import numpy as np
        >>> detections = Detections.from_ids(["P1", "P2", "P1"], np.array([0.9, 0.8, 0.7]), np.zeros((3, 8)))
        >>> detections.images, detections.image_index.tolist()
        (('P1', 'P2'), [0, 1, 0])
    """

    images: tuple[str, ...]
    image_index: np.ndarray
    scores: np.ndarray
    polygons: np.ndarray
    score_texts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def image_ids(self) -> np.ndarray:
        """Image id of each detection, (N,) str."""
        return np.array(self.images, dtype=np.str_)[self.image_index] if len(self) else np.empty(0, dtype=np.str_)

    @classmethod
    def from_ids(cls, image_ids: Iterable[str], scores: np.ndarray, polygons: np.ndarray) -> "Detections":
        """Build detections from N image ids, (N,) scores and (N, 8) or (N, 4, 2) polygons."""
        index_of_image_id: dict[str, int] = {}  # in order of first appearance
        image_index = np.array(
            [index_of_image_id.setdefault(str(image_id), len(index_of_image_id)) for image_id in image_ids],
            dtype=np.int64,
        )
        polygons = np.asarray(polygons, dtype=np.float64).reshape(len(image_index), 8)
        scores = np.asarray(scores, dtype=np.float64).reshape(len(image_index))
        return cls(tuple(index_of_image_id), image_index, scores, polygons)

    def take(self, rows: np.ndarray) -> "Detections":
        """Select detections by indices or by a boolean mask.

        ``images`` stays the same, so it can contain ids of images without selected detections.
        """
        score_texts = None if self.score_texts is None else self.score_texts[rows]
        return Detections(self.images, self.image_index[rows], self.scores[rows], self.polygons[rows], score_texts)


EMPTY_DETECTIONS = Detections.from_ids([], np.empty(0), np.empty((0, 8)))


def read_detections(path: str | Path) -> Detections:
    """Read one Task1 file.

    Raises:
        UserError: The file is missing, a line does not have ten fields, or a number is invalid. The message about a
            line starts with ``path:line``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "Task1_ship.txt").write_text("P0001 0.9 1 2 11 2 11 8 1 8")
        ...     read_detections(Path(folder, "Task1_ship.txt")).images
        ('P0001',)
    """
    return parse_detections(read_bytes(path), path)


def parse_detections(data: bytes, where: object) -> Detections:
    """Parse the content of a Task1 file.

    Args:
        data: UTF-8 text, with or without a byte-order mark.
        where: File name for error messages.

    Raises:
        UserError: As :func:`read_detections`.

    Example:
        >>> detections = parse_detections(b"P0001 0.9 1 2 11 2 11 8 1 8", "Task1_ship.txt")
        >>> detections.images, detections.scores.tolist(), detections.polygons.shape
        (('P0001',), [0.9], (1, 8))
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data:
        return EMPTY_DETECTIONS
    try:
        return Detections(*parse_detection_columns(data))
    except ValueError:
        _raise_first_error(data, where)


def write_detections(path: str | Path, detections: Detections) -> None:
    """Write one Task1 file atomically, in the form of :func:`format_detections`.

    Raises:
        UserError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_detections(task1_path(folder, "ship"), EMPTY_DETECTIONS)
        ...     list_task1_files(folder)["ship"].name
        'Task1_ship.txt'
    """
    atomic_write(path, format_detections(detections))


def write_task1_folder(folder: str | Path, detections: Mapping[str, Detections]) -> None:
    """Write one Task1 file per class. Files of an earlier result are replaced only after all new files are written.

    Args:
        folder: Output folder, created if missing.
        detections: Detections by class name.

    Raises:
        UserError: A file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_task1_folder(folder, {"ship": EMPTY_DETECTIONS, "plane": EMPTY_DETECTIONS})
        ...     sorted(list_task1_files(folder))
        ['plane', 'ship']
    """
    contents = {
        task1_path(folder, name).name: format_detections(class_detections)
        for name, class_detections in detections.items()
    }
    write_result(Path(folder), contents)


def format_detections(detections: Detections) -> bytes:
    r"""Format detections as the content of a Task1 file.

    Scores that were read from a file are written as they were. Other scores are written at full precision, so that they
    do not change when the file is read.

    Raises:
        UserError: An image id cannot be a field of the file (:func:`rotated_atss.dota.folders.check_image_name`).

    Example:
        >>> import numpy as np
        >>> format_detections(Detections.from_ids(["P1"], np.array([0.5]), np.array([1, 2, 11, 2, 11, 8, 1, 8])))
        b'P1 0.5 1.0 2.0 11.0 2.0 11.0 8.0 1.0 8.0\n'
    """
    if not len(detections):
        return b""
    for image_id in detections.images:
        check_image_name(image_id)
    image_ids = np.array([image_id.encode() for image_id in detections.images], dtype=np.bytes_)
    scores = detections.score_texts
    if scores is None:
        scores = np.array([repr(score).encode() for score in detections.scores.tolist()], dtype=np.bytes_)
    coordinates = format_decimals(detections.polygons)  # (N, 8)
    return join_columns([image_ids[detections.image_index], scores, *coordinates.T])


def task1_path(folder: str | Path, name: str) -> Path:
    """Return the path of the Task1 file of class ``name`` in ``folder``.

    Example:
        >>> task1_path("results", "ship").name
        'Task1_ship.txt'
    """
    return Path(folder) / f"{TASK1_PREFIX}{name}.txt"


def list_task1_files(folder: str | Path) -> dict[str, Path]:
    """List the Task1 files of a folder as a dict from class name to path, sorted by file name.

    Raises:
        UserError: The folder is missing or contains no Task1 file; the run that wrote the files was stopped, so that
            some are missing; two file names differ only in case; or a class name is not printable.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "Task1_ship.txt").touch()
        ...     list(list_task1_files(folder))
        ['ship']
    """
    if Path(folder, JOURNAL).exists():  # write_result keeps this file until all Task1 files are in place
        hint = "run the command that writes them again"
        raise UserError("the Task1 files are incomplete: the run that wrote them was stopped", where=folder, hint=hint)
    # list_label_files lists all text files, sorted, and refuses names that differ only in case
    paths = (path for path in list_label_files(folder) if path.name.startswith(TASK1_PREFIX))
    by_class = {path.stem.removeprefix(TASK1_PREFIX): path for path in paths}
    if not by_class:
        subfolders = sorted({path.parent.name for path in Path(folder).glob("*/Task1_*.txt")})
        hint = f"choose its subfolder {subfolders[0]}" if subfolders else ""
        raise UserError("no Task1_<class>.txt in this folder", where=folder, hint=hint)
    unprintable = next((path for name, path in by_class.items() if not name.isprintable()), None)
    if unprintable is not None:
        raise UserError("the class name has an unprintable character", where=unprintable, hint="rename the file")
    return by_class


def read_task1_folder(
    folder: str | Path,
    classes: Sequence[str],
    *,
    skip_unknown: bool = False,
    workers: int = 1,
    on_done: Callable[[Path], object] | None = None,
) -> dict[str, Detections]:
    """Read the Task1 files of a folder.

    Args:
        folder: Folder with ``Task1_<class>.txt`` files.
        classes: Class names to read.
        skip_unknown: If True, files of other classes are skipped. If False, they raise an error.
        workers: Number of threads. Each reads one file at a time.
        on_done: Called with the path of each file that has been read.

    Returns:
        Detections by class, in the order of ``classes``. A class without a file has empty detections.

    Raises:
        UserError: As :func:`list_task1_files` and :func:`read_detections`, or because a file belongs to a class that is
            not in ``classes`` and ``skip_unknown`` is False.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "Task1_ship.txt").write_text("P0001 0.9 1 2 11 2 11 8 1 8")
        ...     detections = read_task1_folder(folder, ("plane", "ship"))
        >>> len(detections["plane"]), len(detections["ship"])
        (0, 1)
    """
    paths = list_task1_files(folder)
    for name, path in paths.items():
        if name not in classes and not skip_unknown:
            raise unknown_class_error(name, classes, path)
    paths = {name: path for name, path in paths.items() if name in classes}
    by_class = dict(zip(paths, map_in_threads(read_detections, list(paths.values()), workers, on_done), strict=True))
    return {name: by_class.get(name, EMPTY_DETECTIONS) for name in classes}


def _raise_first_error(data: bytes, path: object) -> NoReturn:
    """Raise the error of the first malformed line. The vectorized parser cannot name this line."""
    for line_number, line in enumerate(data.split(b"\n"), start=1):
        fields = split_fields(line, path, line_number)
        if fields and len(fields) != 10:
            hint = "write image_id score x1 y1 x2 y2 x3 y3 x4 y4, separated by spaces"
            message = f"a detection line must have 10 fields, got {len(fields)}"
            raise UserError(message, where=f"{path}:{line_number}", hint=hint)
        for field in fields[1:]:
            parse_finite(field, path, line_number)
    raise UserError("not a Task1 text file", where=path)  # reached only if this parser accepts every line
