"""Non-maximum suppression of quadrilaterals by their exact IoU."""

from collections.abc import Iterator

import numpy as np

from rotated_atss.ops.polygon_iou import polygon_areas, polygon_hbbs, polygon_ious
from rotated_atss.ops.polygon_pairs import iou_upper_bounds, iter_overlapping_pairs, iter_overlapping_pairs_between

_BLOCK = 1024  # detections of one group that are compared with each other at once
_BATCH_PAIRS = 1 << 24  # most pairs that a batch of groups can hold at once
_ROUNDS = 64  # after so many rounds the rest is a long chain, which a plain scan follows faster
_MARGIN = 1.0 - 1e-9  # a bound this much below the threshold needs no exact IoU


def polygon_nms(
    polygons: np.ndarray, scores: np.ndarray, iou_threshold: float, groups: np.ndarray | None = None
) -> np.ndarray:
    """Greedy NMS: a detection goes when its IoU with a kept one of a higher score, in its group, is above the
    threshold.

    Args:
        polygons: (N, 8), any quadrilaterals; one without area overlaps nothing and stays.
        scores: (N,).
        iou_threshold: In [0, 1].
        groups: (N,) int, images or classes that do not touch each other; None means one group.

    Returns:
        (K,) int64 indices of the kept, in falling score order, equal scores in input order.
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
    """(N,) stable order of group numbers; few of them are sorted by radix, many times faster."""
    few = len(groups) > 0 and groups.min() >= 0 and groups.max() < 1 << 16
    return np.argsort(groups.astype(np.uint16) if few else groups, kind="stable")


class _Suppression:
    """NMS of rows that lie group by group, each group in falling score order."""

    def __init__(self, polygons: np.ndarray, groups: np.ndarray, iou_threshold: float) -> None:
        self.polygons, self.groups, self.threshold = polygons, groups, iou_threshold
        self.hbbs, self.areas = polygon_hbbs(polygons), polygon_areas(polygons)

    def run(self) -> np.ndarray:
        """(N,) bool, the kept: each group's best are settled, what they suppress goes, then the next best follow."""
        alive = np.ones(len(self.groups), dtype=bool)
        rank = _rank_in_group(self.groups)
        for low in range(0, int(rank.max(initial=-1)) + 1, _BLOCK):
            block = np.flatnonzero(alive & (rank >= low) & (rank < low + _BLOCK))
            alive[block] = self._settle(block)
            later = np.flatnonzero(alive & (rank >= low + _BLOCK))
            if len(later):
                alive[later] = ~self._hit(block[alive[block]], later)
        return alive

    def _settle(self, rows: np.ndarray) -> np.ndarray:
        """(n,) bool, the kept among ``rows``."""
        pieces = []
        for first, second in iter_overlapping_pairs(self.hbbs[rows], self.groups[rows]):
            above = self._above(rows[first], rows[second])
            pieces.append((first[above].astype(np.int32), second[above].astype(np.int32)))
        first, second = (np.concatenate(side) for side in zip(*pieces)) if pieces else (np.empty(0, np.int32),) * 2
        return greedy(len(rows), first, second)

    def _hit(self, kept: np.ndarray, later: np.ndarray) -> np.ndarray:
        """(n,) bool, those of ``later`` that one of ``kept`` suppresses."""
        hit = np.zeros(len(later), dtype=bool)
        sides = (self.hbbs[kept], self.groups[kept], self.hbbs[later], self.groups[later])
        for first, second in iter_overlapping_pairs_between(*sides):
            open_pairs = ~hit[second]
            first, second = first[open_pairs], second[open_pairs]
            hit[second[self._above(kept[first], later[second])]] = True
        return hit

    def _above(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(P,) bool, whether the IoU of the two rows is above the threshold."""
        bounds = iou_upper_bounds(self.hbbs[first], self.areas[first], self.hbbs[second], self.areas[second])
        above = bounds > self.threshold * _MARGIN
        above[above] = polygon_ious(self.polygons[first[above]], self.polygons[second[above]]) > self.threshold
        return above


def greedy(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(count,) bool, the kept, where ``first[p]`` suppresses ``second[p]`` if it is itself kept; first < second
    everywhere.

    In rounds: what nothing undecided can suppress is kept, what a newly kept one suppresses is out.
    """
    undecided, kept = np.ones(count, dtype=bool), np.zeros(count, dtype=bool)
    for _ in range(_ROUNDS):
        if not len(first):
            break
        threatened = np.zeros(count, dtype=bool)
        threatened[second] = True
        safe = undecided & ~threatened
        kept |= safe
        undecided &= threatened
        undecided[second[safe[first]]] = False
        open_pairs = undecided[first] & undecided[second]
        first, second = first[open_pairs], second[open_pairs]
    _scan(undecided, first, second)
    return kept | undecided


def _scan(undecided: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    """Clear, in rising order, what each undecided one suppresses."""
    order = np.argsort(first, kind="stable")
    first, second = first[order], second[order]
    heads, starts = np.unique(first, return_index=True)
    stops = [*starts[1:].tolist(), len(first)]
    for head, start, stop in zip(heads.tolist(), starts.tolist(), stops):
        if undecided[head]:
            undecided[second[start:stop]] = False


def _rank_in_group(groups: np.ndarray) -> np.ndarray:
    """(N,) position within the group, where equal groups stand together."""
    first = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    lengths = np.diff(np.append(first, len(groups)))
    return np.arange(len(groups)) - np.repeat(first, lengths)


def _batches(groups: np.ndarray) -> Iterator[slice]:
    """Whole groups at a time, so that the pairs of a batch fit in memory even where everything overlaps."""
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1])) if len(groups) else np.empty(0, np.int64)
    stops = np.append(starts[1:], len(groups))
    pairs = np.cumsum(np.minimum(stops - starts, _BLOCK) ** 2 // 2)
    low = 0
    while low < len(starts):
        done = pairs[low - 1] if low else 0
        high = max(int(np.searchsorted(pairs, done + _BATCH_PAIRS, side="right")), low + 1)
        yield slice(int(starts[low]), int(stops[high - 1]))
        low = high
