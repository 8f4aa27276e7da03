"""Broad phase of rotated NMS: a fast search for the pairs of one class whose horizontal boxes overlap, on CPU or CUDA.

The search is a sweep along x inside horizontal strips. :mod:`rotated_atss.ops.polygon_pairs` is the counterpart for
NumPy arrays. One search cannot replace the other: the DOTA modules never load torch, and CUDA tensors have to stay on
the device.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rotated_atss.ops.ragged import expand_ranges

# On the CPU, the temporaries of a chunk stay in the cache. A GPU is busy only with more pairs.
_PAIRS_PER_CHUNK = {"cpu": 1 << 18, "cuda": 1 << 22}
_MIN_BOXES_PER_STRIP = 128  # per class; fewer boxes are compared faster than sorted into strips


def overlapping_hbb_pairs(hbbs: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chunks of index pairs of one class whose horizontal boxes overlap or touch.

    Each pair occurs once. Where coordinates exceed the precision of float64, pairs that do not overlap can occur too.
    Memory is bounded by the chunk.

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
    by_left = torch.nonzero(hbbs.isfinite().all(1)).squeeze(1)
    by_left = by_left[hbbs[by_left, 0].argsort(stable=True)]
    if not len(by_left):
        return
    cells, box, strip, first_strip = _strips(hbbs[by_left].double(), labels[by_left])
    order = cells.argsort(stable=True)  # by class and strip, then by left side
    cells, box, strip = cells[order], box[order], strip[order]
    first_strip, box = first_strip[box], by_left[box]
    left, right = hbbs[box, 0].double(), hbbs[box, 2].double()
    # all cells lie side by side on one axis; rounding of the offsets is harmless, because the sweep only selects
    # candidates
    base = cells.double() * (right.amax() - left.amin() + 1) - left.amin()
    stops = torch.searchsorted((base + left).contiguous(), (base + right).contiguous(), right=True)
    starts = torch.arange(1, len(box) + 1, device=box.device)
    top, bottom = hbbs[box, 1], hbbs[box, 3]
    for i, j in expand_ranges(starts, stops, _PAIRS_PER_CHUNK.get(hbbs.device.type, 1 << 22)):
        near = torch.nonzero((top[i] <= bottom[j]) & (top[j] <= bottom[i])).squeeze(1)
        i, j = i[near], j[near]
        # strips and labels are compared, because a rounded offset can reach into the next cell
        overlaps = (strip[i] == strip[j]) & (labels[box[i]] == labels[box[j]])
        overlaps &= strip[i] == torch.maximum(first_strip[i], first_strip[j])  # once, in the first strip they share
        yield box[i[overlaps]], box[j[overlaps]]


def _strips(hbbs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """List each box once for every horizontal strip that it touches.

    Strips are at least as high as the average box, so that a box touches two on average. If there are few boxes, one
    strip holds all of them.

    Args:
        hbbs: (N, 4) finite.
        labels: (N,).

    Returns:
        cells: (M,) index of the cell of each entry. A cell is one strip of one class.
        box: (M,) index of each entry's box, in ascending order.
        strip: (M,) index of each entry's strip.
        first_strip: (N,) index of the first strip that each box touches.
    """
    classes, group = torch.unique(labels, return_inverse=True)
    if len(hbbs) < 2 * _MIN_BOXES_PER_STRIP * len(classes):
        return group, torch.arange(len(hbbs), device=hbbs.device), torch.zeros_like(group), torch.zeros_like(group)
    top, bottom = hbbs[:, 1] - hbbs[:, 1].amin(), hbbs[:, 3] - hbbs[:, 1].amin()
    max_strips = max(1, len(hbbs) // (_MIN_BOXES_PER_STRIP * len(classes)))
    height = torch.maximum((bottom - top).mean(), bottom.amax() / max_strips).clamp(
        min=1e-300
    )  # not 0, also for boxes without height
    first, last = (top / height).long(), (bottom / height).long()
    num_strips = max_strips + 2  # the lowest bottom gives strip max_strips, or one more by rounding
    ((box, strip),) = expand_ranges(first, last + 1, len(hbbs) * num_strips)  # large enough for a single chunk
    return group[box] * num_strips + strip, box, strip, first
