"""Detections in COCO's results format (https://cocodataset.org/#format-results)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rotated_atss.coco.instances import Instances
from rotated_atss.coco.json_file import get_bbox, get_integer, is_finite_number, read_json
from rotated_atss.errors import UserError
from rotated_atss.io.numbers import shortest_float64

# COCO has 80 categories with ids between 1 and 90; these ids are unused.
_UNUSED_IDS = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
_FIRST_AND_LAST = ("person", "toothbrush")


def to_coco_results(
    image_id: int | str, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Convert the detections on an image to COCO's results format.

    Args:
        image_id: Id of the image.
        boxes: (N, 4) ``x1, y1, x2, y2``, pixels. The result is rounded to a thousandth of a pixel.
        scores: (N,) scores, written with the fewest digits that represent a float32 exactly.
        labels: (N,) class indices.
        category_ids: Category id of each class.

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


def image_id_of_name(name: str) -> int | str:
    """Return the image id of a file name without its suffix: an integer for a name of digits.

    Example:
        >>> image_id_of_name("000000000139"), image_id_of_name("P0001")
        (139, 'P0001')
    """
    return int(name) if name.isascii() and name.isdigit() else name


def default_category_ids(classes: Sequence[str]) -> list[int]:
    """Return category ids for classes without an instances JSON: COCO's for its 80 classes, otherwise 1, 2, ...

    Example:
        >>> default_category_ids(["plane", "ship"])
        [1, 2]
    """
    if len(classes) == 80 and (classes[0], classes[-1]) == _FIRST_AND_LAST:
        return [category for category in range(1, 91) if category not in _UNUSED_IDS]
    return list(range(1, len(classes) + 1))


def read_results(path: str | Path, instances: Instances) -> list[dict]:
    """Read the detections of a results JSON on the images of a ground truth.

    Returns:
        Rows ``image_id, category_id, bbox (x, y, width, height in pixels), score``.

    Raises:
        UserError: The file does not have the results format, or an image or category is not in ``instances``.

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
    image_ids = set(instances.image_ids)
    return [
        _parse_detection(entry, f"detection {index}", image_ids, instances, Path(path))
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
