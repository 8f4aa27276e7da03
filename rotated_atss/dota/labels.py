"""Read and write DOTA label files.

A label file contains one object per line, ``x1 y1 x2 y2 x3 y3 x4 y4 name [difficult]``, after optional header lines
(``imagesource:...``, ``gsd:...``, ``acquisition dates:...``). Coordinates are pixels of the image. The difficult flag
is 0, 1, or 2 (the object was cut by splitting), and 0 where its column is missing.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rotated_atss.dota._fields import MAX_NUMBER, is_number, parse_finite, parse_numbers, split_fields
from rotated_atss.dota.classes import unknown_class_error
from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import atomic_write, read_bytes

TRUNCATED = 2
"""Difficult flag of an object that was cut when its image was split, because it crosses the border of the tile."""
_LINE_FORMAT_HINT = "write x1 y1 x2 y2 x3 y3 x4 y4 name difficult, in pixels, separated by spaces"
# The start of a header line. It has up to three words, as in "acquisition dates :" with a space before the colon.
_HEADER = re.compile(r"(imagesource|gsd|acquisition dates)\s*:", re.IGNORECASE)


@dataclass(frozen=True)
class Labels:
    """Objects of one label file, in the order of the file. Quadrilaterals of zero area are included.

    Attributes:
        polygons: (N, 8) float64, corners in pixels.
        names: N class names.
        difficult: (N,) int64, 0, 1, or 2 (truncated).
        line_numbers: (N,) int64, line of each object, counted from 1.
        header: The header lines, without white space at their ends.
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
        classes: Accepted class names; None accepts every name. In the file, a name with hyphens, such as ``Small-Car``,
            can also be written with spaces, ``Small Car``. Names are returned with hyphens, because the text formats
            separate fields by spaces.
        skip_unknown: If True, objects of other classes are skipped. If False, they raise an error.

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
    return parse_labels(read_bytes(path), path, classes, skip_unknown=skip_unknown)


def parse_labels(
    data: bytes,
    path: object,
    classes: Sequence[str] | None = None,
    *,
    skip_unknown: bool = False,
    errors: list[UserError] | None = None,
) -> Labels:
    r"""Parse the content of a label file.

    Args:
        data: Content of the file.
        path: Path of the file, for error messages.
        classes: Accepted class names, as for :func:`read_labels`.
        skip_unknown: As for :func:`read_labels`.
        errors: If a list is given, errors are appended to it (at most one per line, and one about the whole file), and
            malformed lines are left out. If None, the first error is raised.

    Raises:
        UserError: As :func:`read_labels`, unless ``errors`` is given.

    Example:
        >>> errors = []
        >>> len(parse_labels(b"1 2 11 2 11 8 1 8 ship 0\n1 2 3\n", "P0001.txt", errors=errors))
        1
        >>> print(errors[0])
        P0001.txt:2: a label line must have 9 or 10 fields, got 3 (write x1 y1 x2 y2 ...
    """
    accepted = None if classes is None else frozenset("-".join(name.split()) for name in classes)
    return _parse_lines(data.removeprefix(b"\xef\xbb\xbf"), path, accepted, classes or (), skip_unknown, errors)


def write_labels(
    path: str | Path,
    polygons: np.ndarray,
    names: Sequence[str],
    difficult: Sequence[int] | np.ndarray,
    *,
    header: Sequence[str] = (),
) -> None:
    """Write one label file atomically. The arguments after ``path`` are the same as for :func:`format_labels`.

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

    Raises:
        UserError: A class name cannot be read back, because it has spaces or is a number.

    Example:
        >>> import numpy as np
        >>> format_labels(np.array([[1, 2, 11, 2, 11, 8, 1, 8]]), ["ship"], [0])
        b'1.0 2.0 11.0 2.0 11.0 8.0 1.0 8.0 ship 0\n'
    """
    for name in set(names):
        if name.split() != [name] or is_number(name):
            raise UserError(
                f"{quote(name)} cannot be a class name of DOTA text", hint="use one word that is not a number"
            )
    rows = np.asarray(polygons, dtype=np.float64).reshape(len(names), 8).tolist()
    lines = [*header]
    for row, name, flag in zip(rows, names, difficult, strict=True):
        lines.append(f"{' '.join(map(repr, row))} {name} {int(flag)}")
    return "".join(f"{line}\n" for line in lines).encode()


def _parse_lines(
    data: bytes,
    path: object,
    accepted: frozenset[str] | None,
    classes: Sequence[str],
    skip_unknown: bool,
    errors: list[UserError] | None,
) -> Labels:
    """Parse the lines of a label file.

    ``accepted`` contains the names in ``classes``, with hyphens for spaces. If it is None, all names are accepted.
    """
    polygons, names, difficult, line_numbers, header = [], [], [], [], []
    name_by_words = {tuple(name.split()): "-".join(name.split()) for name in classes if " " in name}
    for line_number, line in enumerate(data.split(b"\n"), start=1):
        try:
            fields = split_fields(line, path, line_number)
            if not fields:
                continue
            # a line with 9 or more fields is an object, even if a damaged first field looks like a header
            if len(fields) < 9 and _HEADER.match(" ".join(fields[:3])):
                header.append(line.decode().strip())
                continue
            if accepted is not None and len(fields) > 9:
                fields = _join_class_name(fields, accepted, name_by_words)
            polygon, name, flag = _parse_object(fields, path, line_number)
            if accepted is not None and name not in accepted:
                if skip_unknown:
                    continue
                raise unknown_class_error(name, classes, f"{path}:{line_number}")
        except UserError as error:
            _append_or_raise(error, errors)
            continue
        polygons.append(polygon)
        names.append(name)
        difficult.append(flag)
        line_numbers.append(line_number)
    try:
        _reject_normalized(polygons, path)
    except UserError as error:
        _append_or_raise(error, errors)
    return Labels(
        np.array(polygons, dtype=np.float64).reshape(-1, 8),
        tuple(names),
        np.array(difficult, dtype=np.int64),
        np.array(line_numbers, dtype=np.int64),
        tuple(header),
    )


