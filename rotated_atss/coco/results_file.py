"""Reading of detections in COCO's results format (https://cocodataset.org/#format-results)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rotated_atss.coco.instances import Instances
from rotated_atss.coco.json_file import get_bbox, get_integer, is_finite_number, read_json
from rotated_atss.errors import UserError


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
