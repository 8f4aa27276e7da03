"""Compute the AP that each kind of error costs: the AP after fixing all errors of this kind, minus the AP before.

Errors are fixed as in TIDE (arXiv 2008.08115, section 2.3). There is no score threshold, because AP has none:

- a classification, localization or angle error becomes a true positive of the object to which it is attributed. If
  several detections then match the object, only the one with the highest score is kept;
- duplicates and false positives on background are removed;
- missed objects are removed from the ground truth. A class without other objects then has an AP of 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rotated_atss.analysis.evaluation.data import EvaluationData
from rotated_atss.analysis.evaluation.error_kinds import (
    EXPLAINING_KINDS,
    KINDS,
    MISSED,
    ErrorKinds,
    find_missed,
)
from rotated_atss.analysis.evaluation.matching import Matches, average_precisions


@dataclass(frozen=True)
class ErrorTable:
    """Counts and costs of the errors of C classes and K kinds. The kinds have the order of :data:`KINDS`.

    Attributes:
        counts: (C, K) int64, number of errors at the score threshold. A false positive is counted for the class
            of the detection, and a missed object for the class of the object.
        costs: (C, K) float64, gain in AP of a class if the errors of a kind were fixed in all classes; NaN for a class
            without objects.
    """

    counts: np.ndarray
    costs: np.ndarray

    @property
    def total_counts(self) -> np.ndarray:
        """Number of errors over all classes, (K,)."""
        return self.counts.sum(axis=0)

    @property
    def mean_costs(self) -> np.ndarray:
        """Gain in mean AP for each kind, (K,); NaN if no class has objects."""
        has_objects = ~np.isnan(self.costs[:, 0])  # a class without objects has NaN in all columns
        costs = self.costs[has_objects]
        return costs.mean(axis=0) if len(costs) else np.full(len(KINDS), np.nan)


def build_error_table(data: EvaluationData, matches: Matches, errors: ErrorKinds, score_threshold: float) -> ErrorTable:
    """Count errors and compute the AP that each kind costs.

    Args:
        data: Detections and objects.
        matches: Matches of the metric.
        errors: Kinds of errors of the detections.
        score_threshold: Lowest score of the counted detections. The costs include all detections, as AP does.

    Example:
        >>> from rotated_atss.analysis.evaluation.error_kinds import find_error_kinds
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.matching import Matcher
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([0]), line_numbers=np.array([1]))
        >>> detections = {"ship": Detections.from_ids(["P1"], np.array([0.9]), square + 4)}
        >>> data = from_task1(detections, {"P1": ship}, ["ship"])
        >>> overlaps = find_overlaps(data)
        >>> matches = Matcher(data, overlaps).match()
        >>> errors = find_error_kinds(data, overlaps, matches)
        >>> table = build_error_table(data, matches, errors, score_threshold=0.5)
        >>> dict(zip(KINDS, table.mean_costs.round(3).tolist()))["localization"]
        1.0
    """
    is_counted = (errors.kind >= 0) & (data.detections.scores >= score_threshold)
    counts = np.zeros((len(data.classes), len(KINDS)), np.int64)
    np.add.at(counts, (data.detections.labels[is_counted], errors.kind[is_counted]), 1)
    missed = find_missed(data, matches, errors, score_threshold)
    counts[:, MISSED] = np.bincount(data.objects.labels[missed], minlength=len(data.classes))
    ap = average_precisions(data, matches)
    fixed_aps = [_ap_after_fixing(data, matches, errors, kind) for kind in range(len(KINDS))]
    return ErrorTable(counts, np.stack([fixed_ap - ap for fixed_ap in fixed_aps], axis=1))


def _ap_after_fixing(data: EvaluationData, matches: Matches, errors: ErrorKinds, kind: int) -> np.ndarray:
    """Return the AP of each class, (C,), after fixing the errors of one kind."""
    if kind == MISSED:
        return _ap_without_missed(data, matches, errors)
    without_errors = replace(matches, false_positives=matches.false_positives & (errors.kind != kind))
    if kind not in EXPLAINING_KINDS:
        # duplicates and false positives on background have no object for which they could become true positives
        return average_precisions(data, without_errors)
    fixed = np.flatnonzero(errors.kind == kind)
    det_index = np.concatenate([np.flatnonzero(matches.true_positives), fixed])
    gt_index = np.concatenate([matches.gt_index[matches.true_positives], errors.target[fixed]])
    # Keep the detection with the highest score per object. If scores are equal, keep the first one: true positives of
    # the metric come before fixed errors.
    scores = data.detections.scores[det_index]
    order = np.lexsort((np.arange(len(det_index)), -scores, gt_index))  # the last key is the primary one
    best = order[np.flatnonzero(np.diff(gt_index[order], prepend=-1))]  # the first position of each object
    return _ap_with_true_positives(data, without_errors, det_index[best], gt_index[best])


def _ap_with_true_positives(
    data: EvaluationData, matches: Matches, det_index: np.ndarray, gt_index: np.ndarray
) -> np.ndarray:
    """Return the AP of each class, (C,), with the given true positives instead of those of the metric.

    Args:
        data: Detections and objects.
        matches: Matches, of which only the false positives are used.
        det_index: (P,) int64, index of each true positive. Its class is replaced with the class of its object.
        gt_index: (P,) int64, index of the object of each true positive.
    """
    detections = data.detections
    labels = detections.labels.copy()
    labels[det_index] = data.objects.labels[gt_index]
    true_positives = np.zeros(len(detections), bool)
    true_positives[det_index] = True
    # restore the order of a detection table: by class, then by descending score
    order = np.lexsort((np.arange(len(labels)), -detections.scores, labels))
    sorted_matches = replace(
        matches, true_positives=true_positives[order], false_positives=matches.false_positives[order]
    )
    # The other columns need not be sorted, because average_precisions reads only the labels of the detections.
    sorted_data = replace(data, detections=replace(detections, labels=labels[order]))
    return average_precisions(sorted_data, sorted_matches)


def _ap_without_missed(data: EvaluationData, matches: Matches, errors: ErrorKinds) -> np.ndarray:
    """Return the AP of each class, (C,), after removing the missed objects from the ground truth."""
    missed = find_missed(data, matches, errors)
    num_remaining = data.num_objects - np.bincount(data.objects.labels[missed], minlength=len(data.classes))
    fixed_ap = average_precisions(data, matches, num_remaining)
    return np.where((num_remaining == 0) & (data.num_objects > 0), 1.0, fixed_ap)
