"""Broad phase of polygon operations: a fast search for pairs whose horizontal boxes share area, with NumPy only.

The search is a sweep along x or y, whichever separates the boxes better, inside strips that divide the other axis.
:mod:`rotated_atss.ops.box_pairs` is the counterpart for torch tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from rotated_atss.ops.ragged import expand_ranges

_PAIRS_PER_CHUNK = 1 << 18  # the temporaries of a chunk stay in the cache
# Average number of boxes of a group in a strip. If there are fewer boxes, comparing all of them is faster than sorting
# them into strips.
_MIN_BOXES_PER_STRIP = 64

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
    boxes = _sort_boxes(hbbs, groups, _find_layout(hbbs, groups))
    # An entry is a box in a strip. Entry i is compared with the entries from i + 1 up to, but not including, stops[i].
    # These entries begin no earlier than entry i begins and no later than it ends.
    stops = np.searchsorted(boxes.sweep_low, boxes.sweep_high, side="right")
    for entries1, entries2 in expand_ranges(np.arange(1, len(stops) + 1), stops, _PAIRS_PER_CHUNK):
        first, second = _select_overlapping(boxes, entries1, boxes, entries2)
        yield np.minimum(first, second), np.maximum(first, second)


def iter_overlapping_pairs_between(
    hbbs1: np.ndarray, groups1: np.ndarray, hbbs2: np.ndarray, groups2: np.ndarray
) -> Iterator[Pairs]:
    """Yield, in chunks, all pairs of boxes from two sets that share area and belong to the same group.

    The first box of a pair comes from the first set, the second box from the second set.

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
    layout = _find_layout(np.concatenate([hbbs1, hbbs2]), np.concatenate([groups1, groups2]))
    sorted1, sorted2 = _sort_boxes(hbbs1, groups1, layout), _sort_boxes(hbbs2, groups2, layout)
    # If two boxes overlap, one of them begins within the extent of the other on the sweep axis. starts2 and stops2 give
    # the pairs in which the box of the second set begins within the box of the first set, or together with it. starts1
    # and stops1 give the pairs in which the box of the first set begins within the box of the second set.
    starts2 = np.searchsorted(sorted2.sweep_low, sorted1.sweep_low, side="left")
    stops2 = np.searchsorted(sorted2.sweep_low, sorted1.sweep_high, side="right")
    starts1 = np.searchsorted(sorted1.sweep_low, sorted2.sweep_low, side="right")
    stops1 = np.searchsorted(sorted1.sweep_low, sorted2.sweep_high, side="right")
    second_begins_inside = expand_ranges(starts2, stops2, _PAIRS_PER_CHUNK)
    first_begins_inside = (
        (entries1, entries2) for entries2, entries1 in expand_ranges(starts1, stops1, _PAIRS_PER_CHUNK)
    )
    for entries1, entries2 in chain(second_begins_inside, first_begins_inside):
        yield _select_overlapping(sorted1, entries1, sorted2, entries2)


