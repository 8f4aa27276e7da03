"""Read detections in COCO's results format (https://cocodataset.org/#format-results), and convert to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.coco.instances import Instances
from rotated_atss.coco.json_file import get_bbox, get_integer, is_finite_number, read_json
from rotated_atss.errors import UserError, count_of, is_or_are, quote
from rotated_atss.io.numbers import shortest_float64

# ids between 1 and 90 that none of COCO's 80 categories has
_UNUSED_IDS = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
# A list of 80 classes that starts and ends with these names is assumed to be COCO's list.
_FIRST_AND_LAST_CLASS = ("person", "toothbrush")


def to_coco_results(
    image_id: int | str, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Convert the detections on an image to COCO's results format.

    Args:
        image_id: Id of the image.
        boxes: (N, 4) ``x1, y1, x2, y2``, pixels.
        scores: (N,) float32.
        labels: (N,) class indices.
        category_ids: Category id of each class.

    Returns:
        Entries of a results JSON. Coordinates are rounded to a thousandth of a pixel, and scores to the fewest digits
        that identify the float32 value.

    Example:
        >>> scores = np.array([0.9], np.float32)
        >>> to_coco_results(7, np.array([[6, 8, 14, 12.0]]), scores, np.array([0]), [3])
        [{'image_id': 7, 'category_id': 3, 'bbox': [6.0, 8.0, 8.0, 4.0], 'score': 0.9}]
    """
    corners = boxes.astype(np.float64)
    xywh = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1).round(3).tolist()
    return [
        {"image_id": image_id, "category_id": category_ids[label], "bbox": box, "score": score}
        for box, score, label in zip(xywh, shortest_float64(scores).tolist(), labels.tolist())
    ]


def assign_image_ids(names: Sequence[str]) -> dict[str, int]:
    """Assign a distinct image id to each file name (without suffix).

    If all names consist of digits and denote different numbers, the ids are these numbers (``000000000139`` has the id
    139). Otherwise the ids are 1, 2, ... in the order of the names.

    Example:
        >>> assign_image_ids(["000000000139", "7"]), assign_image_ids(["01", "1"])
        ({'000000000139': 139, '7': 7}, {'01': 1, '1': 2})
    """
    # numbers of at most 18 digits fit in int64
    numbers = [int(name) for name in names if name.isascii() and name.isdigit() and len(name) <= 18]
    if len(set(numbers)) == len(names):  # all names are numbers, and no two are equal
        return dict(zip(names, numbers))
    return {name: image_id for image_id, name in enumerate(names, start=1)}


def match_image_ids(file_names: Sequence[str], instances: Instances) -> dict[str, int]:
    """Look up the ids of image files in an instances JSON.

    Args:
        file_names: File names with suffix.
        instances: The instances JSON. Folders in its ``file_name`` entries are ignored.

    Returns:
        Image id by file name.

    Raises:
        UserError: ``instances`` lists no image, or more than one image, with one of the names.

    Example:
        >>> from rotated_atss.coco.instances import CocoImage
        >>> match_image_ids(["a.png"], Instances(Path("a.json"), [CocoImage(7, "val/a.png", 20, 20)], {}, None))
        {'a.png': 7}
    """
    id_by_name: dict[str, int] = {}
    for image in instances.images:
        name = Path(image.file_name).name
        if name in id_by_name and name in file_names:
            raise UserError(f"two images have the file name {quote(name)}", where=instances.path)
        id_by_name[name] = image.id
    missing = [name for name in file_names if name not in id_by_name]
    if missing:
        counts = f"{len(missing)} of {count_of(len(file_names), 'image')}"
        what = f"{counts} {is_or_are(len(missing))} not listed in this file, first {quote(missing[0])}"
        raise UserError(what, where=instances.path, hint="give the annotations of these images")
    return {name: id_by_name[name] for name in file_names}


def default_category_ids(classes: Sequence[str]) -> list[int]:
    """Return category ids for use without an instances JSON: COCO's ids for its 80 classes, otherwise 1, 2, ...

    Example:
        >>> default_category_ids(["plane", "ship"])
        [1, 2]
    """
    if len(classes) == 80 and (classes[0], classes[-1]) == _FIRST_AND_LAST_CLASS:
        return [category_id for category_id in range(1, 91) if category_id not in _UNUSED_IDS]
    return list(range(1, len(classes) + 1))


def ids_path(results: str | Path) -> Path:
    """Return the path of the ids file of a results JSON.

    The ids file lists the image and category ids with their names. Without an instances JSON, ``predict --json``
    assigns the ids itself and writes them to this file.

    Example:
        >>> ids_path("results.json").name
        'results.ids.json'
    """
    return Path(results).with_suffix(".ids.json")


def _check_ids_file(path: Path, instances: Instances) -> None:
    """Check that an ids file (see :func:`ids_path`), if it exists, does not contradict ``instances``.

    Raises:
        UserError: An id has another name in ``instances``.
    """
    if not path.is_file():
        return
    content = read_json(path)
    file_names = {image.id: Path(image.file_name).name for image in instances.images}
    for kind, key, names in (("images", "file_name", file_names), ("categories", "name", instances.categories)):
        entries = content.get(kind) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            continue
        for entry in entries:
            entry_id = get_integer(entry, "id", kind, path)
            if entry_id in names and names[entry_id] != entry.get(key):
                what = f"{kind}: the id {entry_id} is {quote(entry.get(key))} here and {quote(names[entry_id])}"
                hint = f"run predict with --coco-annotations {instances.path}"
                raise UserError(f"{what} in {instances.path}", where=path, hint=hint)


def read_results(path: str | Path, instances: Instances) -> list[dict]:
    """Read a results JSON, and check that its images and categories are in an instances JSON.

    Returns:
        Dictionaries with ``image_id``, ``category_id``, ``bbox`` (x, y, width, height in pixels) and ``score``.

    Raises:
        UserError: The file does not have the results format, an image or category is not in ``instances``, or an id has
            another name in the ids file (see :func:`ids_path`) than in ``instances``.

    Example:
        >>> import tempfile
        >>> from rotated_atss.coco.instances import CocoImage
        >>> instances = Instances(Path("a.json"), [CocoImage(1, "a.png", 20, 20)], {1: "ship"}, None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "results.json")
        ...     _ = path.write_text('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.8}]')
        ...     read_results(path, instances)[0]["bbox"]
        [0.0, 0.0, 9.0, 9.0]
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise UserError("not in COCO's results format", where=path, hint="expected a list of detections")
    _check_ids_file(ids_path(path), instances)
    image_ids = set(instances.image_ids)
    return [
        _parse_detection(entry, f"detections[{index}]", image_ids, instances, Path(path))
        for index, entry in enumerate(content)
    ]


def _parse_detection(entry: Any, label: str, image_ids: set[int], instances: Instances, path: Path) -> dict:
    image_id, category_id = (get_integer(entry, key, label, path) for key in ("image_id", "category_id"))
    if image_id not in image_ids:
        raise UserError(f"{label}: no such image_id {image_id} in {instances.path}", where=path)
    if category_id not in instances.categories:
        raise UserError(f"{label}: no such category_id {category_id} in {instances.path}", where=path)
    if "score" not in entry:
        raise UserError(f"{label} has no score", where=path)
    score = entry["score"]
    if not is_finite_number(score):
        raise UserError(f"{label}: score must be a number, got {score!r}", where=path)
    bbox = get_bbox(entry, label, path)
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, "score": float(score)}
