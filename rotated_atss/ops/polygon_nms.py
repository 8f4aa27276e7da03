"""Group-wise greedy non-maximum suppression of quadrilaterals by their exact IoU, with NumPy only.

:func:`nms_of_shapes` accepts shapes of any kind; :mod:`rotated_atss.ops.box_nms` calls it for oriented boxes.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from rotated_atss.ops.greedy_suppression import greedy_keep
from rotated_atss.ops.polygon_iou import polygon_areas, polygon_hbbs, polygon_ious
from rotated_atss.ops.polygon_pairs import iou_upper_bounds, iter_overlapping_pairs, iter_overlapping_pairs_between
from rotated_atss.ops.ragged import chunk_bounds

# Groups are processed in batches with at most this number of pairs and of shapes. A group that exceeds one of the
# limits forms a batch by itself.
_MAX_BATCH_PAIRS, _MAX_BATCH_SHAPES = 1 << 24, 1 << 17
_MAX_PAIRS_PER_SHAPE = 8  # a batch with more overlapping pairs per shape, on average, is decided block by block
_BLOCK_SIZE = 1024  # number of consecutive shapes of each group that form a block
# The exact IoU is computed if its upper bound exceeds the threshold times this factor. The factor is below 1 because
# the bound is rounded.
_MARGIN = 1.0 - 1e-9


def polygon_nms(
    polygons: np.ndarray, scores: np.ndarray, iou_threshold: float, groups: np.ndarray | None = None
) -> np.ndarray:
    """Perform non-maximum suppression (NMS) on quadrilaterals by their exact IoU.

    A polygon is removed if its IoU with a higher-scoring kept polygon of the same group exceeds ``iou_threshold``.

    Args:
        polygons: (N, 8) ``x1 y1 ... x4 y4``, any quadrilaterals. Zero-area polygons overlap nothing.
        scores: (N,). Polygons with equal scores rank in input order, and polygons with score NaN rank last.
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
    shapes = Shapes(
        polygon_hbbs(polygons),
        polygon_areas(polygons),
        lambda first, second: polygon_ious(polygons[first], polygons[second]),
    )
    return nms_of_shapes(shapes, scores, iou_threshold, groups)


class Shapes(NamedTuple):
    """Shapes of any kind for :func:`nms_of_shapes`.

    Attributes:
        hbbs: (N, 4) circumscribed horizontal boxes ``x_min, y_min, x_max, y_max``, finite.
        areas: (N,) areas of the shapes.
        ious: Function that returns the IoUs (P,) of pairs of shapes, given two index arrays (P,): the first and the
            second shape of each pair.
    """

    hbbs: np.ndarray
    areas: np.ndarray
    ious: Callable[[np.ndarray, np.ndarray], np.ndarray]


def nms_of_shapes(
    shapes: Shapes, scores: np.ndarray, iou_threshold: float, groups: np.ndarray | None = None
) -> np.ndarray:
    """Perform group-wise non-maximum suppression (NMS) on shapes of any kind.

    Args:
        shapes: N shapes.
        scores: (N,), see :func:`polygon_nms`.
        iou_threshold: In [0, 1].
        groups: (N,) int or None, see :func:`polygon_nms`.

    Returns:
        (K,) int64 indices of the kept shapes in descending order of score.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_nms import Shapes, nms_of_shapes
        >>> hbbs = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10]])
        >>> shapes = Shapes(hbbs, np.array([100.0, 100]), lambda first, second: np.full(len(first), 90 / 110))
        >>> nms_of_shapes(shapes, np.array([0.8, 0.9]), 0.5)
        array([1])
    """
    groups = np.zeros(len(shapes.areas), dtype=np.int64) if groups is None else np.asarray(groups)
    by_score = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    by_group = by_score[group_order(groups[by_score])]  # by group, then in descending order of score
    kept = np.zeros(len(groups), dtype=bool)
    for batch in _batches(groups[by_group]):
        rows = by_group[batch]
        kept[rows] = _Suppression(shapes, rows, groups[rows], iou_threshold).run()
    return by_score[kept[by_score]]


