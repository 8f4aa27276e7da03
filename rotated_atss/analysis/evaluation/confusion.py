"""Confusion matrix of detection, with background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rotated_atss.analysis.evaluation.data import EvaluationData
from rotated_atss.analysis.evaluation.matching import Matches
from rotated_atss.analysis.evaluation.overlaps import Overlaps

BACKGROUND = "background"


@dataclass(frozen=True)
class Confusion:
    """Confusion matrix over C classes and background.

    Attributes:
        matrix: (C + 1, C + 1) int64. Rows are classes of the objects, columns those of the detections. The last row
            counts detections without an object, the last column objects without a detection.
        detections: (P,) int64, detection of each pair behind the matrix.
        objects: (P,) int64, its object.
    """

    matrix: np.ndarray
    detections: np.ndarray
    objects: np.ndarray


def build_confusion(data: EvaluationData, overlaps: Overlaps, matches: Matches, score_threshold: float) -> Confusion:
    """Pair detections and objects of any classes, and count the pairs by class.

    Pairs are taken in order of descending IoU, each detection and each object once, from all pairs above the IoU
    threshold of ``matches`` and the score threshold. Of equal IoUs, a pair of one class comes first, then the detection
    with the higher score. Objects and detections that the metric ignores are left out. This is the usual rule of
    confusion matrices in detection; unlike the metric it compares the classes, so that the diagonal can be below the
    number of true positives.

    Args:
        data: Detections and objects.
        overlaps: Their pairs.
        matches: Matches of the metric, which give the ignored detections and the IoU threshold.
        score_threshold: Lowest score of a detection that counts.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.matching import Matcher
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> labels = {"P1": Labels(square, ("ship",), np.array([0]), np.array([1]))}
        >>> found = {"plane": Detections.from_ids(["P1"], np.array([0.9]), square)}
        >>> data = from_task1(found, labels, ["ship", "plane"])
        >>> overlaps = find_overlaps(data)
        >>> build_confusion(data, overlaps, Matcher(data, overlaps).match(), 0.5).matrix.tolist()
        [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    """
    detections, objects, background = data.detections, data.objects, len(data.classes)
    counted = (matches.true_positives | matches.false_positives) & (detections.scores >= score_threshold)
    reached = data.reaches(overlaps.ious, matches.iou_threshold)
    pairs = overlaps.take(reached & counted[overlaps.rows] & ~objects.ignored[overlaps.gt_index])
    differs = detections.labels[pairs.rows] != objects.labels[pairs.gt_index]
    order = np.lexsort((pairs.gt_index, pairs.rows, -detections.scores[pairs.rows], differs, -pairs.ious))
    rows, gt_index = _take_once(pairs.rows[order], pairs.gt_index[order])
    matrix = np.zeros((background + 1, background + 1), np.int64)
    np.add.at(matrix, (objects.labels[gt_index], detections.labels[rows]), 1)
    alone = counted.copy()
    alone[rows] = False
    missed = ~objects.ignored
    missed[gt_index] = False
    matrix[background] += np.bincount(detections.labels[alone], minlength=background + 1)
    matrix[:, background] += np.bincount(objects.labels[missed], minlength=background + 1)
    return Confusion(matrix, rows, gt_index)


def _take_once(rows: np.ndarray, gt_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take pairs in order, those whose detection and object are both free."""
    used_rows: set[int] = set()
    used_objects: set[int] = set()
    taken = []
    for index, (row, gt) in enumerate(zip(rows.tolist(), gt_index.tolist())):
        if row not in used_rows and gt not in used_objects:
            used_rows.add(row)
            used_objects.add(gt)
            taken.append(index)
    selection = np.array(taken, dtype=np.int64)
    return rows[selection], gt_index[selection]
