"""Read and write COCO instances JSON with quadrilaterals in ``segmentation``, or with Detectron2's rotated ``bbox``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.coco.json_file import get_integer, is_finite_number, read_json
from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import write_json
from rotated_atss.label_formats.geometry import (
    HORIZONTAL_BOX_NOTE,
    boxes_to_polygons,
    horizontal_polygon,
    polygons_to_boxes,
    quadrilateral,
)
from rotated_atss.label_formats.json_values import check_score, parse_size
from rotated_atss.label_formats.records import ImageLabels, ObjectList, ReadOptions

FILE = "annotations.json"
_ReadPolygon = Callable[[dict, ReadOptions, str], list[float]]  # annotation, options, location for errors


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read instances JSON in which ``segmentation`` consists of one polygon, a quadrilateral.

    The reader adds its notes and the class names to ``options``. With ``options.fit_polygons``, other polygons are
    replaced by their minimum-area rectangles.

    The optional keys ``difficult`` and ``score`` of an annotation are read. An annotation with ``iscrowd`` is read as
    difficult. If an annotation has no polygon, or a mask instead of a polygon, its object gets the corners of its
    horizontal ``bbox``.

    Raises:
        UserError: A file is not in this format, or a polygon does not have four corners (see
            :func:`rotated_atss.label_formats.geometry.quadrilateral`).

    Example:
        >>> import tempfile
        >>> image = {"id": 1, "file_name": "P1.png", "width": 20, "height": 10}
        >>> category = {"id": 1, "name": "ship"}
        >>> ship = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 2, 11, 2, 11, 8, 1, 8]]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.json")
        ...     write_json(path, {"images": [image], "categories": [category], "annotations": [ship]})
        ...     read([path], ReadOptions())[0].polygons.tolist()
        [[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]]
    """
    return [image for path in paths for image in _read_file(path, options, _segmentation_polygon)]


def read_rotated(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read instances JSON whose ``bbox`` is ``cx, cy, w, h, angle``. The angle is in degrees and counterclockwise.

    Raises:
        UserError: A file is not in this format.

    Example:
        >>> import tempfile
        >>> image = {"id": 1, "file_name": "P1.png", "width": 20, "height": 10}
        >>> category = {"id": 1, "name": "ship"}
        >>> ship = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [6, 5, 10, 6, 0]}  # cx, cy, w, h, angle
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.json")
        ...     write_json(path, {"images": [image], "categories": [category], "annotations": [ship]})
        ...     read_rotated([path], ReadOptions())[0].polygons.tolist()
        [[1.0, 2.0, 11.0, 2.0, 11.0, 8.0, 1.0, 8.0]]
    """
    return [image for path in paths for image in _read_file(path, options, _rotated_polygon)]


def write(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write ``annotations.json``, in which ``segmentation`` is the quadrilateral and ``bbox`` its horizontal box.

    Args:
        images: The images, with their sizes.
        classes: Class names. They get the category ids 1, 2, ... in this order.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write([], ["ship"], Path(folder))
        ...     read_json(Path(folder, "annotations.json"))["categories"]
        [{'id': 1, 'name': 'ship'}]
    """
    _write_file(images, classes, folder, _segmentation_entries)