def group_order(groups: np.ndarray) -> np.ndarray:
    """Return the indices that sort group numbers; equal numbers keep their order.

    Numbers that fit into 16 bits are sorted by radix sort, which is faster.

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
    """NMS of a batch of shapes, sorted by group and, within a group, in descending order of score.

    Args:
        shapes: All shapes.
        rows: (N,) indices of the batch's shapes in the order above. The methods number these shapes from 0 to N - 1.
        groups: (N,) group of each shape of the batch.
        iou_threshold: In [0, 1].
    """

    def __init__(self, shapes: Shapes, rows: np.ndarray, groups: np.ndarray, iou_threshold: float) -> None:
        self.hbbs, self.areas, self.groups = shapes.hbbs[rows], shapes.areas[rows], groups
        self.threshold = iou_threshold
        self._ious, self._rows = shapes.ious, rows

    def run(self) -> np.ndarray:
        """Return the (N,) bool mask of kept shapes."""
        kept = self._kept_within(np.arange(len(self.groups)), max_pairs=_MAX_PAIRS_PER_SHAPE * len(self.groups))
        return self._run_in_blocks() if kept is None else kept

    def _run_in_blocks(self) -> np.ndarray:
        """Return the mask of :meth:`run`. Shapes suppressed in earlier blocks are not compared again.

        This saves time in crowded batches, where most shapes are suppressed. A block consists of ``_BLOCK_SIZE``
        consecutive ranks of every group. Per block, suppression within the block is decided first, then the kept shapes
        of the block suppress shapes of later blocks.
        """
        kept = np.ones(len(self.groups), dtype=bool)  # not suppressed so far
        rank = _rank_in_group(self.groups)
        for low in range(0, int(rank.max(initial=-1)) + 1, _BLOCK_SIZE):
            block = np.flatnonzero(kept & (rank >= low) & (rank < low + _BLOCK_SIZE))
            kept[block] = self._kept_within(block)
            later = np.flatnonzero(kept & (rank >= low + _BLOCK_SIZE))
            if len(later):
                kept[later] = ~self._suppressed_by(block[kept[block]], later)
        return kept

    def _kept_within(self, members: np.ndarray, max_pairs: float = math.inf) -> np.ndarray | None:
        """Return the (n,) bool mask of the shapes ``members`` (n,) that survive suppression among themselves.

        Returns None if there are more than ``max_pairs`` pairs of shapes whose horizontal boxes overlap.
        """
        num_pairs, chunks = 0, []
        for first, second in iter_overlapping_pairs(self.hbbs[members], self.groups[members]):
            num_pairs += len(first)
            if num_pairs > max_pairs:
                return None
            above = self._exceeds_threshold(members[first], members[second])
            chunks.append((first[above].astype(np.int32), second[above].astype(np.int32)))
        if not chunks:
            return np.ones(len(members), dtype=bool)
        # In each pair, first < second. Members of a group are sorted by descending score, so only the first shape of a
        # pair can suppress the second one.
        suppressors, suppressed = (np.concatenate(indices) for indices in zip(*chunks))
        return greedy_keep(len(members), suppressors, suppressed)

    def _suppressed_by(self, suppressors: np.ndarray, later: np.ndarray) -> np.ndarray:
        """Return the (n,) bool mask of the shapes ``later`` (n,) that one of the shapes ``suppressors`` suppresses."""
        suppressed = np.zeros(len(later), dtype=bool)
        suppressor_boxes, suppressor_groups = self.hbbs[suppressors], self.groups[suppressors]
        later_boxes, later_groups = self.hbbs[later], self.groups[later]
        for first, second in iter_overlapping_pairs_between(
            suppressor_boxes, suppressor_groups, later_boxes, later_groups
        ):
            is_undecided = ~suppressed[second]
            first, second = first[is_undecided], second[is_undecided]
            suppressed[second[self._exceeds_threshold(suppressors[first], later[second])]] = True
        return suppressed

    def _exceeds_threshold(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the (P,) bool mask of pairs whose IoU exceeds the threshold."""
        bounds = iou_upper_bounds(self.hbbs[first], self.areas[first], self.hbbs[second], self.areas[second])
        above = bounds > self.threshold * _MARGIN
        (pairs,) = np.nonzero(above)  # the pairs whose exact IoU is needed
        above[pairs] = self._ious(self._rows[first[pairs]], self._rows[second[pairs]]) > self.threshold
        return above


def _rank_in_group(groups: np.ndarray) -> np.ndarray:
    """Return the (N,) position of each element within its group; the elements of a group are contiguous."""
    first = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    lengths = np.diff(np.append(first, len(groups)))
    return np.arange(len(groups)) - np.repeat(first, lengths)


def _batches(groups: np.ndarray) -> Iterator[slice]:
    """Split sorted group numbers (N,) into batches of whole groups that fit in memory even if all shapes overlap."""
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1])) if len(groups) else np.empty(0, np.int64)
    stops = np.append(starts[1:], len(groups))
    group_sizes = stops - starts
    pairs_in_block = np.minimum(group_sizes, _BLOCK_SIZE) ** 2 // 2
    # Counting a minimum number of pairs per shape also limits a batch to _MAX_BATCH_SHAPES shapes.
    min_pairs_per_shape = _MAX_BATCH_PAIRS // _MAX_BATCH_SHAPES
    cost = np.maximum(pairs_in_block, group_sizes * min_pairs_per_shape)
    for first_group, end_group in chunk_bounds(np.cumsum(cost), _MAX_BATCH_PAIRS):
        yield slice(int(starts[first_group]), int(stops[end_group - 1]))
