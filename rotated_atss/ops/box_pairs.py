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

# On the CPU, a chunk is small enough that its temporary tensors fit into the cache. A GPU needs larger chunks to be
# fully used.
_PAIRS_PER_CHUNK = {"cpu": 1 << 18, "cuda": 1 << 22}
_PAIRS_PER_CHUNK_ON_OTHER_DEVICES = 1 << 22
# If a class has fewer boxes than this per strip, comparing all of them is faster than sorting them into strips.
_MIN_BOXES_PER_STRIP = 128


def overlapping_hbb_pairs(hbbs: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, in chunks, the pairs of horizontal boxes of one class that overlap or touch.

    Each pair occurs once. Only one chunk of pairs is in memory at a time. For very large coordinates, rounding in
    float64 can add pairs that do not overlap. They do not change the result of NMS, which computes the IoU of every
    pair.

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
    cell, row, strip, first_strip_of_row = _list_strip_entries(hbbs[by_left].double(), labels[by_left])
    order = cell.argsort(stable=True)  # by class and strip, then by left side
    cell, row, strip = cell[order], row[order], strip[order]
    first_strip = first_strip_of_row[row]  # (M,) first strip of the box of each entry
    box_index = by_left[row]  # (M,) index into hbbs
    left, right = hbbs[box_index, 0].double(), hbbs[box_index, 2].double()
    # Each cell is shifted to its own section of the x axis, so that one sorted list serves all cells. Rounding of the
    # offsets is harmless, because the sweep only selects candidates.
    offset = cell.double() * (right.amax() - left.amin() + 1) - left.amin()
    # Entry i is compared with the entries i + 1 to stops[i] (exclusive). They start at or before the right side of
    # entry i; all later entries start to the right of it.
    stops = torch.searchsorted((offset + left).contiguous(), (offset + right).contiguous(), right=True)
    starts = torch.arange(1, len(box_index) + 1, device=box_index.device)
    top, bottom = hbbs[box_index, 1], hbbs[box_index, 3]
    max_pairs = _PAIRS_PER_CHUNK.get(hbbs.device.type, _PAIRS_PER_CHUNK_ON_OTHER_DEVICES)
    for i, j in expand_ranges(starts, stops, max_pairs):
        overlap_in_y = torch.nonzero((top[i] <= bottom[j]) & (top[j] <= bottom[i])).squeeze(1)
        i, j = i[overlap_in_y], j[overlap_in_y]
        is_valid = cell[i] == cell[j]  # rounding of the offsets can make sections of two cells overlap
        # if two boxes share several strips, only the pair in the first shared strip counts
        is_valid &= strip[i] == torch.maximum(first_strip[i], first_strip[j])
        yield box_index[i[is_valid]], box_index[j[is_valid]]


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
        first_strip: (N,) index of the first strip that each box touches.
    """
    classes, class_index = torch.unique(labels, return_inverse=True)
    if len(hbbs) < 2 * _MIN_BOXES_PER_STRIP * len(classes):
        row = torch.arange(len(hbbs), device=hbbs.device)
        strip = first_strip = torch.zeros_like(class_index)
        return class_index, row, strip, first_strip
    top, bottom = hbbs[:, 1] - hbbs[:, 1].amin(), hbbs[:, 3] - hbbs[:, 1].amin()
    max_strips = max(1, len(hbbs) // (_MIN_BOXES_PER_STRIP * len(classes)))
    strip_height = torch.maximum((bottom - top).mean(), bottom.amax() / max_strips)
    strip_height = strip_height.clamp(min=1e-300)  # avoids a division by 0 if all boxes lie on one horizontal line
    first_strip, last_strip = (top / strip_height).long(), (bottom / strip_height).long()
    num_strips = max_strips + 2  # the lowest bottom side lies in the strip max_strips, or by rounding in the next one
    # with chunks of the largest possible size, expand_ranges yields exactly one chunk
    ((row, strip),) = expand_ranges(first_strip, last_strip + 1, len(hbbs) * num_strips)
    cell = class_index[row] * num_strips + strip
    return cell, row, strip, first_strip
