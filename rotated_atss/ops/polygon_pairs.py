"""Which polygons can overlap at all: pairs of circumscribed boxes that share area, found by a sweep along one axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

_CANDIDATES = 1 << 18  # candidate pairs expanded at once: their temporaries stay in the cache

Pairs = tuple[np.ndarray, np.ndarray]


def overlapping_pairs(hbbs: np.ndarray, groups: np.ndarray) -> Pairs:
    """All pairs of boxes of one group that share area.

    Args:
        hbbs: (N, 4) x_min, y_min, x_max, y_max.
        groups: (N,) int; boxes of different groups never meet.

    Returns:
        i, j: (P,) int64 each, i < j, every pair once.
    """
    return _concatenate(list(iter_overlapping_pairs(hbbs, groups)))


def iter_overlapping_pairs(hbbs: np.ndarray, groups: np.ndarray) -> Iterator[Pairs]:
    """``overlapping_pairs`` in pieces of bounded size, for callers who keep only a few of the pairs."""
    side = _sorted_side(hbbs, groups, *_sweep_keys(hbbs, groups))
    stops = np.searchsorted(side.low, side.high, side="right")
    for rows, columns in _expand(np.arange(1, len(hbbs) + 1), stops):
        first, second = _meeting(side, rows, side, columns)
        yield np.minimum(first, second), np.maximum(first, second)


def overlapping_pairs_between(hbbs1: np.ndarray, groups1: np.ndarray, hbbs2: np.ndarray, groups2: np.ndarray) -> Pairs:
    """All pairs of a box of either set that share area and the group: i, j, (P,) int64 each."""
    return _concatenate(list(iter_overlapping_pairs_between(hbbs1, groups1, hbbs2, groups2)))


def iter_overlapping_pairs_between(
    hbbs1: np.ndarray, groups1: np.ndarray, hbbs2: np.ndarray, groups2: np.ndarray
) -> Iterator[Pairs]:
    """``overlapping_pairs_between`` in pieces of bounded size."""
    low, high, axis = _sweep_keys(np.concatenate([hbbs1, hbbs2]), np.concatenate([groups1, groups2]))
    split = len(hbbs1)
    side1 = _sorted_side(hbbs1, groups1, low[:split], high[:split], axis)
    side2 = _sorted_side(hbbs2, groups2, low[split:], high[split:], axis)
    # Of two that meet, the later begins inside the earlier; of two that begin together, the first set's is the earlier.
    starts2 = np.searchsorted(side2.low, side1.low, side="left")
    stops2 = np.searchsorted(side2.low, side1.high, side="right")
    starts1 = np.searchsorted(side1.low, side2.low, side="right")
    stops1 = np.searchsorted(side1.low, side2.high, side="right")
    earlier_second = ((columns, rows) for rows, columns in _expand(starts1, stops1))
    for rows, columns in chain(_expand(starts2, stops2), earlier_second):
        yield _meeting(side1, rows, side2, columns)


def iou_upper_bounds(hbbs1: np.ndarray, areas1: np.ndarray, hbbs2: np.ndarray, areas2: np.ndarray) -> np.ndarray:
    """(N,) what the IoU of aligned polygons cannot exceed, going by their circumscribed boxes and areas."""
    sides = np.minimum(hbbs1[:, 2:], hbbs2[:, 2:]) - np.maximum(hbbs1[:, :2], hbbs2[:, :2])
    shared = np.maximum(sides[:, 0], 0.0) * np.maximum(sides[:, 1], 0.0)
    union = areas1 + areas2 - shared
    return np.divide(shared, union, out=np.full(len(shared), np.inf), where=union > 0)


# -- inside ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Side:
    """One set of boxes in the order in which the sweep meets them: neighbours in the arrays are neighbours there."""

    order: np.ndarray  # (N,) int64, the rows as the caller numbers them
    low: np.ndarray  # (N,) rising
    high: np.ndarray
    near: np.ndarray  # (N,) where the boxes begin along the other axis
    far: np.ndarray  # (N,) and end
    hbbs: np.ndarray  # (N, 4) of the caller
    groups: np.ndarray  # (N,) of the caller


def _sorted_side(hbbs: np.ndarray, groups: np.ndarray, low: np.ndarray, high: np.ndarray, axis: int) -> _Side:
    order = np.argsort(low, kind="stable")
    across = 1 - axis
    return _Side(order, low[order], high[order], hbbs[order, across], hbbs[order, across + 2], hbbs, groups)


def _meeting(side1: _Side, rows: np.ndarray, side2: _Side, columns: np.ndarray) -> Pairs:
    """The pairs of those candidates that share area and group, as the caller numbers them."""
    near = (side1.near[rows] < side2.far[columns]) & (side2.near[columns] < side1.far[rows])  # leaves few
    first, second = side1.order[rows[near]], side2.order[columns[near]]
    box1, box2 = side1.hbbs[first].T, side2.hbbs[second].T
    meet = np.minimum(box1[2], box2[2]) > np.maximum(box1[0], box2[0])
    meet &= np.minimum(box1[3], box2[3]) > np.maximum(box1[1], box2[1])
    meet &= side1.groups[first] == side2.groups[second]
    return first[meet], second[meet]


def _sweep_keys(hbbs: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """(N,) low, high: every box's interval on one line, all groups side by side, along the axis that separates better;
    and that axis.

    Adding a group's offset may round, but never turns an order round, so no overlap is lost; the pairs are checked
    again exactly.
    """
    if not len(hbbs):
        return np.empty(0), np.empty(0), 0
    extent = hbbs[:, 2:] - hbbs[:, :2]
    span = hbbs[:, 2:].max(axis=0) - hbbs[:, :2].min(axis=0)
    axis = int(np.argmin(extent.mean(axis=0) / np.maximum(span, 1e-300)))
    offsets = groups * (span[axis] + 1.0) - hbbs[:, axis].min()
    return hbbs[:, axis] + offsets, hbbs[:, axis + 2] + offsets, axis


def _expand(starts: np.ndarray, stops: np.ndarray) -> Iterator[Pairs]:
    """Every (row, column) with starts[row] <= column < stops[row], some rows at a time; one row is never cut."""
    counts = np.maximum(stops - starts, 0)
    totals = np.cumsum(counts)
    low = 0
    while low < len(counts):
        done = totals[low - 1] if low else 0
        high = max(int(np.searchsorted(totals, done + _CANDIDATES, side="right")), low + 1)
        some = counts[low:high]
        rows = np.repeat(np.arange(low, high), some)
        columns = np.arange(len(rows)) + np.repeat(starts[low:high] - (totals[low:high] - some - done), some)
        yield rows, columns
        low = high


def _concatenate(pieces: list[Pairs]) -> Pairs:
    if not pieces:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    first, second = zip(*pieces)
    return np.concatenate(first), np.concatenate(second)
