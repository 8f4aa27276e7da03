"""Kinds of errors of detections, after TIDE (Bolya et al. 2020, arXiv 2008.08115), for oriented boxes.

Every false positive has exactly one kind, the first that applies:

1. duplicate: it reaches the IoU threshold t with an object of its class, which a detection with a higher score has;
2. classification: it reaches t with an object of another class;
3. angle: its IoU with an object of its class is at least 0.1 and below t, and reaches t when its angle is replaced by
   the object's. The angle is the direction of the long side of the minimum-area rectangle. Horizontal boxes have none;
4. localization: its IoU with an object of its class is at least 0.1 and below t;
5. background: otherwise. TIDE's errors of both class and location are among them.

An object that counts and has no true positive is missed, unless a classification, angle or localization error explains
it: the error of an object is that of the detections whose highest IoU, among the objects of the class in question, is
with this object. Objects that the metric ignores explain nothing.
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
EXPLAINING = (CLASSIFICATION, LOCALIZATION, ANGLE)
"""Kinds whose detections explain an object without a true positive."""
NO_ERROR = -1


@dataclass(frozen=True)
class ErrorKinds:
    """Kind of error of each false positive.

    Attributes:
        kind: (N,) int64, index into :data:`KINDS`, :data:`NO_ERROR` for other detections.
        target: (N,) int64, the object of a classification, localization, angle or duplicate error, otherwise -1.
    """

    kind: np.ndarray
    target: np.ndarray


def find_error_kinds(data: EvaluationData, overlaps: Overlaps, matches: Matches) -> ErrorKinds:
    """Find the kind of error of each false positive.

    Args:
        data: Detections and objects.
        overlaps: Their pairs.
        matches: Matches of the metric.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.matching import Matcher
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> labels = {"P1": Labels(square, ("ship",), np.array([0]), np.array([1]))}
        >>> found = {"ship": Detections.from_ids(["P1"], np.array([0.9]), square + 4)}  # IoU 36/164
        >>> data = from_task1(found, labels, ["ship"])
        >>> overlaps = find_overlaps(data)
        >>> errors = find_error_kinds(data, overlaps, Matcher(data, overlaps).match())
        >>> [KINDS[kind] for kind in errors.kind]
        ['localization']
    """
    useful = overlaps.take(matches.false_positives[overlaps.rows] & ~data.objects.ignored[overlaps.gt_index])
    same = data.detections.labels[useful.rows] == data.objects.labels[useful.gt_index]
    own = _best(useful.take(same), len(data.detections))
    other = _best(useful.take(~same), len(data.detections))
    threshold, false_positives = matches.iou_threshold, matches.false_positives
    duplicate = false_positives & data.reaches(own.max_ious, threshold)
    classification = false_positives & ~duplicate & data.reaches(other.max_ious, threshold)
    located = false_positives & ~duplicate & ~classification & (own.gt_index >= 0)
    kind = np.full(len(data.detections), NO_ERROR, np.int64)
    kind[false_positives] = BACKGROUND
    kind[duplicate], kind[classification], kind[located] = DUPLICATE, CLASSIFICATION, LOCALIZATION
    rows = np.flatnonzero(located)
    kind[rows[_is_angle_error(data, rows, own.gt_index[rows], threshold)]] = ANGLE
    target = np.where(duplicate | located, own.gt_index, np.where(classification, other.gt_index, -1))
    return ErrorKinds(kind, target)


def find_missed(
    data: EvaluationData, matches: Matches, errors: ErrorKinds, score_threshold: float = -np.inf
) -> np.ndarray:
    """Find the objects that no detection explains.

    Args:
        data: Detections and objects.
        matches: Matches of the metric.
        errors: Their kinds of errors.
        score_threshold: Lowest score of a detection that counts.

    Returns:
        (G,) bool.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.matching import Matcher
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.labels import Labels
        >>> labels = {"P1": Labels(np.zeros((1, 8)), ("ship",), np.array([0]), np.array([1]))}
        >>> data = from_task1({}, labels, ["ship"])
        >>> matches = Matcher(data, find_overlaps(data)).match()
        >>> find_missed(data, matches, find_error_kinds(data, find_overlaps(data), matches)).tolist()
        [True]
    """
    counted = data.detections.scores >= score_threshold
    missed = ~data.objects.ignored & ~matches.detected_objects(counted, len(data.objects))
    missed[errors.target[np.isin(errors.kind, EXPLAINING) & counted]] = False
    return missed


def _best(overlaps: Overlaps, num_dets: int) -> RankedDetections:
    return find_best_objects(overlaps.rows, overlaps.gt_index, overlaps.ious, num_dets)


def _is_angle_error(data: EvaluationData, rows: np.ndarray, gt_index: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Return whether the box of a detection reaches the threshold with the angle of its object; aligned, (P,) bool."""
    if data.kind == COCO or not len(rows):
        return np.zeros(len(rows), bool)
    boxes = fit_shapes(data.detections.polygons[rows]).boxes
    objects = data.objects.polygons[gt_index]
    boxes[:, 4] = fit_shapes(objects).boxes[:, 4]
    return data.reaches(polygon_ious(obb_polygons(boxes), objects), iou_threshold)
