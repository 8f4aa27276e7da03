"""Build the input of an evaluation report from DOTA labels and Task1 detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rotated_atss.analysis.evaluation.data import ORIENTED, DetectionTable, EvaluationData, ObjectTable
from rotated_atss.dota.coco_evaluation import min_area_rectangles, outside_range, rank_per_image
from rotated_atss.dota.datasets import ALL_SIZES, COCO_SIZES, EvaluationRule, get_rule
from rotated_atss.dota.detections import EMPTY_DETECTIONS, Detections
from rotated_atss.dota.labels import Labels
from rotated_atss.ops.polygon_iou import polygon_areas


def from_task1(
    detections_by_class: Mapping[str, Detections],
    labels_by_image: Mapping[str, Labels],
    classes: Sequence[str],
    *,
    metric: str | None = None,
    dataset: str = "v1.0",
    difficult: str | None = None,
) -> EvaluationData:
    """Build the input of a report, with the rules of :func:`rotated_atss.dota.task1_evaluation.evaluate_detections`.

    Args:
        detections_by_class: Detections on full images; detections on images without labels are left out.
        labels_by_image: Labels by image id.
        classes: Classes to evaluate.
        metric: ``voc07``, ``area`` or ``coco``; None for the metric of ``dataset``.
        dataset: Dataset whose rule applies.
        difficult: Whether to ``ignore`` or to ``count`` difficult objects; None for the rule of ``dataset``.

    Example:
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> labels = Labels(square, ("ship",), np.array([1]), np.array([1]))
        >>> data = from_task1({"ship": Detections.from_ids(["P1"], np.array([0.9]), square)}, {"P1": labels}, ["ship"])
        >>> data.objects.ignored.tolist(), data.detections.scores.tolist()
        ([True], [0.9])
    """
    rule = get_rule(dataset)
    rule = replace(rule, metric=metric or rule.metric, difficult=difficult or rule.difficult)
    if rule.metric == "coco":
        rule = replace(rule, sizes=rule.sizes or COCO_SIZES)
    else:  # size ranges, the limit of detections and best_object_only are rules of COCO's metric only
        rule = replace(rule, sizes=(ALL_SIZES,), max_dets=None, best_object_only=False)
    index_by_id = {image_id: index for index, image_id in enumerate(labels_by_image)}
    detections = _detection_table(detections_by_class, index_by_id, tuple(classes), rule)
    objects = _object_table(list(labels_by_image.values()), tuple(classes), rule)
    return EvaluationData(ORIENTED, tuple(classes), tuple(index_by_id), detections, objects, rule)


def _detection_table(
    by_class: Mapping[str, Detections], index_by_id: Mapping[str, int], classes: tuple[str, ...], rule: EvaluationRule
) -> DetectionTable:
    empty = (np.empty((0, 8)), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    parts: list[tuple[np.ndarray, ...]] = [empty]  # np.concatenate needs at least one part
    for label, name in enumerate(classes):
        detections = by_class.get(name, EMPTY_DETECTIONS)
        # detections.image_index refers to the ids in detections.images; convert it to indices into the labeled images.
        # Detections on images without labels get the index -1, and rank_per_image drops them.
        labeled_index = np.array([index_by_id.get(image_id, -1) for image_id in detections.images], dtype=np.int64)
        image_index = labeled_index[detections.image_index] if len(detections) else np.empty(0, np.int64)
        order = rank_per_image(detections.scores, image_index, rule.max_dets)
        labels = np.full(len(order), label, np.int64)
        parts.append((detections.polygons[order], labels, image_index[order], detections.scores[order]))
    polygons, labels, image_index, scores = map(np.concatenate, zip(*parts))
    polygons, areas = _compared_polygons(polygons, rule)
    return DetectionTable(polygons, labels, image_index, scores, areas, ~outside_range(areas, rule.sizes[0]))


def _object_table(labels: Sequence[Labels], classes: tuple[str, ...], rule: EvaluationRule) -> ObjectTable:
    index_of_class = {name: index for index, name in enumerate(classes)}
    # objects of classes that are not evaluated get the index -1 and are dropped below
    class_index = np.array(
        [index_of_class.get(name, -1) for image_labels in labels for name in image_labels.names], dtype=np.int64
    )
    polygons = np.concatenate([np.empty((0, 8)), *[image_labels.polygons for image_labels in labels]])
    image_index = np.repeat(np.arange(len(labels)), list(map(len, labels)))
    difficult = np.concatenate([np.empty(0, np.int64), *[image_labels.difficult for image_labels in labels]]) > 0
    is_evaluated = class_index >= 0
    polygons, areas = _compared_polygons(polygons[is_evaluated], rule)
    ignored = outside_range(areas, rule.sizes[0]) | (difficult[is_evaluated] & (rule.difficult == "ignore"))
    crowd = np.zeros(len(ignored), bool)
    return ObjectTable(polygons, class_index[is_evaluated], image_index[is_evaluated], areas, ignored, crowd)


def _compared_polygons(polygons: np.ndarray, rule: EvaluationRule) -> tuple[np.ndarray, np.ndarray]:
    """Return the polygons that the metric compares, and their areas in square pixels."""
    return min_area_rectangles(polygons) if rule.metric == "coco" else (polygons, polygon_areas(polygons))
