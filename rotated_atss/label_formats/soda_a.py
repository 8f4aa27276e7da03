"""SODA-A JSON: one file per image; each entry of ``annotations`` has a ``poly`` and a ``category_id``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rotated_atss.coco.json_file import get_integer, is_finite_number, read_json
from rotated_atss.errors import UserError, quote
from rotated_atss.label_formats.geometry import quadrilateral
from rotated_atss.label_formats.records import ImageLabels, ObjectList, ReadOptions

IGNORE = "ignore"
"""Category of regions in which objects are not annotated."""


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read label files, one per image. The image id is the name of the file without suffix.

    Regions of the category ``ignore`` are left out. Unless ``fit_polygons`` is set, polygons without exactly four
    corners are left out, too, as in SODA-A's evaluation.

    Raises:
        UserError: A file is not in this format.

    Example:
        >>> import tempfile
        >>> text = '''{"categories": [{"id": 0, "name": "ship"}], "annotations": [
        ...     {"id": 1, "category_id": 0, "poly": [1, 2, 11, 2, 11, 8, 1, 8]}]}'''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "00001.json").write_text(text)
        ...     read([Path(folder, "00001.json")], ReadOptions())[0].polygons.tolist()
        [[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]]
    """
    return [_read_file(path, options) for path in paths]


def _read_file(path: Path, options: ReadOptions) -> ImageLabels:
    content = read_json(path)
    for key in ("annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            hint = "expected an object with annotations and categories"
            raise UserError(f"not in SODA-A's format: no list '{key}'", where=path, hint=hint)
    name_by_id = {
        get_integer(entry, "id", f"categories[{index}]", path): str(entry.get("name", ""))
        for index, entry in enumerate(content["categories"])
    }
    class_names = [name_by_id[category_id] for category_id in sorted(name_by_id)]
    options.class_order.update(dict.fromkeys(name for name in class_names if name not in ("", IGNORE)))
    objects = ObjectList()
    for index, entry in enumerate(content["annotations"]):
        position = f"annotations[{index}]"
        where = f"{path}: {position}"
        category_id = get_integer(entry, "category_id", position, path)
        if category_id not in name_by_id:
            raise UserError(f"{position}: no such category_id {category_id}", where=path)
        name = name_by_id[category_id]
        points = _points(entry.get("poly"), where)
        if name == IGNORE:
            options.notes["ignore region", ": left out"] += 1
        elif len(points) != 4 and not options.fit_polygons:
            options.notes["polygon", " without four corners: left out, as in SODA-A's evaluation"] += 1
        else:
            objects.add(quadrilateral(points, options, where), name, where=where)
    return objects.build(path.stem, path)


def _points(values: Any, where: str) -> list[list[float]]:
    """Return the corners of a polygon. A fifth or later point that repeats the first corner is dropped."""
    is_valid = (
        isinstance(values, list) and len(values) >= 6 and len(values) % 2 == 0 and all(map(is_finite_number, values))
    )
    if not is_valid:
        raise UserError(f"poly must be a list x1, y1, x2, y2, ... of numbers, got {quote(values)}", where=where)
    points = [values[index : index + 2] for index in range(0, len(values), 2)]
    return points[:-1] if len(points) > 4 and points[0] == points[-1] else points
