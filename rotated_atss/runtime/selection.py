"""Select detections from the outputs of an exported graph for one image, with NumPy only.

:mod:`rotated_atss.ops.candidates` is the implementation in torch, for whole batches on any device.
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
        scores: (A, C) scores of A priors for C classes. The priors of each level are contiguous.
        level_sizes: Number of priors per level; their sum is A.
        score_thr: Only pairs with a score above this value are selected.
        nms_pre: Maximum number of selected pairs per level. If it is 0 or negative, there is no maximum.
        ranking: (A, C) values by which the pairs above the threshold are ranked; None for ``scores``. MMDetection's
            ATSS head, for example, ranks by the class score, but the final score also contains the centerness. NaN
            ranks last.

    Returns:
        Indices of the priors (N,) and of the classes (N,) of the selected pairs. The pairs are sorted by level, then by
        descending value in ``ranking``. Pairs of a level with equal values are in the order of the priors, then of the
        classes.

    Example:
        >>> import numpy as np
        >>> scores = np.array([[0.9, 0.1], [0.3, 0.8], [0.6, 0.0]])  # 3 priors, 2 classes
        >>> best_candidates(scores, level_sizes=[2, 1], score_thr=0.2, nms_pre=2)
        (array([0, 1, 2]), array([0, 1, 0]))
    """
    ranking = scores if ranking is None else ranking
    num_classes = scores.shape[1]
    selected = []
    stop = 0
    for size in level_sizes:
        start, stop = stop, stop + size
        # A pair is represented by one integer, prior * C + class, where priors are counted from the start of the level.
        pairs = np.flatnonzero(scores[start:stop] > score_thr)
        best = _top_indices(ranking[start:stop].ravel()[pairs], nms_pre)
        selected.append(start * num_classes + pairs[best])  # with priors counted from the first level
    prior_index, labels = np.divmod(np.concatenate(selected), num_classes)
    return prior_index, labels


def _top_indices(values: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the ``count`` highest values in descending order of the values.

    If ``count`` <= 0, the indices of all values are returned. NaN counts as lower than any number.
    """
    negated = -values  # NumPy sorts in ascending order, with NaN last
    indices = np.arange(len(values))
    if 0 < count < len(values):  # to save time, low values are dropped before sorting
        limit = np.partition(negated, count - 1)[count - 1]  # the negated count-th highest value
        is_low = negated > limit  # False for NaN
        # At least ``count`` values remain. There can be more, because values equal to the limit and NaN remain as well.
        indices = np.flatnonzero(~is_low)
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
        >>> boxes = np.array([[10.0, 10, 8, 4, 0], [10.0, 10, 8, 4, 0]])  # equal boxes of the same class
        >>> scores, labels = np.array([0.5, 0.75]), np.array([1, 1])
        >>> thresholds = Thresholds(score=0.05, nms_iou=0.1, nms_pre=2000, max_per_image=100, merge_iou=0.1)
        >>> suppress_candidates(boxes, scores, labels, thresholds)
        array([1])
    """
    return box_nms(boxes, scores, thresholds.nms_iou, groups=labels)[: thresholds.max_per_image]
