"""Non-maximum suppression that stays on the device: a bit for each box that a better one suppresses, then one scan.

Boxes are ranked by class and, within it, by score. A tile of the bit matrix, 16 boxes by 32, is computed only where it
holds boxes of one class whose circles meet. The scan walks the words of 32 boxes: within a word it decides box by box,
and then takes away at once what the kept ones suppress further on. Classes do not wait for each other: each is walked
by a program of its own, but for those that begin within the same word. The host waits for nothing.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from rotated_atss.ops.kernels.iou_kernels import describe, table_circles_meet, table_overlap
from rotated_atss.ops.kernels.launch import blocks, on_device

WORD = 32  # bits
TILE_ROWS = 16
WARPS = {torch.float32: 4, torch.float64: 8}


@triton.jit(do_not_specialize=["count", "words"])
def _suppressions(
    table, labels, threshold, mask, count, words, EPS: tl.constexpr, ROWS: tl.constexpr, WORD: tl.constexpr
):  # fmt: skip
    """One tile of the bits: bit j of ``mask[i, word]`` says that box i suppresses the lower box 32 word + j."""
    top = tl.program_id(0) // words * ROWS
    word = tl.program_id(0) % words
    if word >= top // WORD:  # what is left of the diagonal nobody reads
        i = top + tl.arange(0, ROWS)[:, None]
        j = word * WORD + tl.arange(0, WORD)[None, :]
        there1 = i < count
        there2 = j < count
        label1 = tl.load(labels + i, mask=there1, other=0)
        label2 = tl.load(labels + j, mask=there2, other=0)
        rivals = there1 & there2 & (label1 == label2) & (i < j)
        bits = tl.zeros([ROWS], dtype=tl.int32)
        if any_of(rivals):
            rivals = rivals & table_circles_meet(table, table, i, j, count, count, there1, there2)
            if any_of(rivals):
                overlap = table_overlap(table, table, i, j, count, count, there1, there2, False, EPS)
                suppressed = rivals & (overlap > tl.load(threshold))
                # distinct bits: their sum is their union
                bits = tl.sum(suppressed.to(tl.int32) << tl.arange(0, WORD)[None, :], axis=1)
        i = top + tl.arange(0, ROWS)
        tl.store(mask + i * words + word, bits, mask=i < count)


@triton.jit
def any_of(tile):
    return tl.max(tl.max(tile.to(tl.int32), axis=1), axis=0) > 0


@triton.jit(do_not_specialize=["words"])
def _scan(mask, rank, begins, keep, words, CAPACITY: tl.constexpr, WORD: tl.constexpr):
    """Decide in order the boxes of the classes that begin in one word and write ``keep[rank[k]]`` for the k-th."""
    begin = tl.load(begins + tl.program_id(0)).to(tl.int32)
    end = tl.load(begins + tl.program_id(0) + 1).to(tl.int32)
    column = tl.arange(0, CAPACITY)
    removed = tl.zeros([CAPACITY], dtype=tl.int32)
    bit = tl.arange(0, WORD)
    word = begin // WORD
    last = (end - 1) // WORD
    while (word <= last) & (begin < end):
        first = mask + word * WORD * words
        gone = tl.sum(tl.where(column == word, removed, 0), axis=0)
        for k in tl.static_range(WORD):
            own = (word * WORD + k >= begin) & (word * WORD + k < end)
            inside = tl.load(first + k * words + word, mask=own, other=0)
            gone = gone | tl.where((gone >> k) & 1 == 0, inside, 0)
        for k in tl.static_range(WORD):
            own = (word * WORD + k >= begin) & (word * WORD + k < end)
            further = (column > word) & (column <= last) & own & ((gone >> k) & 1 == 0)
            removed = removed | tl.load(first + k * words + column, mask=further, other=0)
        box = word * WORD + bit
        own = (box >= begin) & (box < end)
        kept = ((gone >> bit) & 1 == 0).to(tl.int8)
        tl.store(keep + tl.load(rank + box, mask=own, other=0), kept, mask=own)
        word += 1


def keep_in_order(boxes: Tensor, labels: Tensor, order: Tensor, iou_threshold: float) -> Tensor:
    """Which boxes greedy suppression keeps, a class at a time.

    Args:
        boxes: (N, 5) float32 or float64, N at most 32,768: indices of the bits are int32.
        labels: (N,) integers.
        order: (N,) int64, the boxes' indices in falling order of score.
        iou_threshold: A box goes when its IoU with a kept better one of its class is above this.

    Returns:
        (N,) bool, whether ``order[k]`` is kept. The host is not made to wait.
    """
    count = len(boxes)
    keep = torch.empty(count, dtype=torch.bool, device=boxes.device)
    if not count:
        return keep
    # classes together: tiles of two classes cost next to nothing
    labels, rank = labels.long()[order].sort(stable=True)
    table = describe(boxes[order[rank]])
    words = blocks(count, WORD)
    # of each box where its class begins, and from that where the boxes begin whose class begins in a word or later
    class_begins = torch.searchsorted(labels, labels)
    begins = torch.searchsorted(class_begins, torch.arange(words + 1, device=boxes.device) * WORD)
    mask = torch.empty((count, words), dtype=torch.int32, device=boxes.device)
    threshold = torch.full((1,), iou_threshold, dtype=boxes.dtype, device=boxes.device)
    tile = dict(EPS=torch.finfo(boxes.dtype).eps, ROWS=TILE_ROWS, WORD=WORD, num_warps=WARPS[boxes.dtype])
    scan = dict(
        CAPACITY=triton.next_power_of_2(words), WORD=WORD, num_warps=1 if words <= 64 else 2 if words <= 128 else 8
    )
    with on_device(boxes):
        _suppressions[(blocks(count, TILE_ROWS) * words,)](table, labels, threshold, mask, count, words, **tile)
        _scan[(words,)](mask, rank, begins, keep.view(torch.int8), words, **scan)
    return keep
