"""Pairs of a detection and an object of one image, of any classes, with their IoU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rotated_atss.analysis.evaluation.data import COCO, EvaluationData
from rotated_atss.dota.matching import GroundTruth, overlapping_pairs
from rotated_atss.io.threads import map_in_threads
from rotated_atss.ops.polygon_iou import polygon_hbbs
from rotated_atss.ops.polygon_pairs import iter_overlapping_pairs_between

MIN_IOU = 0.1
"""Pairs below this IoU explain no error: the lower threshold of TIDE (arXiv 2008.08115, section 2.2)."""


@dataclass(frozen=True)
class Overlaps:
    """Pairs of a detection and an object with an IoU of at least :data:`MIN_IOU`, sorted by detection and object.

    Attributes:
        rows: (P,) int64, index of the detection.
        gt_index: (P,) int64, index of the object.
        ious: (P,) float64. For a crowd of COCO: the share of the detection's area that is inside it.
    """

    rows: np.ndarray
    gt_index: np.ndarray
    ious: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, selection: np.ndarray) -> Overlaps:
        """Select pairs by indices or by a boolean mask."""
        return Overlaps(self.rows[selection], self.gt_index[selection], self.ious[selection])


def find_overlaps(data: EvaluationData, workers: int = 1) -> Overlaps:
    """Find all pairs of a detection and an object of its image with an IoU of at least :data:`MIN_IOU`.

    Args:
        data: Detections and objects.
        workers: Number of threads. The result does not depend on it.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> labels = {"P1": Labels(square, ("ship",), np.array([0]), np.array([1]))}
        >>> found = {"plane": Detections.from_ids(["P1"], np.array([0.9]), square)}
        >>> find_overlaps(from_task1(found, labels, ["ship", "plane"])).ious
        array([1.])
    """
    find = _box_overlaps if data.kind == COCO else _polygon_overlaps
    rows = np.arange(len(data.detections))
    # the detections of one image stay together: a sweep finds the pairs of an image
    chunks = [rows[data.detections.images % workers == chunk] for chunk in range(workers)] if workers > 1 else [rows]
    parts = map_in_threads(lambda chunk: find(data, chunk), chunks, workers)
    joined = Overlaps(*map(np.concatenate, zip(*((part.rows, part.gt_index, part.ious) for part in parts))))
    kept = joined.take(joined.ious >= MIN_IOU)
    return kept.take(np.lexsort((kept.gt_index, kept.rows)))


def _polygon_overlaps(data: EvaluationData, chunk: np.ndarray) -> Overlaps:
    detections, objects = data.detections, data.objects
    ground_truth = GroundTruth(objects.polygons, objects.images, objects.ignored)
    rows, gt_index, ious = overlapping_pairs(
        detections.polygons[chunk], detections.images[chunk], ground_truth, MIN_IOU
    )
    return Overlaps(chunk[rows], gt_index, ious)


def _box_overlaps(data: EvaluationData, chunk: np.ndarray) -> Overlaps:
    """Compute COCO's IoU of horizontal boxes: intersection over union, for a crowd over the detection's area."""
    detections, objects = data.detections, data.objects
    boxes, gt_boxes = polygon_hbbs(detections.polygons[chunk]), polygon_hbbs(objects.polygons)
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for rows, gt_index in iter_overlapping_pairs_between(boxes, detections.images[chunk], gt_boxes, objects.images):
        first, second = boxes[rows], gt_boxes[gt_index]
        sides = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
        shared, area = sides.prod(axis=1), detections.areas[chunk[rows]]
        union = area + objects.areas[gt_index] - shared
        parts.append((chunk[rows], gt_index, shared / np.where(objects.crowd[gt_index], area, union)))
    return Overlaps(*map(np.concatenate, zip(*parts)))
