"""Select detections from the outputs of an exported graph for one image, with NumPy only.

:mod:`rotated_atss.ops.candidates` does the same in torch, for whole batches on any device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rotated_atss.checkpoints.model_info import Thresholds
from rotated_atss.ops.box_nms import box_nms


def best_candidates(
    scores: np.ndarray, level_sizes: Sequence[int], score_thr: float, nms_pre: int, ranking: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Select the highest-scoring (prior, class) pairs of each level.

    Args:
        scores: (A, C) scores of A priors for C classes, level after level.
        level_sizes: Number of priors per level; their sum is A.
        score_thr: Only pairs with a score above this value are selected.
        nms_pre: Maximum number of pairs kept per level; all if not positive.
        ranking: (A, C) scores that rank the pairs above the threshold, instead of ``scores``. NaN ranks last.

    Returns:
        Indices of the priors (N,) and of the classes (N,), sorted by level and descending ``ranking``. Pairs of equal
        value in ``ranking`` are in the order of the priors, then of the classes.

    Example:
        >>> import numpy as np
        >>> scores = np.array([[0.9, 0.1], [0.3, 0.8], [0.6, 0.0]])  # 3 priors, 2 classes
        >>> best_candidates(scores, level_sizes=[2, 1], score_thr=0.2, nms_pre=2)
        (array([0, 1, 2]), array([0, 1, 0]))
    """
    ranking = scores if ranking is None else ranking
    selected = []
    stop = 0
    for size in level_sizes:
        start, stop = stop, stop + size
        pairs = np.flatnonzero(scores[start:stop] > score_thr)  # prior * C + class, within the level
        best = _top_indices(ranking[start:stop].ravel()[pairs], nms_pre)
        selected.append(pairs[best] + start * scores.shape[1])
    prior_index, labels = np.divmod(np.concatenate(selected), scores.shape[1])
    return prior_index, labels


def _top_indices(values: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the ``count`` highest values, in descending order; of all values if ``count`` <= 0."""
    negated, indices = -values, np.arange(len(values))  # negated, because NumPy sorts in ascending order with NaN last
    if 0 < count < len(values):  # drop low values first, because sorting is slow
        limit = np.partition(negated, count - 1)[count - 1]
        indices = np.flatnonzero(~(negated > limit))  # at least ``count``: includes NaN and ties with the limit
    indices = indices[np.argsort(negated[indices], kind="stable")]
    return indices[:count] if count > 0 else indices


def suppress_candidates(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, thresholds: Thresholds
) -> np.ndarray:
    """Apply class-wise NMS to the candidates of an image, and keep the highest-scoring detections.

    Args:
        boxes: (N, 5) ``cx, cy, w, h, angle`` in pixels and radians.
        scores: (N,).
        labels: (N,) class indices.
        thresholds: Only ``nms_iou`` (IoU threshold) and ``max_per_image`` are used.

    Returns:
        (K,) indices of the kept boxes in descending order of score; equal scores are in input order.

    Example:
        >>> boxes, scores = np.array([[10.0, 10, 8, 4, 0]] * 2), np.array([0.5, 0.75])
        >>> thresholds = Thresholds(score=0.05, nms_iou=0.1, nms_pre=2000, max_per_image=100, merge_iou=0.1)
        >>> suppress_candidates(boxes, scores, np.array([1, 1]), thresholds)
        array([1])
    """
    return box_nms(boxes, scores, thresholds.nms_iou, groups=labels)[: thresholds.max_per_image]