def _append_or_raise(error: UserError, errors: list[UserError] | None) -> None:
    """Append an error to ``errors``, or raise it if ``errors`` is None."""
    if errors is None:
        raise error
    errors.append(error)


def _join_class_name(
    fields: list[str], accepted: frozenset[str], name_by_words: Mapping[tuple[str, ...], str]
) -> list[str]:
    """Join the fields of a class name that contains spaces: ``... Small Car 0`` becomes ``... Small-Car 0``.

    Args:
        fields: The fields of a line.
        accepted: Accepted names, with hyphens.
        name_by_words: Maps the words of a name to the name with hyphens, for accepted names that the caller gave with
            spaces.
    """
    starts_with_name = fields[8] in accepted  # such as "ship 0", where the second word is the difficult flag
    if starts_with_name and not name_by_words:  # the usual line
        return fields
    # The name ends at the end of the line, or before a difficult flag.
    for end in (len(fields), len(fields) - 1):
        words = tuple(fields[8:end])
        # A name that the caller gave with spaces is joined even if its first word is also an accepted name.
        name = name_by_words.get(words)
        if name is None and not starts_with_name and "-".join(words) in accepted:
            name = "-".join(words)
        if name is not None:
            return [*fields[:8], name, *fields[end:]]
    return fields


def _parse_object(fields: list[str], path: object, line_number: int) -> tuple[list[float], str, int]:
    """Return the polygon, the class name and the difficult flag from the fields of one line."""
    if not 9 <= len(fields) <= 10:
        hint = _spaced_name_hint(fields) or _LINE_FORMAT_HINT
        what = f"a label line must have 9 or 10 fields, got {len(fields)}{_guess_other_format(fields)}"
        raise UserError(what, where=f"{path}:{line_number}", hint=hint)
    try:
        polygon = parse_numbers(fields[:8])
    except ValueError:
        polygon = [math.inf]  # makes the next test fail, so that parse_finite reports the malformed field
    # For speed, a single test of the sum covers all coordinates. "not <=" is also true for NaN. If the sum is too large
    # or NaN, each coordinate is tested, so that valid coordinates with a large sum pass.
    if not sum(map(abs, polygon)) <= MAX_NUMBER:
        other_format = _guess_other_format(fields)
        if other_format:
            what = f"the line must start with coordinates, got {quote(fields[0])}{other_format}"
            raise UserError(what, where=f"{path}:{line_number}", hint=_LINE_FORMAT_HINT)
        polygon = [parse_finite(field, path, line_number) for field in fields[:8]]
    name = fields[8]
    if is_number(name):
        other_format = _guess_other_format(fields)
        conversion = "; rotated-atss convert-labels converts YOLO-OBB" if "YOLO-OBB" in other_format else ""
        what = f"the class name must not be a number, got {quote(name)}{other_format}"
        raise UserError(what, where=f"{path}:{line_number}", hint=_LINE_FORMAT_HINT + conversion)
    flag = fields[9] if len(fields) == 10 else "0"
    if flag not in ("0", "1", "2"):
        what = f"the difficult flag must be 0, 1 or 2, got {quote(flag)}"
        hint = _spaced_name_hint(fields) or _LINE_FORMAT_HINT
        raise UserError(what, where=f"{path}:{line_number}", hint=hint)
    return polygon, name, int(flag)


def _spaced_name_hint(fields: list[str]) -> str:
    """Return a hint for a line whose class name seems to have spaces, or an empty string."""
    words = fields[8:]
    if len(words) > 2 and words[-1] in ("0", "1", "2"):
        words = words[:-1]
    if len(words) < 2 or not all(map(is_number, fields[:8])) or is_number(words[0]):
        return ""
    return f"is {quote(' '.join(words))} a class name? Write it without spaces, or name it in --classes"


def _guess_other_format(fields: list[str]) -> str:
    """Return a remark on the other label format that a line seems to have, or an empty string."""
    numbers = [is_number(field) for field in fields]
    others_are_fractions = all(numbers) and all(0 <= float(field) <= 1 for field in fields[1:])
    if len(fields) >= 5 and fields[0].isdigit() and others_are_fractions:
        yolo_by_num_fields = {5: "YOLO", 9: "YOLO-OBB"}
        kind = yolo_by_num_fields.get(len(fields), "YOLO segmentation")
        return f" (this looks like {kind}: class number, then coordinates from 0 to 1)"
    if fields[0][0] in "{[":
        return " (this looks like JSON)"
    if fields[0][0] == "<":
        return " (this looks like XML)"
    if fields[0].count(",") >= 3 or (fields[0].endswith(",") and len(fields) >= 4):
        return " (this looks like CSV: fields are separated by spaces)"
    if not numbers[0] and len(fields) >= 9 and all(numbers[1:9]):
        return " (this looks like class name first)"
    return ""


def _reject_normalized(polygons: Sequence[Sequence[float]], path: object) -> None:
    """Reject a file in which all coordinates lie between 0 and 1, because they are fractions of the image size."""
    values = np.array(polygons)
    # If all coordinates are 0 or 1, they are accepted, because they can be pixels of a tiny object.
    if len(polygons) and values.min() >= 0 and values.max() <= 1 and (values != values.round()).any():
        what = "coordinates must be pixels, but all lie between 0 and 1"
        raise UserError(what, where=path, hint="multiply them by the width and the height of the image")
