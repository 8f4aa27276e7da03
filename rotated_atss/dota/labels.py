"""Read and write DOTA label files.

A label file holds one object per line, ``x1 y1 x2 y2 x3 y3 x4 y4 name [difficult]``, after optional header lines
(``imagesource:...``, ``gsd:...``). Coordinates are pixels of the image; the difficult flag is 0, 1, or 2 (truncated by
splitting), and 0 where its column is missing.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rotated_atss.dota._fields import finite_field
from rotated_atss.dota._label_columns import WORTH_IT, label_columns
from rotated_atss.dota.classes import unknown_class_hint
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, read_bytes

_HEADER = re.compile(r"(imagesource|gsd|acquisition dates)\s*:", re.IGNORECASE)


@dataclass(frozen=True)
class Labels:
    """The objects of one label file, in file order; zero-area quadrilaterals are included."""

    polygons: np.ndarray  # (N, 8) float64, pixels
    names: tuple[str, ...]  # (N,) class names
    difficult: np.ndarray  # (N,) int64: 0, 1, or 2 (truncated)
    line_numbers: np.ndarray  # (N,) int64, from 1
    header: tuple[str, ...] = ()  # imagesource and gsd lines as written

    def __len__(self) -> int:
        return len(self.names)


def read_labels(path: str | Path, classes: Sequence[str] | None = None, *, skip_unknown: bool = False) -> Labels:
    """Read one label file.

    Args:
        path: The file; CRLF, a byte-order mark, header lines, blank lines and a missing difficult column are fine.
        classes: The names that may occur; None accepts every name.
        skip_unknown: Leave out objects of other classes instead of refusing the file.

    Raises:
        UserError: Missing file, malformed line, a coordinate that is not finite, an unknown class: with ``path:line``.
    """
    known = None if classes is None else frozenset(classes)
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    try:
        labels = Labels(*label_columns(data)) if len(data) >= WORTH_IT else None
    except ValueError:
        labels = None  # line by line, then
    if labels is None or not (known is None or known.issuperset(labels.names)):
        labels = _read_lines(data, path, known, classes or (), skip_unknown)
    return labels


def _read_lines(
    data: bytes, path: object, known: frozenset[str] | None, classes: Sequence[str], skip_unknown: bool
) -> Labels:
    """``read_labels`` of any file."""
    rows, names, difficult, numbers, header = [], [], [], [], []
    for number, line in enumerate(_decode(data, path).split("\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 9 and _HEADER.match(line.lstrip()):
            header.append(line.strip())
            continue
        polygon, flag = _parse_label(fields, path, number)
        if known is not None and fields[8] not in known:
            if skip_unknown:
                continue
            raise _unknown_class(fields[8], classes, path, number)
        rows.append(polygon)
        names.append(fields[8])
        difficult.append(flag)
        numbers.append(number)
    return Labels(
        np.array(rows, dtype=np.float64).reshape(-1, 8),
        tuple(names),
        np.array(difficult, dtype=np.int64),
        np.array(numbers, dtype=np.int64),
        tuple(header),
    )


def write_labels(
    path: str | Path,
    polygons: np.ndarray,
    names: Sequence[str],
    difficult: Sequence[int] | np.ndarray,
    *,
    header: Sequence[str] = (),
) -> None:
    """Write one label file, coordinates at full precision; ``polygons`` is (N, 8) or (N, 4, 2)."""
    atomic_write(path, format_labels(polygons, names, difficult, header=header))


def format_labels(
    polygons: np.ndarray,
    names: Sequence[str],
    difficult: Sequence[int] | np.ndarray,
    *,
    header: Sequence[str] = (),
) -> bytes:
    """The bytes of a label file, arguments as ``write_labels``."""
    rows = np.asarray(polygons, dtype=np.float64).reshape(len(names), 8).tolist()
    lines = [*header]
    for row, name, flag in zip(rows, names, difficult, strict=True):
        lines.append(f"{' '.join(map(repr, row))} {name} {int(flag)}")
    return "".join(f"{line}\n" for line in lines).encode()


def _parse_label(fields: list[str], path: object, number: int) -> tuple[list[float], int]:
    """The polygon and the difficult flag of one line's fields, or the error that says what is wrong with them."""
    if not 9 <= len(fields) <= 10:
        hint = "write x1 y1 x2 y2 x3 y3 x4 y4 name difficult, separated by spaces"
        raise UserError(
            f"a label line has 9 or 10 fields, this one has {len(fields)}", where=f"{path}:{number}", hint=hint
        )
    try:
        polygon = list(map(float, fields[:8]))
    except ValueError:
        polygon = [math.nan]
    if not math.isfinite(sum(polygon)):  # rarely: look closer
        polygon = [finite_field(field, path, number) for field in fields[:8]]
    flag = fields[9] if len(fields) == 10 else "0"
    if not (flag.isascii() and flag.isdigit()):
        raise UserError(f"the difficult column is 0, 1 or 2, not '{flag}'", where=f"{path}:{number}")
    return polygon, int(flag)


def _unknown_class(name: str, classes: Sequence[str], path: object, number: int) -> UserError:
    return UserError(f"unknown class '{name}'", where=f"{path}:{number}", hint=unknown_class_hint(name, classes))


def _decode(data: bytes, path: object) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError("not UTF-8 text", where=path) from error
