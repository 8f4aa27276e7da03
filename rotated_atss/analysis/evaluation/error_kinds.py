"""Classify the errors of a detector by kind, after TIDE (Bolya et al. 2020, arXiv 2008.08115), for oriented boxes.

Every false positive gets the first kind in this list whose condition holds. The conditions disregard objects that the
metric ignores, and objects whose IoU with the detection is below 0.1 (``MIN_IOU`` of
:mod:`rotated_atss.analysis.evaluation.overlaps`):

1. duplicate: the IoU with an object of the same class reaches the IoU threshold. The object is already matched to a
   detection with a higher score;
2. classification: the IoU with an object of another class reaches the threshold;
3. angle: the IoU with an object of the same class is at least 0.1, and it would reach the threshold if the detection
   had the angle of the object. The angle is the direction of the long side of the minimum-area rectangle. Horizontal
   boxes have no angle errors;
4. localization: the IoU with an object of the same class is at least 0.1;
5. background: all other false positives. They include the ones that TIDE calls errors of both class and location.

If a condition holds for several objects, the error is attributed to the object with the highest IoU.

The sixth kind, missed, applies to objects, not to detections: an object without a true positive is missed, unless a
classification, angle or localization error is attributed to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rotated_atss.analysis.evaluation.data import COCO, EvaluationData
from rotated_atss.analysis.evaluation.matching import Matches
from rotated_atss.analysis.evaluation.overlaps import Overlaps
from rotated_atss.analysis.shapes import fit_shapes
from rotated_atss.dota.matching import RankedDetections, find_best_objects
from rotated_atss.ops.box_polygons import obb_polygons
from rotated_atss.ops.polygon_iou import polygon_ious

KINDS = ("classification", "localization", "angle", "duplicate", "background", "missed")
CLASSIFICATION, LOCALIZATION, ANGLE, DUPLICATE, BACKGROUND, MISSED = range(6)
EXPLAINING_KINDS = (CLASSIFICATION, LOCALIZATION, ANGLE)
"""Kinds of errors that explain why an object has no true positive. Such an object does not count as missed."""
NO_ERROR = -1


@dataclass(frozen=True)
class ErrorKinds:
    """Kind of error of each detection.

    Attributes:
        kind: (N,) int64, index into :data:`KINDS`; :data:`NO_ERROR` if the detection is not a false positive.
        target: (N,) int64, index of the object to which a duplicate, classification, angle or localization error is
            attributed; otherwise -1.
    """

    kind: np.ndarray
    target: np.ndarray


def find_error_kinds(data: EvaluationData, overlaps: Overlaps, matches: Matches) -> ErrorKinds:
    """Find the kind of error of each false positive.

    Args:
        data: Detections and objects.
        overlaps: Pairs of a detection and an object with an IoU of at least 0.1.
        matches: Matches of the metric.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.matching import Matcher
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([0]), line_numbers=np.array([1]))
        >>> detections = {"ship": Detections.from_ids(["P1"], np.array([0.9]), square + 4)}  # IoU 36/164
        >>> data = from_task1(detections, {"P1": ship}, ["ship"])
        >>> overlaps = find_overlaps(data)
        >>> matches = Matcher(data, overlaps).match()
        >>> errors = find_error_kinds(data, overlaps, matches)
        >>> [KINDS[kind] for kind in errors.kind]
        ['localization']
    """
    num_dets, iou_threshold = len(data.detections), matches.iou_threshold
    pairs = overlaps.take(matches.false_positives[overlaps.det_index] & ~data.objects.ignored[overlaps.gt_index])
    same_class = data.detections.labels[pairs.det_index] == data.objects.labels[pairs.gt_index]
    # Per detection, the object with the highest IoU. Here, ``pairs`` contains only false positives, so the other
    # detections have no object (-1).
    best_same_class = _find_best_in_pairs(pairs.take(same_class), num_dets)
    best_other_class = _find_best_in_pairs(pairs.take(~same_class), num_dets)

    kind = np.full(num_dets, NO_ERROR, np.int64)
    kind[matches.false_positives] = BACKGROUND
    # Each assignment overwrites the ones before it, so the order is from the last condition of the module docstring to
    # the first.
    kind[best_same_class.gt_index >= 0] = LOCALIZATION  # all pairs have an IoU of at least 0.1
    kind[data.reaches(best_other_class.max_ious, iou_threshold)] = CLASSIFICATION
    kind[data.reaches(best_same_class.max_ious, iou_threshold)] = DUPLICATE
    # The angle condition needs more IoUs, so it is checked at the end, only for errors that are still localization.
    localization = np.flatnonzero(kind == LOCALIZATION)
    is_angle_error = _is_angle_error(data, localization, best_same_class.gt_index[localization], iou_threshold)
    kind[localization[is_angle_error]] = ANGLE
    # best_same_class has no object (-1) for background errors and for detections without an error
    target = np.where(kind == CLASSIFICATION, best_other_class.gt_index, best_same_class.gt_index)
    return ErrorKinds(kind, target)


def find_missed(
    data: EvaluationData, matches: Matches, errors: ErrorKinds, score_threshold: float = -np.inf
) -> np.ndarray:
    """Find the missed objects.

    Args:
        data: Detections and objects.
        matches: Matches of the metric.
        errors: Kinds of errors of the detections.
        score_threshold: Detections with a lower score are left out.

    Returns:
        (G,) bool, whether an object is missed.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.matching import Matcher
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([0]), line_numbers=np.array([1]))
        >>> data = from_task1({}, {"P1": ship}, ["ship"])
        >>> matches = Matcher(data, find_overlaps(data)).match()
        >>> find_missed(data, matches, find_error_kinds(data, find_overlaps(data), matches)).tolist()
        [True]
    """
    above_threshold = data.detections.scores >= score_threshold
    missed = ~data.objects.ignored & ~matches.detected_objects(above_threshold, len(data.objects))
    explains_missed = np.isin(errors.kind, EXPLAINING_KINDS) & above_threshold
    missed[errors.target[explains_missed]] = False
    return missed


def _find_best_in_pairs(overlaps: Overlaps, num_dets: int) -> RankedDetections:
    return find_best_objects(overlaps.det_index, overlaps.gt_index, overlaps.ious, num_dets)


def _is_angle_error(
    data: EvaluationData, det_index: np.ndarray, gt_index: np.ndarray, iou_threshold: float
) -> np.ndarray:
    """Return whether a detection reaches the IoU threshold once it has the angle of its object.

    Args:
        data: Detections and objects.
        det_index: (P,) int64, index of the detection of each pair.
        gt_index: (P,) int64, index of the object of each pair.
        iou_threshold: IoU threshold.

    Returns:
        (P,) bool.
    """
    if data.kind == COCO or not len(det_index):
        return np.zeros(len(det_index), bool)
    gt_polygons = data.objects.polygons[gt_index]
    rotated_boxes = fit_shapes(data.detections.polygons[det_index]).boxes
    rotated_boxes[:, 4] = fit_shapes(gt_polygons).boxes[:, 4]
    ious = polygon_ious(obb_polygons(rotated_boxes), gt_polygons)
    return data.reaches(ious, iou_threshold)
