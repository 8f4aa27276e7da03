"""YOLO-OBB text: ``class x1 y1 x2 y2 x3 y3 x4 y4 [score]`` per line, coordinates divided by the image size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rotated_atss.dota._fields import parse_finite, split_fields
from rotated_atss.errors import UserError, count_of, quote
from rotated_atss.io.files import read_bytes, write_bytes
from rotated_atss.label_formats.class_list import find_class_names
from rotated_atss.label_formats.records import ImageLabels, ObjectList, ReadOptions

_LINE_FORMAT_HINT = "write class x1 y1 x2 y2 x3 y3 x4 y4, coordinates divided by width and height"
# The image border is at 1.0, and objects can extend beyond it. Coordinates above this limit are rejected, because they
# are probably pixels that were not divided by the image size.
_MAX_COORDINATE = 2.0


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read label files, one per image.

    Args:
        paths: The files.
        options: ``size_of`` is needed for images with objects. ``classes`` gives the class names in index order if
            there is no ``data.yaml`` or ``classes.txt`` in the folder of the labels or up to two folders above.

    Raises:
        UserError: A line is malformed, or class names or an image size are not known.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.txt").write_text("0 0.1 0.2 0.3 0.2 0.3 0.4 0.1 0.4")
        ...     options = ReadOptions(classes=("ship",), size_of=lambda image_id: (100, 50))
        ...     read([Path(folder, "P1.txt")], options)[0].polygons.tolist()
        [[10.0, 10.0, 30.0, 10.0, 30.0, 20.0, 10.0, 20.0]]
    """
    names = options.classes
    if paths:
        names = find_class_names(paths[0].parent) or names
    options.class_order.update(dict.fromkeys(names or ()))
    return [_read_file(path, names, options) for path in paths]


def write(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write ``labels/<image>.txt`` and ``data.yaml``.

    Args:
        images: The images, with their sizes.
        classes: Class names in index order.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write([], ["ship"], Path(folder))
        ...     Path(folder, "data.yaml").read_text().splitlines()[-1]
        '  0: "ship"'
    """
    class_index = {name: index for index, name in enumerate(classes)}
    (folder / "labels").mkdir()
    for image in images:
        assert image.size is not None
        # (8,): width, height, width, height, ..., the divisors of x1, y1, x2, y2, ...
        sides = np.array(image.size * 4, dtype=np.float64)
        normalized = clip_to_image(image) / sides
        lines = []
        for row, (name, polygon) in enumerate(zip(image.classes, normalized.tolist())):
            score = "" if image.scores is None else f" {float(image.scores[row])!r}"
            lines.append(f"{class_index[name]} {' '.join(map(repr, polygon))}{score}\n")
        write_bytes(folder / "labels" / f"{image.image_id}.txt", "".join(lines).encode())
    name_lines = "".join(f"  {index}: {json.dumps(name, ensure_ascii=False)}\n" for name, index in class_index.items())
    write_bytes(folder / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{name_lines}".encode())


def clip_to_image(image: ImageLabels) -> np.ndarray:
    """Return the polygons (N, 8) with their coordinates clipped to the image, as YOLO requires.

    Example:
        >>> objects = ObjectList()
        >>> objects.add([-1, 2, 11, 2, 11, 8, 1, 8], "ship", where="P1.txt")
        >>> image = objects.build("P1.png", Path("P1.txt"), size=(10, 20))
        >>> clip_to_image(image).tolist()
        [[0.0, 2.0, 10.0, 2.0, 10.0, 8.0, 1.0, 8.0]]
    """
    assert image.size is not None
    return np.clip(image.polygons, 0.0, _size_per_corner(image.size))


def _size_per_corner(size: tuple[int, int]) -> np.ndarray:
    """Return width and height once for each of the four corners: an array (8,) to scale or clip polygons."""
    return np.array(size * 4, dtype=np.float64)


def _read_file(path: Path, class_names: Sequence[str] | None, options: ReadOptions) -> ImageLabels:
    objects = ObjectList()
    size = options.size_of(path.stem)
    for line_number, line in enumerate(read_bytes(path).removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        fields = split_fields(line, path, line_number)
        if not fields:
            continue
        where = f"{path}:{line_number}"
        if len(fields) not in (9, 10):
            what = f"a YOLO-OBB line must have 9 or 10 fields, got {len(fields)}{_guess_other_yolo(len(fields))}"
            raise UserError(what, where=where, hint=_LINE_FORMAT_HINT)
        values = [parse_finite(field, path, line_number) for field in fields[1:]]
        if max(map(abs, values[:8])) > _MAX_COORDINATE:
            what = f"coordinates must be divided by width and height, got {max(values[:8], key=abs):g}"
            raise UserError(what, where=where, hint=_LINE_FORMAT_HINT)
        if size is None:
            hint = "pass the folder of the images with --images"
            raise UserError("YOLO-OBB needs the size of the image, which is not known", where=path, hint=hint)
        pixels = np.array(values[:8]) * np.array(size * 4)  # x by the width, y by the height
        # Without rounding, a corner at 23.3 could become 23.299999999999997. + 0.0 turns -0.0 into 0.0.
        polygon = (np.round(pixels, 6) + 0.0).tolist()
        score = values[8] if len(values) == 9 else None
        objects.add(polygon, _class_name(fields[0], class_names, where), where=where, score=score, line=line_number)
    return objects.build(path.stem, path, size)


def _guess_other_yolo(num_fields: int) -> str:
    """Return a remark if lines of another YOLO format have this number of fields, else an empty string."""
    if num_fields == 5:
        return " (this looks like YOLO with horizontal boxes)"
    # A segmentation line has the class, and x and y of three or more points.
    if num_fields >= 7 and num_fields % 2 == 1:
        return " (this looks like YOLO segmentation)"
    return ""


def _class_name(field: str, class_names: Sequence[str] | None, where: str) -> str:
    if not (field.isascii() and field.isdigit()):
        raise UserError(f"the class must be a number, got {quote(field)}", where=where, hint=_LINE_FORMAT_HINT)
    if class_names is None:
        hint = "put data.yaml or classes.txt into the folder of the labels, or pass the names with --classes"
        raise UserError(f"the name of class {field} is not known", where=where, hint=hint)
    if int(field) >= len(class_names):
        what = f"class index {field} is out of range for {count_of(len(class_names), 'class')}"
        raise UserError(what, where=where, hint="check the class list")
    return class_names[int(field)]
