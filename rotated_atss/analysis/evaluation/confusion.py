"""Compute the confusion matrix of a detector, with an extra row and column for background."""

from __future__ import annotations

from collections.abc import Sequence
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
        matrix: (C + 1, C + 1) int64. Rows are classes of objects, columns are classes of detections. The last row
            counts detections without an object, and the last column counts objects without a detection.
        det_index: (P,) int64, index of the detection in each of the P pairs of a detection and an object.
        gt_index: (P,) int64, index of the object in each pair.
    """

    matrix: np.ndarray
    det_index: np.ndarray
    gt_index: np.ndarray


def matrix_names(classes: Sequence[str]) -> list[str]:
    """Return the names of the rows and columns: the classes and ``background``.

    If a class is named ``background``, the extra name is put in parentheses, so that all names differ.

    Example:
        >>> matrix_names(["ship"]), matrix_names(["ship", "background"])
        (['ship', 'background'], ['ship', 'background', '(background)'])
    """
    background = BACKGROUND
    while background in classes:
        background = f"({background})"
    return [*classes, background]


def build_confusion(data: EvaluationData, overlaps: Overlaps, matches: Matches, score_threshold: float) -> Confusion:
    """Pair each object with at most one detection of any class, and count the pairs by class.

    All pairs that reach the IoU threshold are visited in order of descending IoU. A pair is counted unless
    its detection or its object is already in a counted pair. Among pairs with equal IoU, pairs of the same class come
    first, then pairs with the higher score. Detections below the score threshold, and objects and detections that the
    metric ignores, are left out.

    Confusion matrices of detectors usually follow this rule. The metric, in contrast, pairs detections only with
    objects of their class. Here, an object can be paired with a detection of another class, so the diagonal can be
    lower than the number of true positives.

    Args:
        data: Detections and objects.
        overlaps: Overlapping pairs of detections and objects.
        matches: Matches of the metric. They contain the ignored detections and the IoU threshold.
        score_threshold: Detections with lower scores are left out.

    Example:
        >>> from rotated_atss.analysis.evaluation.from_task1 import from_task1
        >>> from rotated_atss.analysis.evaluation.matching import Matcher
        >>> from rotated_atss.analysis.evaluation.overlaps import find_overlaps
        >>> from rotated_atss.dota.detections import Detections
        >>> from rotated_atss.dota.labels import Labels
        >>> square = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10]])
        >>> ship = Labels(polygons=square, names=("ship",), difficult=np.array([0]), line_numbers=np.array([1]))
        >>> detections = {"plane": Detections.from_ids(["P1"], np.array([0.9]), square)}
        >>> data = from_task1(detections, {"P1": ship}, ["ship", "plane"])
        >>> overlaps = find_overlaps(data)
        >>> matches = Matcher(data, overlaps).match()
        >>> build_confusion(data, overlaps, matches, 0.5).matrix.tolist()  # one ship, detected as a plane
        [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    """
    detections, objects = data.detections, data.objects
    # a detection that is neither a true nor a false positive is ignored by the metric
    is_used = (matches.true_positives | matches.false_positives) & (detections.scores >= score_threshold)
    reaches_threshold = data.reaches(overlaps.ious, matches.iou_threshold)
    both_used = is_used[overlaps.det_index] & ~objects.ignored[overlaps.gt_index]
    pairs = overlaps.take(reaches_threshold & both_used)
    scores = detections.scores[pairs.det_index]
    class_differs = detections.labels[pairs.det_index] != objects.labels[pairs.gt_index]
    order = np.lexsort((pairs.gt_index, pairs.det_index, -scores, class_differs, -pairs.ious))  # last key is primary
    det_index, gt_index = _select_disjoint_pairs(pairs.det_index[order], pairs.gt_index[order])

    num_rows = len(data.classes) + 1
    matrix = np.zeros((num_rows, num_rows), np.int64)
    np.add.at(matrix, (objects.labels[gt_index], detections.labels[det_index]), 1)
    unpaired_detections = is_used.copy()
    unpaired_detections[det_index] = False
    unpaired_objects = ~objects.ignored
    unpaired_objects[gt_index] = False
    matrix[-1] += np.bincount(detections.labels[unpaired_detections], minlength=num_rows)
    matrix[:, -1] += np.bincount(objects.labels[unpaired_objects], minlength=num_rows)
    return Confusion(matrix, det_index, gt_index)


def _select_disjoint_pairs(det_index: np.ndarray, gt_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Select pairs greedily, in their order, so that each detection and each object is in at most one pair."""
    used_detections: set[int] = set()
    used_objects: set[int] = set()
    selected = []
    for pair_index, (det, gt) in enumerate(zip(det_index.tolist(), gt_index.tolist())):
        if det not in used_detections and gt not in used_objects:
            used_detections.add(det)
            used_objects.add(gt)
            selected.append(pair_index)
    selection = np.array(selected, dtype=np.int64)
    return det_index[selection], gt_index[selection]
