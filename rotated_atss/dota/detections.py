"""Read and write DOTA Task1 detection files.

A Task1 file holds one detection per line, ``image_id score x1 y1 x2 y2 x3 y3 x4 y4`` in pixels of the image; its name,
``Task1_<class>.txt``, gives the class.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rotated_atss.dota._fields import finite_field
from rotated_atss.dota._tokens import decimal_texts, gather_tokens, join_columns, parse_decimals, token_bounds
from rotated_atss.dota.classes import unknown_class_hint
from rotated_atss.dota.folders import list_files
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, read_bytes
from rotated_atss.io.threads import map_in_threads

TASK1_PREFIX = "Task1_"
_PIECE = 1 << 21  # bytes of a detection file that are read at once


@dataclass(frozen=True)
class Detections:
    """Detections of one class over many images, in file order."""

    images: tuple[str, ...]  # the distinct image ids, in order of first appearance
    image_index: np.ndarray  # (N,) int64 into images
    scores: np.ndarray  # (N,) float64
    polygons: np.ndarray  # (N, 8) float64, pixels
    score_texts: np.ndarray | None = None  # (N,) bytes: the scores as written, where read from a file

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def image_ids(self) -> np.ndarray:
        """(N,) array of str."""
        return np.array(self.images, dtype=np.str_)[self.image_index] if len(self) else np.empty(0, dtype=np.str_)

    @classmethod
    def from_ids(cls, image_ids: Iterable[str], scores: np.ndarray, polygons: np.ndarray) -> "Detections":
        """From one image id, score and polygon a detection; ``polygons`` is (N, 8) or (N, 4, 2)."""
        index: dict[str, int] = {}
        image_index = np.array([index.setdefault(str(image_id), len(index)) for image_id in image_ids], dtype=np.int64)
        polygons = np.asarray(polygons, dtype=np.float64).reshape(len(image_index), 8)
        scores = np.asarray(scores, dtype=np.float64).reshape(len(image_index))
        return cls(tuple(index), image_index, scores, polygons)

    def take(self, rows: np.ndarray) -> "Detections":
        """The detections of ``rows`` (indices or a mask), in that order."""
        texts = None if self.score_texts is None else self.score_texts[rows]
        return Detections(self.images, self.image_index[rows], self.scores[rows], self.polygons[rows], texts)


EMPTY_DETECTIONS = Detections.from_ids([], np.empty(0), np.empty((0, 8)))


def read_detections(path: str | Path) -> Detections:
    """Read one Task1 file, in bulk: about a million rows a second or two.

    Raises:
        UserError: Missing file, a line without exactly ten fields, a value that is not finite: with ``path:line``.
    """
    return parse_detections(read_bytes(path), path)


def parse_detections(data: bytes, where: object) -> Detections:
    """``read_detections`` of a content that is at hand; ``where`` names it in errors."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return _parse_all(data)
    except ValueError:
        _raise_first_fault(data, where)
        raise


def write_detections(path: str | Path, detections: Detections) -> None:
    """Write one Task1 file; scores as they were read, or at full precision; reading it gives the same numbers back."""
    atomic_write(path, format_detections(detections))


def format_detections(detections: Detections) -> bytes:
    """The bytes of a Task1 file."""
    if not len(detections):
        return b""
    names = np.array([name.encode() for name in detections.images], dtype=np.bytes_)
    scores = detections.score_texts
    if scores is None:
        scores = np.array([repr(score).encode() for score in detections.scores.tolist()], dtype=np.bytes_)
    coordinates = decimal_texts(detections.polygons)  # (N, 8)
    return join_columns([names[detections.image_index], scores, *coordinates.T])


def task1_path(folder: str | Path, name: str) -> Path:
    """Where the detections of class ``name`` lie in ``folder``."""
    return Path(folder) / f"{TASK1_PREFIX}{name}.txt"


def list_task1_files(folder: str | Path) -> dict[str, Path]:
    """The Task1 files of ``folder`` by class name, sorted.

    Raises:
        UserError: The folder is missing or holds no Task1 file.
    """
    found = {path.stem.removeprefix(TASK1_PREFIX): path for path in list_files(folder, (".txt",)) if _is_task1(path)}
    if not found:
        raise UserError("no Task1_<class>.txt in this folder", where=folder)
    return found