def write_rotated(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write ``annotations.json`` with ``bbox`` as ``cx, cy, w, h, angle``. The angle is in degrees, counterclockwise.

    Args:
        images: The images, with their sizes.
        classes: Class names. They get the category ids 1, 2, ... in this order.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_rotated([], ["ship"], Path(folder))
        ...     [path.name for path in Path(folder).iterdir()]
        ['annotations.json']
    """
    _write_file(images, classes, folder, _rotated_entries)


def _read_file(path: Path, options: ReadOptions, read_polygon: _ReadPolygon) -> list[ImageLabels]:
    content = _read_instances(path)
    category_names: dict[int, Any] = {}
    for index, entry in enumerate(content["categories"]):
        category_id = get_integer(entry, "id", f"categories[{index}]", path)
        if category_id in category_names:
            raise UserError(f"duplicate category id {category_id}", where=path)
        category_names[category_id] = entry.get("name")
    # The order of the classes is the order of their ids. Names that are not strings are ignored here, because they are
    # an error only if an object has such a class.
    names_by_id = [category_names[category_id] for category_id in sorted(category_names)]
    options.class_order.update(dict.fromkeys(name for name in names_by_id if isinstance(name, str)))
    objects_by_image: dict[int, ObjectList] = {}
    for index, entry in enumerate(content["images"]):
        image_id = get_integer(entry, "id", f"images[{index}]", path)
        if image_id in objects_by_image:
            raise UserError(f"duplicate image id {image_id}", where=path)
        objects_by_image[image_id] = ObjectList()
    for index, entry in enumerate(content["annotations"]):
        position = f"annotations[{index}]"
        image_id = get_integer(entry, "image_id", position, path)
        category_id = get_integer(entry, "category_id", position, path)
        if image_id not in objects_by_image:
            raise UserError(f"{position}: no such image_id {image_id}", where=path)
        if category_id not in category_names:
            raise UserError(f"{position}: no such category_id {category_id}", where=path)
        objects, name = objects_by_image[image_id], category_names[category_id]
        _add_object(objects, entry, name, options, read_polygon, f"{path}: {position}")
    return [_build_image(entry, objects_by_image[int(entry["id"])], path) for entry in content["images"]]


def _read_instances(path: Path) -> dict[str, Any]:
    """Read a file that must contain a JSON object with the lists ``images``, ``annotations`` and ``categories``."""
    content = read_json(path)
    if isinstance(content, list):
        what = "this is a file of COCO results, which contains no names of images or classes"
        raise UserError(what, where=path, hint="put each score into its annotation of an instances JSON")
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            hint = "the file must contain an object with images, annotations and categories"
            raise UserError(f"not in COCO's instances format: no list '{key}'", where=path, hint=hint)
    return content


def _add_object(
    objects: ObjectList, entry: dict, name: object, options: ReadOptions, read_polygon: _ReadPolygon, where: str
) -> None:
    """Add the object that an annotation describes to ``objects``, the objects of its image."""
    is_crowd = bool(entry.get("iscrowd"))
    if is_crowd and "difficult" not in entry:
        options.notes["crowd annotation", ": read as difficult"] += 1
    difficult = entry.get("difficult", int(is_crowd))
    score = check_score(entry.get("score"), where)
    objects.add(read_polygon(entry, options, where), name, where=where, difficult=difficult, score=score)


def _build_image(entry: dict, objects: ObjectList, path: Path) -> ImageLabels:
    """Build the labels of the image that an entry of ``images`` describes.

    If the size of the image is missing or not positive, it is unknown.
    """
    name = entry.get("file_name")
    if not isinstance(name, str):
        raise UserError(f"image {entry['id']} has no file_name", where=path)
    return objects.build(name, path, parse_size(entry.get("width"), entry.get("height")))


def _segmentation_polygon(entry: dict, options: ReadOptions, where: str) -> list[float]:
    """Return the quadrilateral of an annotation, from ``segmentation`` or else from the horizontal ``bbox``."""
    polygons = entry.get("segmentation")
    # If segmentation is not a list, it is missing, or it is a mask in run-length encoding.
    if not isinstance(polygons, list) or not polygons:
        x, y, w, h = _check_numbers(entry.get("bbox"), 4, "bbox must be four numbers x, y, width, height", where)
        options.notes[HORIZONTAL_BOX_NOTE] += 1
        return horizontal_polygon(x, y, x + w, y + h)
    requirement = "a polygon must be a list x1, y1, x2, y2, ... of numbers"
    # The points of all polygons are collected, because an object can consist of several pieces. If the number of points
    # is not four, quadrilateral raises an error or, with --fit-polygons, returns the rectangle around all points.
    points = []
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise UserError(f"{requirement}, got {quote(polygon)}", where=where)
        values = _check_numbers(polygon, len(polygon), requirement, where)
        points += list(zip(values[0::2], values[1::2]))
    return quadrilateral(points, options, where)


def _rotated_polygon(entry: dict, options: ReadOptions, where: str) -> list[float]:
    """Return the quadrilateral of an annotation from its rotated ``bbox``.

    The angle changes its sign, because it is counterclockwise in the file and clockwise in this package.
    """
    requirement = "bbox must be five numbers cx, cy, width, height, angle"
    cx, cy, w, h, degrees = _check_numbers(entry.get("bbox"), 5, requirement, where)
    return boxes_to_polygons(np.array([[cx, cy, w, h, -math.radians(degrees)]]))[0].tolist()


def _check_numbers(values: Any, count: int, requirement: str, where: str) -> list[float]:
    """Check that a value is a list of ``count`` numbers and return them as floats.

    Raises:
        UserError: The value is not a list of ``count`` numbers. The message starts with ``requirement``.
    """
    if not isinstance(values, list) or len(values) != count or not all(map(is_finite_number, values)):
        raise UserError(f"{requirement}, got {quote(values)}", where=where)
    return [float(value) for value in values]


def _write_file(
    images: Sequence[ImageLabels],
    classes: Sequence[str],
    folder: Path,
    geometry_entries: Callable[[ImageLabels], list[dict[str, Any]]],
) -> None:
    """Write ``annotations.json``.

    ``geometry_entries`` is a function that returns a dictionary for each object of an image. The dictionary contains
    the part of the annotation that describes the geometry, for example ``bbox`` and ``area``.
    """
    category_ids = {name: category_id for category_id, name in enumerate(classes, start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, start=1):
        for row, geometry in enumerate(geometry_entries(image)):
            annotation = {"id": len(annotations) + 1, "image_id": image_id, **geometry, "iscrowd": 0}
            annotation["category_id"] = category_ids[image.classes[row]]
            if image.difficult[row]:
                annotation["difficult"] = int(image.difficult[row])
            if image.scores is not None:
                annotation["score"] = float(image.scores[row])
            annotations.append(annotation)
    content = {
        "images": [_image_entry(image_id, image) for image_id, image in enumerate(images, start=1)],
        "annotations": annotations,
        "categories": [{"id": category_id, "name": name} for name, category_id in category_ids.items()],
    }
    write_json(folder / FILE, content, indent=None)


def _image_entry(image_id: int, image: ImageLabels) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": image_id, "file_name": image.name}
    if image.size is not None:
        entry["width"], entry["height"] = image.size
    return entry


def _segmentation_entries(image: ImageLabels) -> list[dict[str, Any]]:
    """Return ``segmentation``, ``bbox`` and ``area`` of each object."""
    corners = image.polygons.reshape(-1, 4, 2)
    next_corners = np.roll(corners, -1, axis=1)
    # The area of a polygon by the shoelace formula.
    areas = np.abs((corners[..., 0] * next_corners[..., 1] - corners[..., 1] * next_corners[..., 0]).sum(axis=1)) / 2
    low = corners.min(axis=1)
    bboxes = np.round(np.concatenate((low, corners.max(axis=1) - low), axis=1), 6)
    return [
        {"segmentation": [polygon], "bbox": bbox, "area": round(area, 6)}
        for polygon, bbox, area in zip(image.polygons.tolist(), bboxes.tolist(), areas.tolist())
    ]


def _rotated_entries(image: ImageLabels) -> list[dict[str, Any]]:
    """Return the rotated ``bbox`` and ``area`` of each object."""
    boxes = polygons_to_boxes(image.polygons).boxes
    cxcywh = np.round(boxes[:, :4], 9)
    degrees = np.round(np.degrees(-boxes[:, 4]), 9) + 0.0  # + 0.0 turns -0.0 into 0.0
    return [
        {"bbox": [cx, cy, w, h, angle], "area": round(w * h, 6)}
        for (cx, cy, w, h), angle in zip(cxcywh.tolist(), degrees.tolist())
    ]
