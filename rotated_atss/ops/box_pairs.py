"""Broad phase of rotated NMS: a fast search for the pairs of one class whose horizontal boxes overlap, on CPU or CUDA.

The search is a sweep along x inside horizontal strips. :mod:`rotated_atss.ops.polygon_pairs` is the counterpart for
NumPy arrays. Two implementations are needed: the modules for DOTA files and tiles never load torch, and CUDA tensors
have to stay on the device.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rotated_atss.ops.ragged import expand_ranges

# On the CPU, the temporaries of a chunk stay in the cache. A GPU needs larger chunks to be fully used.
_PAIRS_PER_CHUNK = {"cpu": 1 << 18, "cuda": 1 << 22}
_MIN_BOXES_PER_STRIP = 128  # per class; for fewer boxes, comparing all is faster than sorting into strips


def overlapping_hbb_pairs(hbbs: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, in chunks, the pairs of horizontal boxes of one class that overlap or touch.

    Each pair occurs once. For very large coordinates, rounding in float64 can add pairs that do not overlap. These have
    no effect, because NMS computes the IoU of every pair. Only one chunk of pairs is in memory at a time.

    Args:
        hbbs: (N, 4) ``x1, y1, x2, y2``. Boxes with non-finite coordinates overlap nothing.
        labels: (N,) integers.

    Yields:
        (P,) int64 indices of the first and of the second box of each pair.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.box_pairs import overlapping_hbb_pairs
        >>> hbbs = torch.tensor([[0.0, 0, 4, 4], [3, 3, 6, 6], [3, 3, 6, 6]])
        >>> [(i.tolist(), j.tolist()) for i, j in overlapping_hbb_pairs(hbbs, torch.tensor([0, 0, 1]))]
        [([0], [1])]
    """
    finite = torch.nonzero(hbbs.isfinite().all(1)).squeeze(1)
    by_left = finite[hbbs[finite, 0].argsort(stable=True)]  # indices of finite boxes, sorted by left side
    if not len(by_left):
        return
    # an entry is a box in one of the strips that it touches; a cell is one strip of one class
    cell, row, strip, first_strip_of_box = _list_strip_entries(hbbs[by_left].double(), labels[by_left])
    order = cell.argsort(stable=True)  # by class and strip, then by left side
    cell, row, strip = cell[order], row[order], strip[order]
    first_strip = first_strip_of_box[row]  # (M,) first strip of the box of each entry
    box = by_left[row]  # (M,) index into hbbs
    left, right = hbbs[box, 0].double(), hbbs[box, 2].double()
    # Each cell is shifted to its own section of the x axis, so that one sorted list serves all cells. Rounding of the
    # offsets is harmless, because the sweep only selects candidates.
    offset = cell.double() * (right.amax() - left.amin() + 1) - left.amin()
    # Entry i is compared with the entries from i + 1 up to but not including stops[i]. The left sides of these entries
    # are not beyond the right side of entry i.
    stops = torch.searchsorted((offset + left).contiguous(), (offset + right).contiguous(), right=True)
    starts = torch.arange(1, len(box) + 1, device=box.device)
    top, bottom = hbbs[box, 1], hbbs[box, 3]
    for i, j in expand_ranges(starts, stops, _PAIRS_PER_CHUNK.get(hbbs.device.type, 1 << 22)):
        overlap_in_y = torch.nonzero((top[i] <= bottom[j]) & (top[j] <= bottom[i])).squeeze(1)
        i, j = i[overlap_in_y], j[overlap_in_y]
        is_valid = cell[i] == cell[j]  # a rounded offset can reach into the next cell
        # boxes that share several strips form a pair only in the first of them
        is_valid &= strip[i] == torch.maximum(first_strip[i], first_strip[j])
        yield box[i[is_valid]], box[j[is_valid]]


def _list_strip_entries(hbbs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """List each box once per horizontal strip that it touches.

    Strips are at least as high as the average box, so that a box touches about two of them. If there are few boxes, one
    strip contains all of them.

    Args:
        hbbs: (N, 4) finite.
        labels: (N,).

    Returns:
        cell: (M,) index of each entry's cell. A cell is one strip of one class.
        row: (M,) index of each entry's box in ``hbbs``, in ascending order.
        strip: (M,) index of each entry's strip.
        first_strip_of_box: (N,) index of the first strip that each box touches.
    """
    classes, class_index = torch.unique(labels, return_inverse=True)
    if len(hbbs) < 2 * _MIN_BOXES_PER_STRIP * len(classes):
        strip = torch.zeros_like(class_index)
        return class_index, torch.arange(len(hbbs), device=hbbs.device), strip, strip
    top, bottom = hbbs[:, 1] - hbbs[:, 1].amin(), hbbs[:, 3] - hbbs[:, 1].amin()
    max_strips = max(1, len(hbbs) // (_MIN_BOXES_PER_STRIP * len(classes)))
    strip_height = torch.maximum((bottom - top).mean(), bottom.amax() / max_strips)
    strip_height = strip_height.clamp(min=1e-300)  # avoids a division by 0 if all boxes lie on one horizontal line
    first, last = (top / strip_height).long(), (bottom / strip_height).long()
    num_strips = max_strips + 2  # indices up to max_strips, the strip of bottom.amax(), or max_strips + 1 by rounding
    ((row, strip),) = expand_ranges(first, last + 1, len(hbbs) * num_strips)  # large enough for a single chunk
    return class_index[row] * num_strips + strip, row, strip, first
