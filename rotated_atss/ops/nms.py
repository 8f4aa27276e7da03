"""Greedy non-maximum suppression of oriented boxes, a class at a time, without shifting coordinates by class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from rotated_atss.ops.backend import CHOICES, select_backend
from rotated_atss.ops.boxes import obb_to_hbb
from rotated_atss.ops.checks import check_tensors
from rotated_atss.ops.iou import rotated_iou

_PAIRS_PER_CHUNK = {"cpu": 1 << 18}  # there what is made of a chunk stays in the cache
_BOXES_PER_STRIP = 128  # of one class, at least: fewer are compared faster than sorted
_MAX_BOXES_ON_DEVICE = 32_768  # the kernels keep a bit a pair: 134 MB


def rotated_nms(
    boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float, *, backend: str | None = None
) -> Tensor:
    """Keep the best-scored boxes of each class and drop what overlaps them.

    Args:
        boxes: (N, 5) ``cx, cy, w, h, angle``; coordinates may be negative. Halves are computed in float32.
        scores: (N,). Equal scores rank in input order, NaN ranks last.
        labels: (N,) integers: boxes of different classes never suppress each other.
        iou_threshold: A box goes when its IoU with a kept one of its class is **above** this.
        backend: ``torch`` or ``triton``; by default triton on CUDA where it works, unless ``$ROTATED_ATSS_BACKEND`` is
            ``torch``. More than 32,768 boxes go by torch.

    Returns:
        (K,) int64 indices of the kept boxes in falling order of score.

    Raises:
        TypeError: Arguments that are no tensors.
        ValueError: Shapes that do not match, a threshold outside [0, 1], or a backend that is unknown or cannot run.
    """
    order, keep = rotated_nms_mask(boxes, scores, labels, iou_threshold, backend=backend)
    return order[keep]


def rotated_nms_mask(
    boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float, *, backend: str | None = None
) -> tuple[Tensor, Tensor]:
    """:func:`rotated_nms` in a size that is known beforehand, so that with triton the host never waits.

    Returns:
        ``order``: (N,) int64, all boxes in falling order of score; ``keep``: (N,) bool, which of these are kept.
    """
    _check(boxes, scores, labels, iou_threshold, backend)
    backend = select_backend(backend, boxes, scores, labels)
    boxes, scores = boxes.detach(), scores.detach()
    order = scores.double().nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)
    if len(boxes) < 2:
        return order, torch.ones_like(order, dtype=torch.bool)
    if boxes.dtype != torch.float64:
        boxes = boxes.float()
    if backend == "triton" and len(boxes) <= _MAX_BOXES_ON_DEVICE:
        from rotated_atss.ops.kernels.nms_kernels import keep_in_order

        return order, keep_in_order(boxes, labels, order, iou_threshold)
    boxes, labels = boxes[order], labels[order]
    suppressors, suppressed = suppressing_pairs(boxes, labels, iou_threshold)
    kept = (_greedy_scan if boxes.device.type == "cpu" else _greedy_rounds)(len(boxes), suppressors, suppressed)
    return order, torch.zeros_like(order, dtype=torch.bool).index_fill_(0, kept, True)


def _check(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float, backend: str | None) -> None:
    check_tensors(boxes=boxes, scores=scores, labels=labels)
    if boxes.ndim != 2 or boxes.shape[1] != 5 or scores.shape != (len(boxes),) or labels.shape != (len(boxes),):
        raise ValueError(
            f"need (N, 5), (N,), (N,), not {tuple(boxes.shape)}, {tuple(scores.shape)}, {tuple(labels.shape)}"
        )
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold must lie in [0, 1], not {iou_threshold}")
    if backend not in (None, *CHOICES):
        raise ValueError(f"unknown backend {backend!r}: choose one of {', '.join(CHOICES)}")


def suppressing_pairs(boxes: Tensor, labels: Tensor, iou_threshold: float) -> tuple[Tensor, Tensor]:
    """Pairs of boxes of one class with IoU above the threshold, for boxes (N, 5) in falling order of score.

    Returns:
        ``suppressors`` and ``suppressed``, (P,) each, indices with ``suppressors < suppressed``.
    """
    suppressors, suppressed = [], []
    for first, second in _overlapping_hbbs(obb_to_hbb(boxes), labels):
        above = rotated_iou(boxes[first], boxes[second], aligned=True) > iou_threshold
        first, second = first[above], second[above]
        suppressors.append(torch.minimum(first, second))
        suppressed.append(torch.maximum(first, second))
    empty = torch.zeros(0, dtype=torch.int64, device=boxes.device)
    return torch.cat([empty, *suppressors]), torch.cat([empty, *suppressed])


def _overlapping_hbbs(hbbs: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chunks of index pairs of one class whose horizontal boxes meet, each pair once (and perhaps some that do
    not, where coordinates exceed what float64 tells apart): in every strip of the plane a sweep along x, in memory
    bounded by the chunk.
    """
    by_left = torch.nonzero(hbbs.isfinite().all(1)).squeeze(1)  # the others overlap nothing
    by_left = by_left[hbbs[by_left, 0].argsort(stable=True)]
    if not len(by_left):
        return
    cells, box, strip, first_strip = _in_strips(hbbs[by_left].double(), labels[by_left])
    order = cells.argsort(stable=True)  # by class and strip, then by left side
    cells, box, strip = cells[order], box[order], strip[order]
    first_strip, sweep = first_strip[box], by_left[box]
    left, right = hbbs[sweep, 0].double(), hbbs[sweep, 2].double()
    # one axis for all cells, far enough apart that no reach crosses; it only selects candidates, no IoU sees it
    base = cells.double() * (right.amax() - left.amin() + 1) - left.amin()
    reach = torch.searchsorted((base + left).contiguous(), (base + right).contiguous(), right=True)
    counts = (reach - torch.arange(1, len(sweep) + 1, device=sweep.device)).clamp(min=0)
    low, high = hbbs[sweep, 1], hbbs[sweep, 3]
    for i, j in _pairs_in_reach(counts):
        near = torch.nonzero((low[i] <= high[j]) & (low[j] <= high[i])).squeeze(1)
        i, j = i[near], j[near]
        # two boxes may share strips: they count in the first; a rounded axis may reach into the next cell
        meet = (strip[i] == strip[j]) & (strip[i] == torch.maximum(first_strip[i], first_strip[j]))
        meet &= labels[sweep[i]] == labels[sweep[j]]
        yield sweep[i[meet]], sweep[j[meet]]


