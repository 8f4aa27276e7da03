"""Pair detections with the objects that they overlap in the same image, and compute the IoU of each pair.

Classes are not compared: a detection of one class is also paired with objects of other classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rotated_atss.analysis.evaluation.data import COCO, EvaluationData
from rotated_atss.dota.matching import GroundTruth, overlapping_pairs
from rotated_atss.io.threads import map_in_threads
from rotated_atss.ops.polygon_iou import polygon_hbbs
from rotated_atss.ops.polygon_pairs import iter_overlapping_pairs_between

MIN_IOU = 0.1
"""Pairs below this IoU are dropped. The value is TIDE's background threshold (arXiv 2008.08115, section 2.2)."""


@dataclass(frozen=True)
class Overlaps:
    """Pairs of a detection and an object with an IoU of at least :data:`MIN_IOU`, sorted by detection and object.

    Attributes:
        det_index: (P,) int64, index of the detection.
        gt_index: (P,) int64, index of the object.
        ious: (P,) float64, IoU of the pair. If the object is a crowd (COCO), the value is instead the share of the
            detection's area that is inside the crowd.
    """

    det_index: np.ndarray
    gt_index: np.ndarray
    ious: np.ndarray

    def __len__(self) -> int:
        return len(self.det_index)

    def take(self, selection: np.ndarray) -> Overlaps:
        """Select pairs by indices or by a boolean mask."""
        return Overlaps(self.det_index[selection], self.gt_index[selection], self.ious[selection])


def find_overlaps(data: EvaluationData, workers: int = 1) -> Overlaps:
    """Find all pairs of a detection and an object of the same image with an IoU of at least :data:`MIN_IOU`.

    Args:
        data: Detections and objects.
        workers: Number of threads. The result does not depend on it.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([0]), line_numbers=np.array([1]))
        >>> detections = {"plane": Detections.from_ids(["P1"], np.array([0.9]), square)}  # of another class, same place
        >>> find_overlaps(from_task1(detections, {"P1": ship}, ["ship", "plane"])).ious
        array([1.])
    """
    find_pairs = _box_overlaps if data.kind == COCO else _polygon_overlaps
    image_index = data.detections.image_index
    # One chunk of detections per thread. All detections of an image are in the same chunk, because the search for pairs
    # goes image by image.
    chunks = [np.flatnonzero(image_index % workers == thread) for thread in range(workers)]
    parts = map_in_threads(lambda chunk: find_pairs(data, chunk), chunks, workers)
    all_pairs = _concatenate([(part.det_index, part.gt_index, part.ious) for part in parts])
    # box pairs are not filtered yet, and polygon pairs only by an upper bound of their IoU
    pairs = all_pairs.take(all_pairs.ious >= MIN_IOU)
    return pairs.take(np.lexsort((pairs.gt_index, pairs.det_index)))


def _polygon_overlaps(data: EvaluationData, chunk: np.ndarray) -> Overlaps:
    """Find the pairs of the detections with the indices ``chunk``, with the IoU of their polygons."""
    detections, objects = data.detections, data.objects
    # objects of all classes; the search for pairs does not use the flag of ignored objects
    ground_truth = GroundTruth(objects.polygons, objects.image_index, objects.ignored)
    index_in_chunk, gt_index, ious = overlapping_pairs(
        detections.polygons[chunk], detections.image_index[chunk], ground_truth, MIN_IOU
    )
    return Overlaps(chunk[index_in_chunk], gt_index, ious)


def _box_overlaps(data: EvaluationData, chunk: np.ndarray) -> Overlaps:
    """Find the pairs of the detections with the indices ``chunk``, with COCO's IoU of their horizontal boxes.

    COCO divides the intersection by the union or, if the object is a crowd, by the detection's area.
    """
    detections, objects = data.detections, data.objects
    det_boxes, gt_boxes = polygon_hbbs(detections.polygons[chunk]), polygon_hbbs(objects.polygons)
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]  # np.concatenate needs at least one part
    for index_in_chunk, gt_index in iter_overlapping_pairs_between(
        det_boxes, detections.image_index[chunk], gt_boxes, objects.image_index
    ):
        det_index = chunk[index_in_chunk]
        paired_det_boxes, paired_gt_boxes = det_boxes[index_in_chunk], gt_boxes[gt_index]
        # Width and height of the intersection. They cannot be negative, because the boxes of a pair overlap.
        overlap_wh = np.minimum(paired_det_boxes[:, 2:], paired_gt_boxes[:, 2:])
        overlap_wh -= np.maximum(paired_det_boxes[:, :2], paired_gt_boxes[:, :2])
        intersection, det_area = overlap_wh.prod(axis=1), detections.areas[det_index]
        # the areas are those of the boxes, not of COCO's segmentations
        union = det_area + objects.areas[gt_index] - intersection
        parts.append((det_index, gt_index, intersection / np.where(objects.crowd[gt_index], det_area, union)))
    return _concatenate(parts)


def _concatenate(parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Overlaps:
    det_index, gt_index, ious = map(np.concatenate, zip(*parts))
    return Overlaps(det_index, gt_index, ious)
