"""Compute COCO's metrics of horizontal boxes with faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rotated_atss.coco.coco_result import UNDEFINED, CocoResult, MetricRow
from rotated_atss.coco.instances import Instances
from rotated_atss.errors import UserError

_IOU_50, _IOU_75 = 0, 5  # indices into COCO's IoU thresholds 0.50, 0.55, ..., 0.95
MAX_DETS = (1, 10, 100)  # COCO's limits of the number of detections per image and class
AREAS = ("all", "small", "medium", "large")
"""Size ranges of objects by area: all, below 32^2, 32^2 to 96^2, and above 96^2 square pixels."""
_ALL_SIZES = AREAS.index("all")


def evaluate_boxes(
    instances: Instances,
    detections: Sequence[dict],
    *,
    image_ids: Sequence[int] | None = None,
    categories: Sequence[int] | None = None,
    max_dets: Sequence[int] = MAX_DETS,
) -> CocoResult:
    """Compute COCO's average precision and recall of horizontal boxes.

    Args:
        instances: Ground truth.
        detections: Entries with ``image_id``, ``category_id``, ``bbox`` (x, y, width, height) and ``score``.
        image_ids: Images to evaluate; by default all.
        categories: Ids of the categories to evaluate; by default all.
        max_dets: Three limits of the number of detections per image and class, ascending. AP is computed with the last
            limit, recall with each.

    Raises:
        UserError: The ground truth has no annotations, or ``max_dets`` is invalid.

    Example:
        >>> from pathlib import Path
        >>> from rotated_atss.coco.instances import CocoImage
        >>> annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
        >>> instances = Instances(Path("a.json"), [CocoImage(1, "a.png", 20, 20)], {1: "ship"}, [annotation])
        >>> detection = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.8}
        >>> round(evaluate_boxes(instances, [detection]).values()["AP50"], 3)
        1.0
    """
    if instances.annotations is None:
        raise UserError("no annotations to evaluate against", where=instances.path)
    from faster_coco_eval import COCO, COCOeval_faster

    ground_truth = COCO(_build_coco_dict(instances))
    # copies, because loadRes changes its input
    coco_detections = ground_truth.loadRes([dict(detection) for detection in detections])
    evaluation = COCOeval_faster(ground_truth, coco_detections, iouType="bbox")
    evaluation.params.imgIds = sorted(instances.image_ids if image_ids is None else image_ids)
    evaluation.params.catIds = sorted(instances.categories if categories is None else categories)
    evaluation.params.maxDets = list(check_max_dets(max_dets))
    evaluation.evaluate()
    evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    # class name -> precision by IoU threshold and recall level, for objects of all sizes and the last of max_dets
    precision_by_class = {
        instances.categories[category_id]: precision[:, :, index, _ALL_SIZES, -1]
        for index, category_id in enumerate(evaluation.params.catIds)
    }
    return CocoResult(
        _compute_metrics(precision, recall, evaluation.params.maxDets),
        per_class={name: (_mean(values), _mean(values[_IOU_50])) for name, values in precision_by_class.items()},
        images=len(evaluation.params.imgIds),
        detections=len(detections),
        ap75_per_class={name: _mean(values[_IOU_75]) for name, values in precision_by_class.items()},
    )


def check_max_dets(max_dets: Sequence[int]) -> tuple[int, ...]:
    """Check that ``max_dets`` consists of three positive integers in ascending order, and return them as a tuple.

    Raises:
        UserError: ``max_dets`` does not have this form.

    Example:
        >>> check_max_dets([1, 10, 100])
        (1, 10, 100)
    """
    limits = tuple(max_dets)
    are_positive_integers = all(isinstance(limit, int) and limit >= 1 for limit in limits)
    if len(limits) != 3 or not are_positive_integers or sorted(limits) != list(limits):
        raise UserError(f"max_dets must be three positive integers in ascending order, got {list(limits)}")
    return limits


def _build_coco_dict(instances: Instances) -> dict:
    """Convert ``instances`` to a dictionary that faster-coco-eval may change: the entries are copied."""
    return {
        "images": [{"id": image.id, "width": image.width, "height": image.height} for image in instances.images],
        # numbered from 1, because the evaluation treats a match with the annotation id 0 as no match
        "annotations": [{**entry, "id": number} for number, entry in enumerate(instances.annotations or (), 1)],
        "categories": [{"id": category_id, "name": name} for category_id, name in instances.categories.items()],
    }


def _compute_metrics(precision: np.ndarray, recall: np.ndarray, max_dets: Sequence[int]) -> list[MetricRow]:
    """Compute COCO's twelve metrics, in COCO's order, from precision and recall.

    Args:
        precision: Array with the axes IoU threshold, recall level, class, size range, maximum number of detections.
        recall: Array with the axes IoU threshold, class, size range, maximum number of detections.
        max_dets: Maximum numbers of detections per image and class.
    """
    iou_range, last_limit = "0.50:0.95", max_dets[-1]
    rows = [
        MetricRow("AP", "AP", iou_range, "all", last_limit, _mean(precision[:, :, :, _ALL_SIZES, -1])),
        MetricRow("AP50", "AP", "0.50", "all", last_limit, _mean(precision[_IOU_50, :, :, _ALL_SIZES, -1])),
        MetricRow("AP75", "AP", "0.75", "all", last_limit, _mean(precision[_IOU_75, :, :, _ALL_SIZES, -1])),
    ]
    size_ranges = list(enumerate(AREAS))[1:]  # without "all"
    for index, area in size_ranges:
        rows.append(MetricRow(f"AP_{area}", "AP", iou_range, area, last_limit, _mean(precision[:, :, :, index, -1])))
    for index, limit in enumerate(max_dets):
        rows.append(MetricRow(f"AR_{limit}", "AR", iou_range, "all", limit, _mean(recall[:, :, _ALL_SIZES, index])))
    for index, area in size_ranges:
        rows.append(MetricRow(f"AR_{area}", "AR", iou_range, area, last_limit, _mean(recall[:, :, index, -1])))
    return rows


def _mean(values: np.ndarray) -> float:
    """Return the mean of the defined values, or ``UNDEFINED`` if there are none."""
    defined = values[values > UNDEFINED]
    return float(defined.mean()) if defined.size else UNDEFINED
