"""Broad phase of polygon operations: a fast search for pairs whose circumscribed boxes share area. NumPy only.

The search is a sweep along x or y, whichever separates the boxes better. :mod:`rotated_atss.ops.box_pairs` is the
counterpart for torch tensors; its docstring gives the reasons for two searches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from rotated_atss.ops.ragged import expand_ranges

_PAIRS_PER_CHUNK = 1 << 18  # the temporaries of a chunk stay in the cache

Pairs = tuple[np.ndarray, np.ndarray]


def iter_overlapping_pairs(hbbs: np.ndarray, groups: np.ndarray) -> Iterator[Pairs]:
    """Yield, in chunks, all pairs of boxes of one group that share area.

    Args:
        hbbs: (N, 4) ``x_min, y_min, x_max, y_max``.
        groups: (N,) int. Boxes of different groups never pair.

    Yields:
        (P,) int64 indices of the first and of the second box, first < second. Every pair occurs once.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_pairs import iter_overlapping_pairs
        >>> hbbs = np.array([[0.0, 0, 4, 4], [4, 0, 8, 4], [3, 3, 6, 6]])
        >>> [(i.tolist(), j.tolist()) for i, j in iter_overlapping_pairs(hbbs, np.zeros(3, dtype=int))]
        [([0, 1], [2, 2])]
    """
    boxes = _sort_boxes(hbbs, groups, *_sweep_keys(hbbs, groups))
    stops = np.searchsorted(boxes.low, boxes.high, side="right")
    for rows1, rows2 in expand_ranges(np.arange(1, len(hbbs) + 1), stops, _PAIRS_PER_CHUNK):
        first, second = _overlapping(boxes, rows1, boxes, rows2)
        yield np.minimum(first, second), np.maximum(first, second)


def iter_overlapping_pairs_between(
    hbbs1: np.ndarray, groups1: np.ndarray, hbbs2: np.ndarray, groups2: np.ndarray
) -> Iterator[Pairs]:
    """Yield, in chunks, all pairs of a box of the first set and a box of the second that share area and group.

    Args:
        hbbs1: (N, 4) ``x_min, y_min, x_max, y_max``.
        groups1: (N,) int.
        hbbs2: (M, 4).
        groups2: (M,) int.

    Yields:
        (P,) int64 indices into the first and into the second set. Every pair occurs once.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_pairs import iter_overlapping_pairs_between
        >>> first, second = np.array([[0.0, 0, 4, 4]]), np.array([[5.0, 0, 9, 4], [3, 3, 6, 6]])
        >>> chunks = iter_overlapping_pairs_between(first, np.zeros(1, int), second, np.zeros(2, int))
        >>> [(i.tolist(), j.tolist()) for i, j in chunks if len(i)]
        [([0], [1])]
    """
    low, high, axis = _sweep_keys(np.concatenate([hbbs1, hbbs2]), np.concatenate([groups1, groups2]))
    split = len(hbbs1)
    sorted1 = _sort_boxes(hbbs1, groups1, low[:split], high[:split], axis)
    sorted2 = _sort_boxes(hbbs2, groups2, low[split:], high[split:], axis)
    # Of two overlapping boxes, one begins inside the interval of the other on the sweep axis. The first search finds
    # pairs in which the box of the second set does (also if both begin together), the second search finds the others.
    starts2 = np.searchsorted(sorted2.low, sorted1.low, side="left")
    stops2 = np.searchsorted(sorted2.low, sorted1.high, side="right")
    starts1 = np.searchsorted(sorted1.low, sorted2.low, side="right")
    stops1 = np.searchsorted(sorted1.low, sorted2.high, side="right")
    second_begins_inside = expand_ranges(starts2, stops2, _PAIRS_PER_CHUNK)
    first_begins_inside = ((rows1, rows2) for rows2, rows1 in expand_ranges(starts1, stops1, _PAIRS_PER_CHUNK))
    for rows1, rows2 in chain(second_begins_inside, first_begins_inside):
        yield _overlapping(sorted1, rows1, sorted2, rows2)


def iou_upper_bounds(hbbs1: np.ndarray, areas1: np.ndarray, hbbs2: np.ndarray, areas2: np.ndarray) -> np.ndarray:
    """Bound the IoU of aligned polygons from above by their circumscribed boxes and their areas.

    Args:
        hbbs1: (N, 4) ``x_min, y_min, x_max, y_max``.
        areas1: (N,) areas of the polygons, not of the boxes.
        hbbs2: (N, 4).
        areas2: (N,).

    Returns:
        (N,), infinity if the bound is undefined.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.polygon_pairs import iou_upper_bounds
        >>> hbbs = np.array([[0.0, 0, 4, 4]]), np.array([[2.0, 0, 6, 4]])
        >>> iou_upper_bounds(hbbs[0], np.array([16.0]), hbbs[1], np.array([16.0])).round(4)
        array([0.3333])
    """
    sides = np.minimum(hbbs1[:, 2:], hbbs2[:, 2:]) - np.maximum(hbbs1[:, :2], hbbs2[:, :2])
    shared = np.maximum(sides[:, 0], 0.0) * np.maximum(sides[:, 1], 0.0)
    union = areas1 + areas2 - shared
    return np.divide(shared, union, out=np.full(len(shared), np.inf), where=union > 0)


@dataclass(frozen=True)
class _SortedBoxes:
    """A set of boxes, sorted along the sweep axis."""

    order: np.ndarray  # (N,) int64 indices into hbbs and groups, which sort the boxes by low
    low: np.ndarray  # (N,) ascending start on the sweep axis
    high: np.ndarray  # (N,) end on the sweep axis
    near: np.ndarray  # (N,) start on the other axis
    far: np.ndarray  # (N,) end on the other axis
    hbbs: np.ndarray  # (N, 4) in input order
    groups: np.ndarray  # (N,) in input order


def _sort_boxes(hbbs: np.ndarray, groups: np.ndarray, low: np.ndarray, high: np.ndarray, axis: int) -> _SortedBoxes:
    order = np.argsort(low, kind="stable")
    across = 1 - axis
    return _SortedBoxes(order, low[order], high[order], hbbs[order, across], hbbs[order, across + 2], hbbs, groups)


def _overlapping(sorted1: _SortedBoxes, rows1: np.ndarray, sorted2: _SortedBoxes, rows2: np.ndarray) -> Pairs:
    """Select, among candidate pairs in sweep order, those that share area and group; return indices in input order."""
    # the test along the other axis removes most candidates
    near = (sorted1.near[rows1] < sorted2.far[rows2]) & (sorted2.near[rows2] < sorted1.far[rows1])
    first, second = sorted1.order[rows1[near]], sorted2.order[rows2[near]]
    box1, box2 = sorted1.hbbs[first].T, sorted2.hbbs[second].T
    overlaps = np.minimum(box1[2], box2[2]) > np.maximum(box1[0], box2[0])
    overlaps &= np.minimum(box1[3], box2[3]) > np.maximum(box1[1], box2[1])
    overlaps &= sorted1.groups[first] == sorted2.groups[second]
    return first[overlaps], second[overlaps]


def _sweep_keys(hbbs: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Project all groups side by side onto the axis that separates the boxes better.

    Adding a group's offset can round coordinates but never reverses their order, so no overlap is lost. The caller
    checks the pairs again with the original coordinates.

    Returns:
        low: (N,) start of each box's interval.
        high: (N,) end of each box's interval.
        axis: 0 for x, 1 for y.
    """
    if not len(hbbs):
        return np.empty(0), np.empty(0), 0
    extent = hbbs[:, 2:] - hbbs[:, :2]
    span = hbbs[:, 2:].max(axis=0) - hbbs[:, :2].min(axis=0)
    axis = int(np.argmin(extent.mean(axis=0) / np.maximum(span, 1e-300)))
    offsets = groups * (span[axis] + 1.0) - hbbs[:, axis].min()
    return hbbs[:, axis] + offsets, hbbs[:, axis + 2] + offsets, axis
