"""Label Studio's JSON: tasks with rotated rectangles and polygons, in percent of the image size.

A task is an image with its annotations and predictions. A region is one labeled shape in an annotation or a prediction.
A rectangle is rotated clockwise by ``rotation`` degrees about its first corner ``x, y``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np

from rotated_atss.coco.json_file import is_finite_number, read_json
from rotated_atss.dota.folders import IMAGE_SUFFIXES
from rotated_atss.errors import UserError, printable, quote
from rotated_atss.io.files import write_bytes, write_json
from rotated_atss.label_formats.geometry import boxes_to_polygons, polygons_to_boxes, quadrilateral
from rotated_atss.label_formats.json_values import check_score, parse_points, parse_size
from rotated_atss.label_formats.records import ImageLabels, ObjectList, ReadOptions, image_id_of

FILE = "tasks.json"
CONFIG_FILE = "labeling_config.xml"
RECTANGLES, POLYGONS = "rectanglelabels", "polygonlabels"
# Keys are the types of regions, values the names of the controls in the labeling configuration.
_CONTROLS = {RECTANGLES: "box", POLYGONS: "polygon"}
# An object is written as a rectangle if no corner moves by more than the tolerance in x or y. Detections have a larger
# tolerance, because their corners may have been rounded, for example in Task1 files, and then form no exact rectangle.
_LABEL_TOLERANCE_PX, _DETECTION_TOLERANCE_PX = 1e-6, 0.05
# Label Studio adds a prefix to the names of uploaded files: P1.png becomes, for example, 0a1b2c3d-P1.png.
_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
_EXPORT_HINT = "export the project as JSON, not as JSON-MIN"


def read(paths: Sequence[Path], options: ReadOptions) -> list[ImageLabels]:
    """Read ``rectanglelabels`` and ``polygonlabels`` of a JSON export; other regions are left out.

    Annotations are read as labels. If no task of the files has an annotation, predictions are read as detections. If a
    task has several annotations, the last one is read. Annotations that the annotator skipped do not count.

    Raises:
        UserError: A file is not in this format, an image size is not known, an image was rotated while labeling,
            or a polygon does not have four corners.

    Example:
        >>> import tempfile
        >>> text = '''[{"data": {"image": "/data/upload/1/0a1b2c3d-P1.png"}, "annotations": [{"result": [{
        ...     "type": "rectanglelabels", "original_width": 20, "original_height": 10, "value": {"x": 45, "y": 0,
        ...     "width": 50, "height": 60, "rotation": 90, "rectanglelabels": ["ship"]}}]}]}]'''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "tasks.json").write_text(text)
        ...     image, = read([Path(folder, "tasks.json")], ReadOptions())
        >>> image.name, image.polygons.tolist()
        ('P1.png', [[9.0, 0.0, 9.0, 10.0, 3.0, 10.0, 3.0, 0.0]])
    """
    tasks = [(path, where, task) for path in paths for where, task in _read_tasks(path)]
    key = "annotations" if any(_entries(task, "annotations") for _, _, task in tasks) else "predictions"
    return [_read_task(task, key, options, path, where) for path, where, task in tasks]


def write(images: Sequence[ImageLabels], classes: Sequence[str], folder: Path) -> None:
    """Write ``tasks.json``, labels as annotations and detections as predictions, and ``labeling_config.xml``.

    Args:
        images: The images, with their sizes. Rectangles are written as ``rectanglelabels``, other quadrilaterals as
            ``polygonlabels``. A detection is written as a rectangle if that moves no corner by more than 0.05 px.
        classes: Class names, listed in the labeling configuration.
        folder: An existing folder.

    Example:
        >>> import tempfile
        >>> image_without_objects = ObjectList().build("P1.png", Path("P1.txt"), size=(20, 10))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write([image_without_objects], ["ship"], Path(folder))
        ...     read_json(Path(folder, "tasks.json"))
        [{'data': {'image': 'P1.png'}, 'annotations': [{'result': []}]}]
    """
    write_json(folder / FILE, labeling_tasks(images), indent=None)
    write_bytes(folder / CONFIG_FILE, labeling_config(classes).encode())


def labeling_tasks(images: Sequence[ImageLabels], url_prefix: str = "") -> list[dict[str, Any]]:
    """Return tasks for import into Label Studio: labels become annotations, detections become predictions.

    If an image has scores, all images are taken as images with detections.

    Args:
        images: The images, with their sizes.
        url_prefix: Text before the file name of each image, such as ``/data/local-files/?d=images/``.

    Example:
        >>> objects = ObjectList()
        >>> objects.add([9, 0, 9, 10, 3, 10, 3, 0], "ship", where="P1.txt", score=0.75)
        >>> image = objects.build("P1.png", Path("P1.txt"), size=(20, 10))
        >>> task = labeling_tasks([image])[0]
        >>> region = task["predictions"][0]["result"][0]
        >>> region["score"]
        0.75
        >>> region["value"]
        {'x': 45.0, 'y': 0.0, 'width': 50.0, 'height': 60.0, 'rotation': 90.0, 'rectanglelabels': ['ship']}
    """
    # Images without detections have no scores, so the images are detections if any image has scores.
    has_scores = any(image.scores is not None for image in images)
    tasks = []
    for image in images:
        entry: dict[str, Any] = {"result": _regions(image)}
        task: dict[str, Any] = {"data": {"image": url_prefix + image.name}}
        if has_scores:
            task["predictions"] = [{"model_version": "rotated-atss", **entry}]
        else:
            task["annotations"] = [entry]
        tasks.append(task)
    return tasks


def labeling_config(classes: Sequence[str]) -> str:
    """Return the labeling configuration of a project for the tasks of :func:`labeling_tasks`.

    Args:
        classes: Class names.

    Example:
        >>> print(labeling_config(["ship"]))
        <View>
          <Image name="image" value="$image"/>
          <RectangleLabels name="box" toName="image" canRotate="true">
            <Label value="ship"/>
          </RectangleLabels>
          <PolygonLabels name="polygon" toName="image">
            <Label value="ship"/>
          </PolygonLabels>
        </View>
        <BLANKLINE>
    """
    # Imported here, because xml.sax.saxutils imports urllib.request, which readers of this format do not need.
    from xml.sax.saxutils import quoteattr

    label_lines = [f"    <Label value={quoteattr(name)}/>" for name in classes]
    lines = [
        "<View>",
        '  <Image name="image" value="$image"/>',
        f'  <RectangleLabels name="{_CONTROLS[RECTANGLES]}" toName="image" canRotate="true">',
        *label_lines,
        "  </RectangleLabels>",
        f'  <PolygonLabels name="{_CONTROLS[POLYGONS]}" toName="image">',
        *label_lines,
        "  </PolygonLabels>",
        "</View>",
        "",
    ]
    return "\n".join(lines)


def is_task(content: Any) -> bool:
    """Return whether an entry of a JSON file is a task of Label Studio.

    Example:
        >>> is_task({"data": {"image": "P1.png"}, "predictions": []}), is_task({"shapes": []})
        (True, False)
    """
    return (
        isinstance(content, dict)
        and isinstance(content.get("data"), dict)
        and any(isinstance(content.get(key), list) for key in ("annotations", "predictions"))
    )


def _read_tasks(path: Path) -> list[tuple[str, Any]]:
    """Return ``(where, task)`` for each task of a file; ``where`` locates the task in error messages."""
    content = read_json(path)
    if isinstance(content, dict):  # one task per file, as in exports to a cloud storage
        content = [content]
    if not isinstance(content, list):
        raise UserError("not in Label Studio's format", where=path, hint="expected a list of tasks")
    tasks = [(f"{path}: tasks[{index}]", task) for index, task in enumerate(content)]
    for where, task in tasks:
        if not is_task(task):
            raise UserError(
                "not a task of Label Studio with annotations or predictions", where=where, hint=_EXPORT_HINT
            )
    return tasks


def _entries(task: dict, key: str) -> list[dict]:
    """Return the list ``key`` of a task, its annotations or predictions, without entries that the annotator skipped."""
    entries = task.get(key)
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, dict) and not entry.get("was_cancelled")]


def _read_task(task: dict, key: str, options: ReadOptions, path: Path, where: str) -> ImageLabels:
    name = _image_name(task["data"], where)
    entries = _entries(task, key)
    if not entries:
        options.notes["task", f" without {key}: read as an image without objects"] += 1
        return ObjectList().build(name, path)
    if len(entries) > 1:
        options.notes["task", f" with several {key}: the last one read"] += 1
    regions = entries[-1].get("result")
    if not isinstance(regions, list):
        raise UserError(f"result must be a list, got {quote(regions)}", where=where)
    objects = ObjectList()
    # The size in a region has priority over the size of the image file. A region without a size takes the size of the
    # region before it.
    size = options.size_of(image_id_of(name))
    for index, region in enumerate(regions):
        region_where = f"{where}.{key}[{len(entries) - 1}].result[{index}]"
        kind = region.get("type") if isinstance(region, dict) else None
        if not isinstance(kind, str) or kind not in _CONTROLS:
            options.notes["region", f" of type {printable(str(kind), 20)}, neither box nor polygon: left out"] += 1
            continue
        size = _parse_original_size(region, region_where) or size
        if size is None:
            raise UserError("original_width and original_height are missing", where=region_where, hint="use --images")
        score = None
        if key == "predictions":
            score = check_score(region.get("score", entries[-1].get("score")), region_where)
        polygon = _polygon(region, kind, size, options, region_where)
        # _class_name must follow _polygon, because it reads region["value"], which _polygon has checked.
        class_name = _class_name(region, kind, options, region_where)
        objects.add(polygon, class_name, where=region_where, score=score)
    return objects.build(name, path, size)


def _image_name(data: dict, where: str) -> str:
    """Return the file name of the image of a task, taken from its URL or path."""
    # The key is usually "image", but a project can choose another one.
    urls = [value for value in (data.get("image"), *data.values()) if isinstance(value, str)]
    for url in urls:
        path, _, query = url.partition("?")
        # local storage: /data/local-files/?d=folder/P1.png
        is_local_file = path.endswith("/local-files/") and query.startswith("d=")
        quoted_file = query[2:] if is_local_file else path
        name = PurePosixPath(unquote(quoted_file).replace("\\", "/")).name
        if name.lower().endswith(IMAGE_SUFFIXES):
            return _UPLOAD_PREFIX.sub("", name, count=1) if "/upload/" in path else name
    raise UserError(f"the task must name an image ({', '.join(IMAGE_SUFFIXES)})", where=f"{where}.data")


def _parse_original_size(region: dict, where: str) -> tuple[int, int] | None:
    """Return the image width and height in pixels from the keys of a region; None if it has no such keys.

    Raises:
        UserError: The size is invalid, or the image was rotated while labeling.
    """
    if region.get("image_rotation"):
        what = f"image_rotation must be 0, got {quote(region['image_rotation'])}"
        raise UserError(what, where=where, hint="label the image without rotating it")
    width, height = region.get("original_width"), region.get("original_height")
    if width is None and height is None:
        return None
    size = parse_size(width, height)
    if size is None:
        what = f"original_width and original_height must be positive integers, got {quote((width, height))}"
        raise UserError(what, where=where)
    return size


def _class_name(region: dict, kind: str, options: ReadOptions, where: str) -> str:
    class_names = region["value"].get(kind)
    if not isinstance(class_names, list) or not class_names:
        raise UserError(f"{kind} must name a class, got {quote(class_names)}", where=where)
    if len(class_names) > 1:
        options.notes["region", " with several classes: the first one read"] += 1
    return class_names[0]


def _polygon(region: dict, kind: str, size: tuple[int, int], options: ReadOptions, where: str) -> list[float]:
    """Return the four corners of a region in pixels."""
    value = region.get("value")
    if not isinstance(value, dict):
        raise UserError(f"value must be an object, got {quote(value)}", where=where)
    width, height = size
    if kind == RECTANGLES:
        numbers = [value.get("x"), value.get("y"), value.get("width"), value.get("height"), value.get("rotation", 0)]
        if not all(map(is_finite_number, numbers)):
            raise UserError(f"x, y, width, height and rotation must be numbers, got {quote(numbers)}", where=where)
        x, y, w, h = (percent / 100 * side for percent, side in zip(numbers[:4], (width, height, width, height)))
        angle = math.radians(numbers[4])
        cos, sin = math.cos(angle), math.sin(angle)
        # center = first corner (x, y) + half of the rotated vector (w, h)
        box = [x + (w * cos - h * sin) / 2, y + (w * sin + h * cos) / 2, w, h, angle]
        return boxes_to_polygons(np.array([box]))[0].tolist()
    points = parse_points(value.get("points"), where)
    pixels = [(round(x / 100 * width, 6), round(y / 100 * height, 6)) for x, y in points]
    return quadrilateral(pixels, options, where)


def _regions(image: ImageLabels) -> list[dict[str, Any]]:
    """Return the objects of an image as regions, with coordinates in percent of the image size."""
    assert image.size is not None
    percent_per_px = 100.0 / np.array(image.size, dtype=np.float64)  # (2,), for x and y
    boxes = polygons_to_boxes(image.polygons).boxes
    corners = image.polygons.reshape(-1, 4, 2)
    fitted = boxes_to_polygons(boxes)  # (N, 8)
    tolerance = _LABEL_TOLERANCE_PX if image.scores is None else _DETECTION_TOLERANCE_PX
    # Corners are compared one by one, so a rectangle whose corners are in another order is written as a polygon.
    is_rectangle = (np.abs(fitted - image.polygons) <= tolerance).all(axis=1)
    first_corners = np.round(fitted[:, :2] * percent_per_px, 12)
    # Label Studio divides w by the image width and h by the image height even if the rectangle is rotated.
    sides = np.round(boxes[:, 2:4] * percent_per_px, 12)
    degrees = np.round(np.degrees(boxes[:, 4]) % 360.0, 9) % 360.0  # % twice, because rounding can give 360
    regions = []
    for row, name in enumerate(image.classes):
        if is_rectangle[row]:
            kind = RECTANGLES
            (x, y), (w, h) = first_corners[row].tolist(), sides[row].tolist()
            value: dict[str, Any] = {"x": x, "y": y, "width": w, "height": h, "rotation": degrees[row].item()}
        else:
            kind = POLYGONS
            value = {"points": (corners[row] * percent_per_px).tolist(), "closed": True}
        region = {
            "id": str(row + 1), "type": kind, "from_name": _CONTROLS[kind], "to_name": "image",
            "original_width": image.size[0], "original_height": image.size[1], "image_rotation": 0,
            "value": {**value, kind: [name]},
        }  # fmt: skip
        if image.scores is not None:
            region["score"] = float(image.scores[row])
        regions.append(region)
    return regions