def read_task1_folder(
    folder: str | Path,
    classes: Sequence[str],
    *,
    workers: int = 1,
    on_done: Callable[[Path], object] | None = None,
) -> dict[str, Detections]:
    """The detections of every class of ``classes``; a class without a file has none.

    Args:
        workers: Threads that read.
        on_done: Called with each file that is through.

    Raises:
        UserError: As ``list_task1_files`` and ``read_detections``; a Task1 file of a class that is not in ``classes``.
    """
    files = list_task1_files(folder)
    for name, path in files.items():
        if name not in classes:
            raise UserError(f"unknown class '{name}'", where=path, hint=unknown_class_hint(name, classes))
    found = dict(zip(files, map_in_threads(read_detections, list(files.values()), workers, on_done), strict=True))
    return {name: found.get(name, EMPTY_DETECTIONS) for name in classes}


def _is_task1(path: Path) -> bool:
    return path.name.startswith(TASK1_PREFIX)


def _parse_all(data: bytes) -> Detections:
    """The whole file; ValueError where any line is wrong, without saying which."""
    numbers: dict[bytes, int] = {}  # image id -> its number, in order of first appearance
    parts = [_parse_part(part, numbers) for part in _cut_at_lines(data)]
    if not parts:
        return EMPTY_DETECTIONS
    image_index, scores, polygons, texts = (np.concatenate(column) for column in zip(*parts))
    return Detections(tuple(image.decode() for image in numbers), image_index, scores, polygons, texts)


def _cut_at_lines(data: bytes) -> Iterator[np.ndarray]:
    """Pieces of a few megabytes that end where a line ends: what is worked out on the way stays small."""
    buffer = np.frombuffer(data, dtype=np.uint8)
    low = 0
    while low < len(data):
        line_end = data.find(b"\n", low + _PIECE)
        high = line_end + 1 if line_end >= 0 else len(data)
        yield buffer[low:high]
        low = high


def _parse_part(buffer: np.ndarray, numbers: dict[bytes, int]) -> tuple[np.ndarray, ...]:
    """image_index, scores, polygons and score texts of whole lines; new image ids go into ``numbers``."""
    starts, ends = token_bounds(buffer, fields=10)  # (n, 10) each
    image_index = _number_in_order(gather_tokens(buffer, starts[:, 0], ends[:, 0]), numbers)
    scores = parse_decimals(buffer, starts[:, 1], ends[:, 1])
    polygons = parse_decimals(buffer, starts[:, 2:].ravel(), ends[:, 2:].ravel()).reshape(-1, 8)
    if not (np.isfinite(scores).all() and np.isfinite(polygons).all()):
        raise ValueError("not finite")
    return image_index, scores, polygons, gather_tokens(buffer, starts[:, 1], ends[:, 1])


def _number_in_order(texts: np.ndarray, numbers: dict[bytes, int]) -> np.ndarray:
    """(n,) int64, every text's number; a new text gets the next one. A run of equal texts costs one look-up."""
    if not len(texts):
        return np.empty(0, dtype=np.int64)
    first = np.flatnonzero(np.append(True, texts[1:] != texts[:-1]))
    of_run = [numbers.setdefault(text, len(numbers)) for text in texts[first].tolist()]
    return np.repeat(np.array(of_run, dtype=np.int64), np.diff(np.append(first, len(texts))))


def _raise_first_fault(data: bytes, path: object) -> None:
    """Find the line that made the bulk reader give up, and say what is wrong with it."""
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            fields = line.decode().split()
        except UnicodeDecodeError:
            raise UserError("not UTF-8 text", where=f"{path}:{number}") from None
        if fields and len(fields) != 10:
            hint = "write image_id score x1 y1 x2 y2 x3 y3 x4 y4, separated by spaces"
            message = f"a detection line has 10 fields, this one has {len(fields)}"
            raise UserError(message, where=f"{path}:{number}", hint=hint)
        for field in fields[1:]:
            finite_field(field, path, number)
    raise UserError("not a Task1 text file", where=path)
