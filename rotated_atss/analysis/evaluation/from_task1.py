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
        detections_by_class: Detections on full images, keyed by class. Those on images that are not in
            ``labels_by_image`` are left out.
        labels_by_image: Labels, keyed by image id. An image without objects has an empty entry.
        classes: Classes to evaluate.
        metric: ``voc07``, ``area`` or ``coco``; None for the metric of ``dataset``.
        dataset: Dataset whose rule applies.
        difficult: Whether to ``ignore`` or to ``count`` difficult objects; None for the rule of ``dataset``.

    Example:
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([1]), line_numbers=np.array([1]))
        >>> detections = {"ship": Detections.from_ids(["P1"], np.array([0.9]), square)}
        >>> data = from_task1(detections, {"P1": ship}, ["ship"])
        >>> data.objects.ignored.tolist(), data.detections.scores.tolist()
        ([True], [0.9])
    """
    rule = get_rule(dataset)
    rule = replace(rule, metric=metric or rule.metric, difficult=difficult or rule.difficult)
    if rule.metric == "coco":
        rule = replace(rule, sizes=rule.sizes or COCO_SIZES)
    else:  # only COCO's metric has size ranges, a limit of detections, and best_object_only
        rule = replace(rule, sizes=(ALL_SIZES,), max_dets=None, best_object_only=False)
    image_ids = tuple(labels_by_image)
    detections = _detection_table(detections_by_class, image_ids, tuple(classes), rule)
    objects = _object_table(tuple(labels_by_image.values()), tuple(classes), rule)
    return EvaluationData(ORIENTED, tuple(classes), image_ids, detections, objects, rule)


def _detection_table(
    by_class: Mapping[str, Detections], image_ids: tuple[str, ...], classes: tuple[str, ...], rule: EvaluationRule
) -> DetectionTable:
    index_of_image = {image_id: index for index, image_id in enumerate(image_ids)}
    empty = (np.empty((0, 8)), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    parts: list[tuple[np.ndarray, ...]] = [empty]  # np.concatenate needs at least one part
    for class_index, name in enumerate(classes):
        detections = by_class.get(name, EMPTY_DETECTIONS)
        # detections.image_index refers to detections.images; in the table, the index refers to ``image_ids``.
        # Detections on images that are not in ``image_ids`` get the index -1, and rank_per_image drops them.
        new_index = np.array([index_of_image.get(image_id, -1) for image_id in detections.images], dtype=np.int64)
        image_index = new_index[detections.image_index] if len(detections) else np.empty(0, np.int64)
        order = rank_per_image(detections.scores, image_index, rule.max_dets)
        class_labels = np.full(len(order), class_index, np.int64)
        parts.append((detections.polygons[order], class_labels, image_index[order], detections.scores[order]))
    detected_polygons, labels, image_index, scores = map(np.concatenate, zip(*parts))
    polygons, areas = _compared_polygons(detected_polygons, rule)
    in_size_range = ~outside_range(areas, rule.sizes[0])  # the first range is the one of the main AP
    return DetectionTable(polygons, labels, image_index, scores, areas, in_size_range)


def _object_table(images: Sequence[Labels], classes: tuple[str, ...], rule: EvaluationRule) -> ObjectTable:
    """Build the table of the objects from the labels of each image."""
    index_of_class = {name: index for index, name in enumerate(classes)}
    # objects of classes that are not evaluated get the index -1 and are dropped below
    labels = np.array([index_of_class.get(name, -1) for image in images for name in image.names], dtype=np.int64)
    labeled_polygons = np.concatenate([np.empty((0, 8)), *[image.polygons for image in images]])
    image_index = np.repeat(np.arange(len(images)), list(map(len, images)))
    difficult = np.concatenate([np.empty(0, np.int64), *[image.difficult for image in images]]) > 0
    is_evaluated = labels >= 0
    polygons, areas = _compared_polygons(labeled_polygons[is_evaluated], rule)
    ignored = outside_range(areas, rule.sizes[0]) | (difficult[is_evaluated] & (rule.difficult == "ignore"))
    crowd = np.zeros(len(ignored), bool)
    return ObjectTable(polygons, labels[is_evaluated], image_index[is_evaluated], areas, ignored, crowd)


def _compared_polygons(polygons: np.ndarray, rule: EvaluationRule) -> tuple[np.ndarray, np.ndarray]:
    """Return the polygons that the metric compares, and their areas in square pixels.

    COCO's metric compares the minimum-area rectangles of the polygons; other metrics compare the polygons themselves.
    """
    if rule.metric == "coco":
        return min_area_rectangles(polygons)
    return polygons, polygon_areas(polygons)
