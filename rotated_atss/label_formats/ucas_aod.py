"""UCAS-AOD text: ``[class] x1 y1 x2 y2 x3 y3 x4 y4 theta x y width height`` per line."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path

from rotated_atss.dota._fields import parse_finite, split_fields
from rotated_atss.errors import UserError
from rotated_atss.io.files import read_bytes
from rotated_atss.label_formats.records import ImageLabels, ObjectList, ReadOptions

NUM_VALUES = 13
"""Number of values per object: eight of the corners, the angle, and four of the horizontal box."""

_CLASS_BY_FOLDER = {"car": "car", "plane": "airplane"}
_LINE_FORMAT_HINT = "write [class] x1 y1 x2 y2 x3 y3 x4 y4 theta x y width height, in pixels"


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    r"""Read label files, one per image. Only the corners of objects are read, not the angle and the horizontal box.

    Lines of the original dataset have no class name; the name of the folder, ``CAR`` or ``PLANE``, gives the class.
    Lines of the UCAS-AOD benchmark, which has one folder for all labels, start with the class name.

    Raises:
        UserError: A line is malformed, or has no class name in a folder other than ``CAR`` and ``PLANE``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P0001.txt").write_text("car\t1 2 11 2 11 8 1 8\t0\t1 2 10 6\n")
        ...     read([Path(folder, "P0001.txt")], ReadOptions())[0].polygons.tolist()
        [[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]]
    """
    return [_read_file(path) for path in paths]


def _read_file(path: Path) -> ImageLabels:
    objects = ObjectList()
    for line_number, line in enumerate(read_bytes(path).removeprefix(BOM_UTF8).split(b"\n"), start=1):
        fields = split_fields(line, path, line_number)
        if not fields:
            continue
        where = f"{path}:{line_number}"
        has_name = len(fields) == NUM_VALUES + 1
        if not has_name and len(fields) != NUM_VALUES:
            raise UserError(
                f"a UCAS-AOD line must have 13 or 14 fields, got {len(fields)}", where=where, hint=_LINE_FORMAT_HINT
            )
        name = fields[0] if has_name else _CLASS_BY_FOLDER.get(path.parent.name.lower())
        if name is None:
            hint = "put the labels into a folder CAR or PLANE, or write the class first"
            what = f"the line has no class name, and the folder {path.parent.name} is neither CAR nor PLANE"
            raise UserError(what, where=where, hint=hint)
        # All values are parsed, so that a malformed one is an error, but only the corners are stored.
        values = [parse_finite(field, path, line_number) for field in fields[-NUM_VALUES:]]
        objects.add(values[:8], name, where=where, line=line_number)
    return objects.build(path.stem, path)
