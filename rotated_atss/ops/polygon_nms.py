"""Group-wise greedy non-maximum suppression of quadrilaterals by their exact IoU. NumPy only."""

from collections.abc import Iterator

import numpy as np

from rotated_atss.ops.greedy_suppression import greedy_keep
from rotated_atss.ops.polygon_iou import polygon_areas, polygon_hbbs, polygon_ious
from rotated_atss.ops.polygon_pairs import iou_upper_bounds, iter_overlapping_pairs, iter_overlapping_pairs_between
from rotated_atss.ops.ragged import chunk_bounds

_BLOCK = 1024  # number of polygons per group that are compared with each other at once
_BATCH_PAIRS = 1 << 24  # maximum number of pairs in a batch of groups
_MARGIN = 1.0 - 1e-9  # if the upper bound of an IoU is below the threshold times this, the exact IoU is not needed


def polygon_nms(
    polygons: np.ndarray, scores: np.ndarray, iou_threshold: float, groups: np.ndarray | None = None
) -> np.ndarray:
    """Perform non-maximum suppression (NMS) on quadrilaterals by their exact IoU.

    NMS iteratively removes lower-scoring polygons whose IoU with a higher-scoring kept polygon of the same group
    exceeds ``iou_threshold``.

    Args:
        polygons: (N, 8) ``x1 y1 ... x4 y4``, any quadrilaterals. Zero-area polygons overlap nothing.
        scores: (N,). Equal scores rank in input order.
        iou_threshold: In [0, 1].
        groups: (N,) int. Polygons of different groups (images, classes) never suppress each other. With None, all
            polygons form one group.

    Returns:
        (K,) int64 indices of the kept polygons in descending order of score.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_nms import polygon_nms
        >>> polygons = np.array([[0.0, 0, 10, 0, 10, 10, 0, 10], [1.0, 0, 11, 0, 11, 10, 1, 10]])
        >>> polygon_nms(polygons, np.array([0.8, 0.9]), 0.5)
        array([1])
    """
    polygons = np.asarray(polygons, dtype=np.float64).reshape(-1, 8)
    groups = np.zeros(len(polygons), dtype=np.int64) if groups is None else np.asarray(groups)
    by_score = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    by_group = by_score[group_order(groups[by_score])]
    kept = np.zeros(len(polygons), dtype=bool)
    for batch in _batches(groups[by_group]):
        rows = by_group[batch]
        kept[rows] = _Suppression(polygons[rows], groups[rows], iou_threshold).run()
    return by_score[kept[by_score]]


def group_order(groups: np.ndarray) -> np.ndarray:
    """Sort group numbers stably, by radix sort if they fit into 16 bits.

    Args:
        groups: (N,) int.

    Returns:
        (N,) int64 indices that sort ``groups``.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_nms import group_order
        >>> group_order(np.array([2, 0, 2, 1]))
        array([1, 3, 0, 2])
    """
    fits_uint16 = len(groups) > 0 and groups.min() >= 0 and groups.max() < 1 << 16
    return np.argsort(groups.astype(np.uint16) if fits_uint16 else groups, kind="stable")


class _Suppression:
    """NMS of rows sorted by group and, within a group, in descending order of score."""

    def __init__(self, polygons: np.ndarray, groups: np.ndarray, iou_threshold: float) -> None:
        self.polygons, self.groups, self.threshold = polygons, groups, iou_threshold
        self.hbbs, self.areas = polygon_hbbs(polygons), polygon_areas(polygons)

    def run(self) -> np.ndarray:
        """Return the (N,) bool mask of kept rows.

        A block holds 1024 consecutive ranks of every group. For each block, first suppression within the block is
        decided, then the kept rows of the block suppress rows of later blocks.
        """
        kept = np.ones(len(self.groups), dtype=bool)
        rank = _rank_in_group(self.groups)
        for low in range(0, int(rank.max(initial=-1)) + 1, _BLOCK):
            block = np.flatnonzero(kept & (rank >= low) & (rank < low + _BLOCK))
            kept[block] = self._kept_within(block)
            later = np.flatnonzero(kept & (rank >= low + _BLOCK))
            if len(later):
                kept[later] = ~self._suppressed_by(block[kept[block]], later)
        return kept

    def _kept_within(self, rows: np.ndarray) -> np.ndarray:
        """Return the (n,) bool mask of ``rows`` that survive suppression among themselves."""
        chunks = []
        for first, second in iter_overlapping_pairs(self.hbbs[rows], self.groups[rows]):
            above = self._exceeds_threshold(rows[first], rows[second])
            chunks.append((first[above].astype(np.int32), second[above].astype(np.int32)))
        if not chunks:
            return np.ones(len(rows), dtype=bool)
        suppressors, suppressed = (np.concatenate(indices) for indices in zip(*chunks))
        return greedy_keep(len(rows), suppressors, suppressed)

    def _suppressed_by(self, kept: np.ndarray, later: np.ndarray) -> np.ndarray:
        """Return the (n,) bool mask of ``later`` rows that a ``kept`` row suppresses."""
        suppressed = np.zeros(len(later), dtype=bool)
        boxes = (self.hbbs[kept], self.groups[kept], self.hbbs[later], self.groups[later])
        for first, second in iter_overlapping_pairs_between(*boxes):
            open_pairs = ~suppressed[second]
            first, second = first[open_pairs], second[open_pairs]
            suppressed[second[self._exceeds_threshold(kept[first], later[second])]] = True
        return suppressed

    def _exceeds_threshold(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the (P,) bool mask of row pairs whose IoU exceeds the threshold."""
        bounds = iou_upper_bounds(self.hbbs[first], self.areas[first], self.hbbs[second], self.areas[second])
        above = bounds > self.threshold * _MARGIN
        above[above] = polygon_ious(self.polygons[first[above]], self.polygons[second[above]]) > self.threshold
        return above


def _rank_in_group(groups: np.ndarray) -> np.ndarray:
    """Return the (N,) position of each row within its group; the rows of a group are contiguous."""
    first = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    lengths = np.diff(np.append(first, len(groups)))
    return np.arange(len(groups)) - np.repeat(first, lengths)


def _batches(groups: np.ndarray) -> Iterator[slice]:
    """Yield batches of whole groups whose pairs fit in memory even if all rows overlap."""
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1])) if len(groups) else np.empty(0, np.int64)
    stops = np.append(starts[1:], len(groups))
    pairs = np.cumsum(np.minimum(stops - starts, _BLOCK) ** 2 // 2)
    for low, high in chunk_bounds(pairs, _BATCH_PAIRS):
        yield slice(int(starts[low]), int(stops[high - 1]))