def _in_strips(hbbs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Every box in every horizontal strip that it touches, where there are boxes enough for more than one.

    Args:
        hbbs: (N, 4) finite.
        labels: (N,).

    Returns:
        (M,) a number for class and strip, (M,) the box, rising, and (M,) the strip of each entry; (N,) the first strip
        of each box. On average a box is in two strips at most, for they are as high as the average box.
    """
    names, group = torch.unique(labels, return_inverse=True)
    if len(hbbs) < 2 * _BOXES_PER_STRIP * len(names):
        return group, torch.arange(len(hbbs), device=hbbs.device), torch.zeros_like(group), torch.zeros_like(group)
    top, bottom = hbbs[:, 1] - hbbs[:, 1].amin(), hbbs[:, 3] - hbbs[:, 1].amin()
    most = max(1, len(hbbs) // (_BOXES_PER_STRIP * len(names)))
    height = torch.maximum((bottom - top).mean(), bottom.amax() / most).clamp(min=1e-300)
    first, last = (top / height).long(), (bottom / height).long()
    times = last - first + 1
    box = torch.arange(len(hbbs), device=hbbs.device).repeat_interleave(times)
    strip = first[box] + torch.arange(len(box), device=hbbs.device) - (times.cumsum(0) - times)[box]
    return group[box] * (most + 2) + strip, box, strip, first


def _pairs_in_reach(counts: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Every i with each of the ``counts[i]`` that follow it, some at a time; those of one i are never cut."""
    ends = counts.cumsum(0)
    chunk, start = _PAIRS_PER_CHUNK.get(counts.device.type, 1 << 22), 0
    while start < len(counts):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(torch.searchsorted(ends, done + chunk, right=True)))
        i = torch.repeat_interleave(torch.arange(start, stop, device=counts.device), counts[start:stop])
        yield i, i + 1 + torch.arange(len(i), device=counts.device) - (ends[i] - counts[i] - done)
        start = stop


def _greedy_scan(count: int, suppressors: Tensor, suppressed: Tensor) -> Tensor:
    """Kept indices, best first: visit the winners in order, each still standing removes its losers."""
    by_winner = np.argsort(suppressors.numpy(), kind="stable")
    heads, starts = np.unique(suppressors.numpy()[by_winner], return_index=True)
    tails = suppressed.numpy()[by_winner]
    standing = np.ones(count, dtype=bool)
    for head, start, stop in zip(heads.tolist(), starts.tolist(), [*starts[1:].tolist(), len(tails)]):
        if standing[head]:
            standing[tails[start:stop]] = False
    return torch.from_numpy(np.flatnonzero(standing))


def _greedy_rounds(count: int, suppressors: Tensor, suppressed: Tensor) -> Tensor:
    """The same without a step a box: a round keeps every open box that no open better box overlaps, and removes their
    losers.
    """
    open_, kept = (
        torch.ones(count, dtype=torch.bool, device=suppressors.device),
        torch.zeros(count, dtype=torch.bool, device=suppressors.device),
    )
    while len(suppressors):
        challenged = torch.zeros_like(open_)
        challenged[suppressed] = True
        safe = open_ & ~challenged
        kept |= safe
        removed = torch.zeros_like(open_)
        removed[suppressed[safe[suppressors]]] = True
        open_ &= ~safe & ~removed
        live = open_[suppressors] & open_[suppressed]
        suppressors, suppressed = suppressors[live], suppressed[live]
    return torch.nonzero(kept | open_).squeeze(1)
