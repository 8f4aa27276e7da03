"""labelme JSON, one file per image, with the rotated boxes, scores and difficult flags of X-AnyLabeling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from rotated_atss.coco.json_file import read_json
from rotated_atss.errors import UserError, printable
from rotated_atss.io.files import write_json
from rotated_atss.label_formats.geometry import HORIZONTAL_BOX_NOTE, horizontal_polygon, quadrilateral
from rotated_atss.label_formats.json_values import check_score, parse_points, parse_size
from rotated_atss.label_formats.records import ImageLabels, ObjectList, ReadOptions


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read the shapes ``rotation``, ``polygon`` and ``rectangle``; other shapes are left out.

    Objects are read from the corners in ``points``; the angle ``direction`` of X-AnyLabeling is not used.

    Raises:
        UserError: A file is not in this format, or a polygon does not have four corners.

    Example:
        >>> import tempfile
        >>> text = '''{"shapes": [{"label": "ship", "shape_type": "rotation", "points": [[1, 2], [11, 2], [11, 8],
        ...     [1, 8]]}], "imagePath": "P1.png", "imageWidth": 20, "imageHeight": 10}'''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "P1.json").write_text(text)
        ...     read([Path(folder, "P1.json")], ReadOptions())[0].polygons.tolist()
        [[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]]
    """
    return [_read_file(path, options) for path in paths]


def write(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write one JSON file per image. Shapes are of the type ``polygon``, which labelme and X-AnyLabeling read.

    Args:
        images: The images, with their sizes.
        classes: Unused; the files contain no list of class names.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> image_without_objects = ObjectList().build("P1.png", Path("P1.txt"), size=(20, 10))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write([image_without_objects], [], Path(folder))
        ...     read([Path(folder, "P1.json")], ReadOptions())[0].size
        (20, 10)
    """
    for image in images:
        width, height = image.size or (None, None)
        content: dict[str, Any] = {
            "version": "5.0.0", "flags": {}, "shapes": [_shape(image, row) for row in range(len(image))],
            "imagePath": image.name, "imageData": None, "imageHeight": height, "imageWidth": width,
        }  # fmt: skip
        write_json(folder / f"{image.image_id}.json", content)


def _shape(image: ImageLabels, row: int) -> dict[str, Any]:
    corners = image.polygons[row].reshape(4, 2).tolist()
    shape: dict[str, Any] = {
        "label": image.classes[row], "points": corners, "group_id": None, "shape_type": "polygon", "flags": {},
        "difficult": bool(image.difficult[row]),
    }  # fmt: skip
    if image.scores is not None:
        shape["score"] = float(image.scores[row])
    return shape


def _read_file(path: Path, options: ReadOptions) -> ImageLabels:
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise UserError("not in labelme's format", where=path, hint="expected an object with a list 'shapes'")
    objects = ObjectList()
    for index, shape in enumerate(content["shapes"]):
        where = f"{path}: shapes[{index}]"
        polygon = _polygon(shape, options, where)
        if polygon is None:
            continue
        difficult = int(bool(shape.get("difficult", False)))
        score = check_score(shape.get("score"), where)
        objects.add(polygon, shape.get("label"), where=where, difficult=difficult, score=score)
    # A label file and its image have the same name except for the suffix, which is taken from "imagePath".
    suffix = ""
    stated_path = content.get("imagePath")
    if isinstance(stated_path, str):
        suffix = PurePosixPath(stated_path.replace("\\", "/")).suffix
    size = parse_size(content.get("imageWidth"), content.get("imageHeight"))
    return objects.build(f"{path.stem}{suffix}", path, size)


def _polygon(shape: Any, options: ReadOptions, where: str) -> list[float] | None:
    """Return the corners of a shape; None if it is neither a box nor a polygon."""
    points = parse_points(shape.get("points") if isinstance(shape, dict) else None, where)
    kind = shape.get("shape_type") or "polygon"
    if kind == "rectangle":
        options.notes[HORIZONTAL_BOX_NOTE] += 1
        if len(points) == 2:
            (x1, y1), (x2, y2) = points
            return horizontal_polygon(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        # X-AnyLabeling writes all four corners, which are read below
    elif kind not in ("polygon", "rotation"):
        options.notes["shape", f" of type {printable(str(kind), 20)}, neither box nor polygon: left out"] += 1
        return None
    return quadrilateral(points, options, where)
