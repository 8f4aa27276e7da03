"""Build the input of an evaluation report from COCO instances and results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rotated_atss.analysis.evaluation.data import COCO, DetectionTable, EvaluationData, ObjectTable
from rotated_atss.coco.instances import Instances
from rotated_atss.dota.coco_evaluation import rank_per_image
from rotated_atss.dota.datasets import COCO_SIZES, EvaluationRule
from rotated_atss.errors import UserError
from rotated_atss.ops.box_polygons import hbb_polygons

MAX_DETS = 100


def from_coco(
    instances: Instances,
    detections: Sequence[dict],
    *,
    image_ids: Sequence[int] | None = None,
    categories: Sequence[int] | None = None,
    max_dets: int = MAX_DETS,
) -> EvaluationData:
    """Build the input of a report, with COCO's rules: crowds are ignored and match any number of detections.

    Args:
        instances: Ground truth.
        detections: Rows ``image_id, category_id, bbox (x, y, width, height), score``.
        image_ids: Images to evaluate; by default all.
        categories: Ids of the categories to evaluate; by default all.
        max_dets: Largest number of detections per image and class.

    Raises:
        UserError: The ground truth has no annotations.

    Example:
        >>> from pathlib import Path
        >>> from rotated_atss.coco.instances import CocoImage
        >>> annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 0, 9, 9], "area": 81, "iscrowd": 1}
        >>> instances = Instances(Path("a.json"), [CocoImage(1, "a.png", 20, 20)], {1: "ship"}, [annotation])
        >>> data = from_coco(instances, [])
        >>> data.objects.polygons.tolist(), data.objects.ignored.tolist()
        ([[2.0, 0.0, 11.0, 0.0, 11.0, 9.0, 2.0, 9.0]], [True])
    """
    if instances.annotations is None:
        raise UserError("no annotations to evaluate against", where=instances.path)
    images = sorted(instances.image_ids if image_ids is None else image_ids)  # COCO's order, which breaks ties
    image_of = {number: index for index, number in enumerate(images)}
    labels = sorted(instances.categories if categories is None else categories)
    label_of = {number: index for index, number in enumerate(labels)}
    names = {image.id: image.file_name for image in instances.images}

    def columns(rows: Sequence[dict]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict]]:
        """Return boxes, labels and images of the rows of these images and categories, in order of the images."""
        kept = [row for row in rows if row["image_id"] in image_of and row["category_id"] in label_of]
        kept.sort(key=lambda row: image_of[row["image_id"]])
        boxes = np.array([row["bbox"] for row in kept], dtype=np.float64).reshape(-1, 4)
        of_label = np.array([label_of[row["category_id"]] for row in kept], dtype=np.int64)
        return boxes, of_label, np.array([image_of[row["image_id"]] for row in kept], dtype=np.int64), kept

    boxes, classes, of_image, kept = columns(instances.annotations)
    crowd = np.array([bool(row["iscrowd"]) for row in kept], dtype=bool)
    objects = ObjectTable(_rectangles(boxes), classes, of_image, boxes[:, 2] * boxes[:, 3], crowd, crowd)
    boxes, classes, of_image, kept = columns(detections)
    scores = np.array([row["score"] for row in kept], dtype=np.float64)
    order = np.concatenate([np.empty(0, np.int64), *_ranks(scores, classes, of_image, len(labels), max_dets)])
    boxes, inside = boxes[order], np.ones(len(order), bool)
    areas = boxes[:, 2] * boxes[:, 3]
    table = DetectionTable(_rectangles(boxes), classes[order], of_image[order], scores[order], areas, inside)
    rule = EvaluationRule("coco", "ignore", COCO_SIZES, max_dets)
    class_names = tuple(instances.categories[number] for number in labels)
    return EvaluationData(COCO, class_names, tuple(names[number] for number in images), table, objects, rule)


def _ranks(
    scores: np.ndarray, labels: np.ndarray, images: np.ndarray, num_classes: int, max_dets: int
) -> list[np.ndarray]:
    """Rank the detections of each class."""
    rows_by_class = [np.flatnonzero(labels == label) for label in range(num_classes)]
    return [rows[rank_per_image(scores[rows], images[rows], max_dets)] for rows in rows_by_class]


def _rectangles(boxes: np.ndarray) -> np.ndarray:
    """Convert COCO's boxes (N, 4) ``x, y, width, height`` to corners (N, 8)."""
    return hbb_polygons(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))