def iou_upper_bounds(hbbs1: np.ndarray, areas1: np.ndarray, hbbs2: np.ndarray, areas2: np.ndarray) -> np.ndarray:
    """Compute upper bounds of the IoU of pairs of polygons, from their circumscribed boxes and their areas.

    Args:
        hbbs1: (N, 4) ``x_min, y_min, x_max, y_max`` of the first polygon of each pair.
        areas1: (N,) areas of the first polygons themselves, not of their boxes.
        hbbs2: (N, 4) boxes of the second polygons.
        areas2: (N,) areas of the second polygons themselves.

    Returns:
        (N,) upper bounds. The denominator of a bound is ``areas1 + areas2`` minus the area that the two boxes share. If
        it is not positive, the bound is infinity.

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
class _Layout:
    """Arrangement of all boxes on the sweep axis: cell after cell, where a cell is one strip of one group."""

    sweep_axis: int  # 0 for x, 1 for y
    sweep_start: float  # smallest coordinate on the sweep axis
    cell_length: float  # length of a cell on the sweep axis, larger than the span of all boxes together
    cross_start: float  # smallest coordinate on the other axis
    strip_height: float  # length of a strip on the other axis
    num_strips: int  # 1 if there are too few boxes for strips


class _Strips(NamedTuple):
    """Strips of the entries of :class:`_SortedBoxes`."""

    of_entry: np.ndarray  # (M,) int64 index of the entry's strip
    first_of_box: np.ndarray  # (M,) int64 index of the first strip that the entry's box touches


@dataclass(frozen=True)
class _SortedBoxes:
    """A set of boxes in sweep order. A box has one entry per strip that it touches.

    The coordinates of an entry on the sweep axis are shifted by the offset of the entry's cell. The shift can round
    coordinates but never reverses their order, so no overlap is lost. :func:`_select_overlapping` checks the pairs
    again with the original coordinates.
    """

    box_index: np.ndarray  # (M,) int64 indices into hbbs and groups
    sweep_low: np.ndarray  # (M,) start on the sweep axis with offset, ascending
    sweep_high: np.ndarray  # (M,) end on the sweep axis with offset
    cross_low: np.ndarray  # (M,) start on the other axis
    cross_high: np.ndarray  # (M,) end on the other axis
    strips: _Strips | None  # None if there is one strip or no box
    hbbs: np.ndarray  # (N, 4) in input order
    groups: np.ndarray  # (N,) in input order


def _find_layout(hbbs: np.ndarray, groups: np.ndarray) -> _Layout:
    """Choose the sweep axis and the strips.

    Strips are at least as high as the average box, so that an average box touches at most about two strips.
    """
    if not len(hbbs):
        return _Layout(0, 0.0, 1.0, 0.0, 1.0, num_strips=1)  # without boxes, the values do not matter
    columns = np.ascontiguousarray(hbbs.T)
    starts, stops = columns[:2].min(axis=1), columns[2:].max(axis=1)
    spans, mean_sides = stops - starts, columns[2:].mean(axis=1) - columns[:2].mean(axis=1)  # (2,) x, y
    # Fewest boxes overlap on the axis on which they are shortest compared with the span of all boxes together. 1e-300
    # avoids a division by 0 if all boxes are the same point.
    sweep_axis = int(np.argmin(mean_sides / np.maximum(spans, 1e-300)))
    cross_axis = 1 - sweep_axis
    max_strips = len(hbbs) // (_MIN_BOXES_PER_STRIP * len(np.unique(groups)))
    strip_height = max(mean_sides[cross_axis], spans[cross_axis] / max(max_strips, 1), 1e-300)
    num_strips = int(spans[cross_axis] / strip_height) + 1 if max_strips > 1 else 1
    return _Layout(
        sweep_axis=sweep_axis,
        sweep_start=starts[sweep_axis],
        cell_length=spans[sweep_axis] + 1.0,
        cross_start=starts[cross_axis],
        strip_height=strip_height,
        num_strips=num_strips,
    )


def _sort_boxes(hbbs: np.ndarray, groups: np.ndarray, layout: _Layout) -> _SortedBoxes:
    """Sort boxes (N, 4) by cell and along the sweep axis."""
    # hbbs[:, axis] are the lower coordinates on an axis, hbbs[:, axis + 2] the upper ones
    sweep_axis, cross_axis = layout.sweep_axis, 1 - layout.sweep_axis
    box_index, cell, strips = np.arange(len(hbbs)), groups, None
    if layout.num_strips > 1 and len(hbbs):
        first_strip = ((hbbs[:, cross_axis] - layout.cross_start) / layout.strip_height).astype(np.int64)
        last_strip = ((hbbs[:, cross_axis + 2] - layout.cross_start) / layout.strip_height).astype(np.int64)
        max_entries = len(hbbs) * (layout.num_strips + 1)  # so large that expand_ranges yields a single chunk
        ((box_index, strip),) = expand_ranges(first_strip, last_strip + 1, max_entries)
        cell, strips = groups[box_index] * layout.num_strips + strip, _Strips(strip, first_strip[box_index])
    offsets = cell * layout.cell_length - layout.sweep_start
    sweep_low = hbbs[box_index, sweep_axis] + offsets
    order = np.argsort(sweep_low)
    box_index = box_index[order]
    return _SortedBoxes(
        box_index=box_index,
        sweep_low=sweep_low[order],
        sweep_high=hbbs[box_index, sweep_axis + 2] + offsets[order],
        cross_low=hbbs[box_index, cross_axis],
        cross_high=hbbs[box_index, cross_axis + 2],
        strips=None if strips is None else _Strips(strips.of_entry[order], strips.first_of_box[order]),
        hbbs=hbbs,
        groups=groups,
    )


def _select_overlapping(
    sorted1: _SortedBoxes, entries1: np.ndarray, sorted2: _SortedBoxes, entries2: np.ndarray
) -> Pairs:
    """Return the box indices of those candidate pairs of entries that share area and have the same group."""
    # the test on the other axis removes most candidates
    overlaps = sorted1.cross_low[entries1] < sorted2.cross_high[entries2]
    overlaps &= sorted2.cross_low[entries2] < sorted1.cross_high[entries1]
    entries1, entries2 = entries1[overlaps], entries2[overlaps]
    # Two boxes that touch several common strips are compared in each of them; keep only the first of these pairs
    if sorted1.strips is not None and sorted2.strips is not None:
        first_common = np.maximum(sorted1.strips.first_of_box[entries1], sorted2.strips.first_of_box[entries2])
        strip1, strip2 = sorted1.strips.of_entry[entries1], sorted2.strips.of_entry[entries2]
        is_first = (strip1 == first_common) & (strip2 == first_common)
        entries1, entries2 = entries1[is_first], entries2[is_first]
    first, second = sorted1.box_index[entries1], sorted2.box_index[entries2]
    box1, box2 = sorted1.hbbs[first].T, sorted2.hbbs[second].T
    overlaps = np.minimum(box1[2], box2[2]) > np.maximum(box1[0], box2[0])
    overlaps &= np.minimum(box1[3], box2[3]) > np.maximum(box1[1], box2[1])
    overlaps &= sorted1.groups[first] == sorted2.groups[second]
    return first[overlaps], second[overlaps]
