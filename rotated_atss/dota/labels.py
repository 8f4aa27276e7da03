"""Read and write DOTA label files.

A label file holds one object per line, ``x1 y1 x2 y2 x3 y3 x4 y4 name [difficult]``, after optional header lines
(``imagesource:...``, ``gsd:...``). Coordinates are pixels of the image. The difficult flag is 0, 1, or 2 (truncated by
splitting), and 0 where its column is missing.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rotated_atss.dota._fields import parse_finite
from rotated_atss.dota.classes import unknown_class_error
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, read_bytes

_HEADER = re.compile(r"(imagesource|gsd|acquisition dates)\s*:", re.IGNORECASE)


@dataclass(frozen=True)
class Labels:
    """Objects of one label file, in file order, including quadrilaterals without area.

    Attributes:
        polygons: (N, 8) float64, corners in pixels.
        names: N class names.
        difficult: (N,) int64, 0, 1, or 2 (truncated).
        line_numbers: (N,) int64, line of each object, counted from 1.
        header: The ``imagesource`` and ``gsd`` lines as written.
    """

    polygons: np.ndarray
    names: tuple[str, ...]
    difficult: np.ndarray
    line_numbers: np.ndarray
    header: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def read_labels(path: str | Path, classes: Sequence[str] | None = None, *, skip_unknown: bool = False) -> Labels:
    r"""Read one label file.

    Args:
        path: UTF-8 text file. CRLF, a byte-order mark, blank lines and a missing difficult column are accepted.
        classes: Accepted class names; None accepts every name.
        skip_unknown: Skip objects of other classes instead of raising.

    Raises:
        UserError: The file is missing, a line is malformed, a coordinate is not finite, or a class is unknown. The
            message starts with ``path:line``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "P0001.txt")
        ...     _ = path.write_text("gsd:0.5\n1 2 11 2 11 8 1 8 ship 1\n")
        ...     labels = read_labels(path)
        >>> labels.names, labels.difficult.tolist(), labels.polygons.shape
        (('ship',), [1], (1, 8))
    """
    known = None if classes is None else frozenset(classes)
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    return _parse_lines(data, path, known, classes or (), skip_unknown)


def write_labels(
    path: str | Path,
    polygons: np.ndarray,
    names: Sequence[str],
    difficult: Sequence[int] | np.ndarray,
    *,
    header: Sequence[str] = (),
) -> None:
    """Write one label file atomically; the arguments are those of :func:`format_labels`.

    Raises:
        UserError: The file cannot be written.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_labels(Path(folder, "P0001.txt"), np.array([[1, 2, 11, 2, 11, 8, 1, 8]]), ["ship"], [0])
        ...     read_labels(Path(folder, "P0001.txt")).names
        ('ship',)
    """
    atomic_write(path, format_labels(polygons, names, difficult, header=header))


def format_labels(
    polygons: np.ndarray,
    names: Sequence[str],
    difficult: Sequence[int] | np.ndarray,
    *,
    header: Sequence[str] = (),
) -> bytes:
    r"""Format objects as the content of a label file, with coordinates at full precision.

    Args:
        polygons: (N, 8) or (N, 4, 2), corners in pixels.
        names: N class names.
        difficult: N difficult flags.
        header: Lines to write before the objects.

    Example:
        >>> import numpy as np
        >>> format_labels(np.array([[1, 2, 11, 2, 11, 8, 1, 8]]), ["ship"], [0])
        b'1.0 2.0 11.0 2.0 11.0 8.0 1.0 8.0 ship 0\n'
    """
    rows = np.asarray(polygons, dtype=np.float64).reshape(len(names), 8).tolist()
    lines = [*header]
    for row, name, flag in zip(rows, names, difficult, strict=True):
        lines.append(f"{' '.join(map(repr, row))} {name} {int(flag)}")
    return "".join(f"{line}\n" for line in lines).encode()


def _parse_lines(
    data: bytes, path: object, known: frozenset[str] | None, classes: Sequence[str], skip_unknown: bool
) -> Labels:
    """Parse the lines of a label file."""
    polygons, names, difficult, line_numbers, header = [], [], [], [], []
    for line_number, line in enumerate(_decode(data, path).split("\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 9 and _HEADER.match(line.lstrip()):
            header.append(line.strip())
            continue
        polygon, flag = _parse_object(fields, path, line_number)
        if known is not None and fields[8] not in known:
            if skip_unknown:
                continue
            raise unknown_class_error(fields[8], classes, f"{path}:{line_number}")
        polygons.append(polygon)
        names.append(fields[8])
        difficult.append(flag)
        line_numbers.append(line_number)
    return Labels(
        np.array(polygons, dtype=np.float64).reshape(-1, 8),
        tuple(names),
        np.array(difficult, dtype=np.int64),
        np.array(line_numbers, dtype=np.int64),
        tuple(header),
    )


def _parse_object(fields: list[str], path: object, line_number: int) -> tuple[list[float], int]:
    """Parse the polygon and the difficult flag from the fields of one line."""
    if not 9 <= len(fields) <= 10:
        hint = "write x1 y1 x2 y2 x3 y3 x4 y4 name difficult, separated by spaces"
        message = f"a label line has 9 or 10 fields, got {len(fields)}"
        raise UserError(message, where=f"{path}:{line_number}", hint=hint)
    try:
        polygon = list(map(float, fields[:8]))
    except ValueError:
        polygon = [math.nan]
    if not math.isfinite(sum(polygon)):  # one test per line; the fields are tested one by one only on failure
        polygon = [parse_finite(field, path, line_number) for field in fields[:8]]
    flag = fields[9] if len(fields) == 10 else "0"
    if not (flag.isascii() and flag.isdigit()):
        raise UserError(f"the difficult flag must be 0, 1 or 2, got '{flag}'", where=f"{path}:{line_number}")
    return polygon, int(flag)


def _decode(data: bytes, path: object) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError("not UTF-8 text", where=path) from error
