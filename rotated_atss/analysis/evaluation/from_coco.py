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

MAX_DETS = 100  # limit of the detections per image and class that COCO's AP uses


def from_coco(
    instances: Instances,
    detections: Sequence[dict],
    *,
    image_ids: Sequence[int] | None = None,
    categories: Sequence[int] | None = None,
    max_dets: int = MAX_DETS,
) -> EvaluationData:
    """Build the input of a report with COCO's rules.

    Crowds are ignored, and any number of detections can match a crowd.

    Args:
        instances: Ground truth.
        detections: Entries with ``image_id``, ``category_id``, ``bbox`` (x, y, width, height) and ``score``.
        image_ids: Images to evaluate; by default all.
        categories: Ids of the categories (classes) to evaluate; by default all.
        max_dets: Limit of the detections per image and class.

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
    # COCO sorts the ids, and ranks detections with equal scores in this order
    image_ids = sorted(instances.image_ids if image_ids is None else image_ids)
    categories = sorted(instances.categories if categories is None else categories)
    file_names = {image.id: image.file_name for image in instances.images}
    return EvaluationData(
        COCO,
        classes=tuple(instances.categories[category] for category in categories),
        images=tuple(file_names[image_id] for image_id in image_ids),
        detections=_detection_table(_Entries(detections, image_ids, categories), max_dets),
        objects=_object_table(_Entries(instances.annotations, image_ids, categories)),
        rule=EvaluationRule(metric="coco", difficult="ignore", sizes=COCO_SIZES, max_dets=max_dets),
    )


class _Entries:
    """Columns of the annotations or detections of the given images and categories, sorted by image.

    Args:
        entries: Annotations or detections, in the format of COCO's JSON files.
        image_ids: Images to keep; the position in this list becomes the image index.
        categories: Category ids to keep; the position in this list becomes the label.
    """

    def __init__(self, entries: Sequence[dict], image_ids: Sequence[int], categories: Sequence[int]) -> None:
        index_of_image = {image_id: index for index, image_id in enumerate(image_ids)}
        label_of_category = {category: index for index, category in enumerate(categories)}
        kept = [
            entry
            for entry in entries
            if entry["image_id"] in index_of_image and entry["category_id"] in label_of_category
        ]
        kept.sort(key=lambda entry: index_of_image[entry["image_id"]])
        self.entries = kept
        self.image_index = np.array([index_of_image[entry["image_id"]] for entry in kept], dtype=np.int64)
        self.labels = np.array([label_of_category[entry["category_id"]] for entry in kept], dtype=np.int64)
        boxes = np.array([entry["bbox"] for entry in kept], dtype=np.float64).reshape(-1, 4)  # x, y, width, height
        self.areas = boxes[:, 2] * boxes[:, 3]
        self.polygons = hbb_polygons(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))


def _object_table(annotations: _Entries) -> ObjectTable:
    crowd = np.array([bool(entry["iscrowd"]) for entry in annotations.entries], dtype=bool)
    return ObjectTable(
        annotations.polygons, annotations.labels, annotations.image_index, annotations.areas, ignored=crowd, crowd=crowd
    )


def _detection_table(detections: _Entries, max_dets: int) -> DetectionTable:
    labels, image_index = detections.labels, detections.image_index
    scores = np.array([entry["score"] for entry in detections.entries], dtype=np.float64)
    # The table is sorted by class and then by score, and has at most max_dets detections per image and class.
    order = np.empty(0, np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        order = np.append(order, rows[rank_per_image(scores[rows], image_index[rows], max_dets)])
    return DetectionTable(
        detections.polygons[order], labels[order], image_index[order], scores[order], detections.areas[order],
        in_size_range=np.ones(len(order), bool),  # COCO's main AP includes objects of all sizes
    )  # fmt: skip
