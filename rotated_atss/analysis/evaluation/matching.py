"""Match all detections to objects at one IoU threshold, by the rule of the metric.

The rules are those of :mod:`rotated_atss.dota.matching` and :mod:`rotated_atss.dota.coco_evaluation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rotated_atss.analysis.evaluation.data import EvaluationData
from rotated_atss.analysis.evaluation.overlaps import Overlaps
from rotated_atss.dota.average_precision import average_precision
from rotated_atss.dota.coco_evaluation import Candidates, match_detections, order_candidates
from rotated_atss.dota.matching import classify_detections, find_best_objects


@dataclass(frozen=True)
class Matches:
    """Result of matching all detections at one IoU threshold.

    A detection that is neither a true nor a false positive is ignored. Either it is matched to an ignored object, or it
    is unmatched and ``counts_if_unmatched`` of :meth:`Matcher.match` is False for it.

    Attributes:
        true_positives: (N,) bool.
        false_positives: (N,) bool.
        gt_index: (N,) int64, index of the object to which a true positive or an ignored detection is matched; -1 for
            all other detections.
        iou_threshold: IoU threshold at which the detections were matched.
    """

    true_positives: np.ndarray
    false_positives: np.ndarray
    gt_index: np.ndarray
    iou_threshold: float

    def detected_objects(self, above_threshold: np.ndarray, num_objects: int) -> np.ndarray:
        """Return whether each object is detected.

        Args:
            above_threshold: (N,) bool, whether a detection is at or above the score threshold.
            num_objects: Number G of objects.

        Returns:
            (G,) bool, whether a detection above the threshold is a true positive of the object.
        """
        detected = np.zeros(num_objects, bool)
        detected[self.gt_index[self.true_positives & above_threshold]] = True
        return detected


class Matcher:
    """Match detections to the objects of their class, at any number of IoU thresholds.

    Args:
        data: Detections and objects.
        overlaps: Overlapping pairs of detections and objects.
        min_iou: Lowest threshold that will be passed to :meth:`match`; pairs with a lower IoU are dropped.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([0]), line_numbers=np.array([1]))
        >>> ships = Detections.from_ids(["P1", "P1"], np.array([0.9, 0.8]), np.vstack([square, square + 1]))
        >>> data = from_task1({"ship": ships}, {"P1": ship}, ["ship"])
        >>> Matcher(data, find_overlaps(data)).match().true_positives.tolist()
        [True, False]
    """

    def __init__(self, data: EvaluationData, overlaps: Overlaps, min_iou: float = 0.5) -> None:
        self.data = data
        same_class = data.detections.labels[overlaps.det_index] == data.objects.labels[overlaps.gt_index]
        pairs = overlaps.take(same_class & (overlaps.ious >= min_iou))
        # The pairs have the order that Candidates requires. They are sorted by detection, and the detections of a class
        # are sorted by descending score.
        self._candidates = Candidates(pairs.det_index, pairs.gt_index, pairs.ious)
        self._best_objects = find_best_objects(pairs.det_index, pairs.gt_index, pairs.ious, len(data.detections))
        self._crowds = frozenset(np.flatnonzero(data.objects.crowd).tolist())

    def match(
        self,
        iou_threshold: float = 0.5,
        *,
        ignored: np.ndarray | None = None,
        counts_if_unmatched: np.ndarray | None = None,
    ) -> Matches:
        """Match all detections.

        Args:
            iou_threshold: IoU threshold.
            ignored: (G,) bool, whether an object is ignored; by default ``data.objects.ignored``.
            counts_if_unmatched: (N,) bool, whether a detection that matches no object is a false positive (True) or
                ignored (False); by default ``data.detections.in_size_range``.
        """
        ignored = self.data.objects.ignored if ignored is None else ignored
        if counts_if_unmatched is None:
            counts_if_unmatched = self.data.detections.in_size_range
        match_by_rule = self._match_coco if self.data.rule.metric == "coco" else self._match_dota
        gt_index, false_positives = match_by_rule(iou_threshold, ignored, counts_if_unmatched)
        matched = np.flatnonzero(gt_index >= 0)
        true_positives = np.zeros(len(gt_index), bool)
        true_positives[matched] = ~ignored[gt_index[matched]]
        return Matches(true_positives, false_positives, gt_index, iou_threshold)

    def _match_dota(
        self, iou_threshold: float, ignored: np.ndarray, counts_if_unmatched: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Match by DOTA's rule: a detection can match only the object with which it has the highest IoU.

        A duplicate is a detection of an object that is already matched. It is always a false positive, even if
        ``counts_if_unmatched`` is False.

        Returns:
            gt_index: (N,) int64, index of the matched object; -1 for none.
            false_positives: (N,) bool.
        """
        # classify_detections calls every unmatched detection false; the last line applies counts_if_unmatched
        _, is_false = classify_detections(self._best_objects, ignored, iou_threshold)
        reaches_object = self._best_objects.max_ious > iou_threshold
        gt_index = np.where(reaches_object & ~is_false, self._best_objects.gt_index, -1)
        is_duplicate = is_false & reaches_object
        return gt_index, is_duplicate | (is_false & counts_if_unmatched)

    def _match_coco(
        self, iou_threshold: float, ignored: np.ndarray, counts_if_unmatched: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Match by COCO's rule: a detection matches the unmatched object with which it has the highest IoU.

        A detection matches an ignored object only if it can match no other object. Any number of detections can match a
        crowd. If the rule has ``best_object_only``, a detection can match only the object with which it has the highest
        IoU. If this object is already matched, the detection matches no object.

        Returns:
            The same arrays as :meth:`_match_dota`.
        """
        best_object_only = self.data.rule.best_object_only
        ordered = order_candidates(self._candidates, ignored, best_object_only=best_object_only)
        gt_index = match_detections(
            ordered, len(self.data.detections), iou_threshold, best_object_only=best_object_only, crowds=self._crowds
        )
        return gt_index, (gt_index < 0) & counts_if_unmatched


def average_precisions(data: EvaluationData, matches: Matches, num_objects: np.ndarray | None = None) -> np.ndarray:
    """Compute the average precision of each class.

    Args:
        data: Detections and objects.
        matches: Matches of the detections.
        num_objects: (C,) number of objects of each class, the denominator of recall; by default ``data.num_objects``.

    Returns:
        (C,) float64, NaN for a class without objects.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([0]), line_numbers=np.array([1]))
        >>> data = from_task1({}, {"P1": ship}, ["ship", "plane"])
        >>> matches = Matcher(data, find_overlaps(data)).match()
        >>> average_precisions(data, matches)
        array([ 0., nan])
    """
    num_objects = data.num_objects if num_objects is None else num_objects
    metric = data.rule.metric
    ap_per_class = [
        average_precision(matches.true_positives[rows], matches.false_positives[rows], int(num_gt), metric)[0]
        for rows, num_gt in zip(data.class_slices, num_objects)
    ]
    return np.array(ap_per_class, dtype=np.float64)
