"""Non-maximum suppression on the device: a matrix of suppression bits, followed by a scan.

Boxes are sorted by class and, within a class, by score. The bit matrix is computed in tiles; for a tile, 16 boxes are
compared with 32 boxes. IoUs are computed only if the circumscribed circles of two boxes of the same class overlap;
otherwise the bits are 0. The scan processes words of 32 boxes. It decides the boxes of a word one by one, and then
removes all boxes of later words that the kept boxes of this word suppress. The scan runs as one program per word. Each
program decides the classes that start in its word, and does nothing if no class starts there. The host never waits for
the device.
"""

# ruff: noqa: N803 - compile-time arguments of Triton kernels are written in capitals

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from rotated_atss.ops.kernels.iou_kernels import build_box_table, table_circles_overlap, table_overlap
from rotated_atss.ops.kernels.launch import num_blocks, on_device

WORD = 32  # bits of an element of the bit matrix
TILE_ROWS = 16  # boxes per program; each is compared with the WORD boxes of one word
WARPS = {torch.float32: 4, torch.float64: 8}  # warps per program, not tuned


@triton.jit(do_not_specialize=["count", "num_words"])
def _fill_bit_matrix(
    table, labels, threshold, matrix, count, num_words, EPS: tl.constexpr, ROWS: tl.constexpr, WORD: tl.constexpr
):  # fmt: skip
    """Compute one tile. Bit b of ``matrix[i, word]`` is set if box i, when it is kept, suppresses box 32 * word + b."""
    first_row = tl.program_id(0) // num_words * ROWS
    word = tl.program_id(0) % num_words
    if word >= first_row // WORD:  # the scan never reads words left of the diagonal, so they stay uninitialized
        i = first_row + tl.arange(0, ROWS)[:, None]
        j = word * WORD + tl.arange(0, WORD)[None, :]
        in_range1 = i < count
        in_range2 = j < count
        label1 = tl.load(labels + i, mask=in_range1, other=0)
        label2 = tl.load(labels + j, mask=in_range2, other=0)
        candidates = in_range1 & in_range2 & (label1 == label2) & (i < j)
        bits = tl.zeros([ROWS], dtype=tl.int32)
        if any_of(candidates):
            candidates = candidates & table_circles_overlap(table, table, i, j, count, count, in_range1, in_range2)
            if any_of(candidates):
                overlap = table_overlap(table, table, i, j, count, count, in_range1, in_range2, False, EPS)
                suppressed = candidates & (overlap > tl.load(threshold))  # a tensor of one element, see below
                # each column has a different bit, so the sum over the columns equals their bitwise or
                bits = tl.sum(suppressed.to(tl.int32) << tl.arange(0, WORD)[None, :], axis=1)
        i = first_row + tl.arange(0, ROWS)
        tl.store(matrix + i * num_words + word, bits, mask=i < count)


@triton.jit
def any_of(tile):
    """Return whether any element of a 2D tile is True."""
    return tl.max(tl.max(tile.to(tl.int32), axis=1), axis=0) > 0


@triton.jit(do_not_specialize=["num_words"])
def _scan(matrix, rank, program_starts, keep, num_words, CAPACITY: tl.constexpr, WORD: tl.constexpr):
    """Decide which boxes of the classes that start in one word are kept. Program p decides word p.

    Its boxes are those from ``program_starts[p]`` to ``program_starts[p + 1]``. Boxes are numbered by class, then by
    score; ``rank[k]`` is the rank of box k by score over all classes. The result of box k is stored in
    ``keep[rank[k]]``.
    """
    begin = tl.load(program_starts + tl.program_id(0)).to(tl.int32)
    end = tl.load(program_starts + tl.program_id(0) + 1).to(tl.int32)
    column = tl.arange(0, CAPACITY)
    # one bit per box, packed in words; a bit is set if a kept box of an earlier word suppresses the box
    removed = tl.zeros([CAPACITY], dtype=tl.int32)
    bit = tl.arange(0, WORD)
    word = begin // WORD
    last = (end - 1) // WORD
    while (word <= last) & (begin < end):  # if no class starts in this program's word, begin == end
        word_rows = matrix + word * WORD * num_words  # rows of the 32 boxes of this word
        # Decide the boxes of this word one by one. Only earlier boxes can suppress box k, so bit k is final in step k.
        removed_in_word = tl.sum(tl.where(column == word, removed, 0), axis=0)
        for k in tl.static_range(WORD):
            in_range = (word * WORD + k >= begin) & (word * WORD + k < end)
            suppressed_by_k = tl.load(word_rows + k * num_words + word, mask=in_range, other=0)
            removed_in_word = removed_in_word | tl.where(((removed_in_word >> k) & 1) == 0, suppressed_by_k, 0)
        # remove the boxes of later words that the kept boxes of this word suppress
        for k in tl.static_range(WORD):
            in_range = (word * WORD + k >= begin) & (word * WORD + k < end)
            later_words = (column > word) & (column <= last) & in_range & (((removed_in_word >> k) & 1) == 0)
            removed = removed | tl.load(word_rows + k * num_words + column, mask=later_words, other=0)
        box = word * WORD + bit
        in_range = (box >= begin) & (box < end)
        kept = (((removed_in_word >> bit) & 1) == 0).to(tl.int8)
        tl.store(keep + tl.load(rank + box, mask=in_range, other=0), kept, mask=in_range)
        word += 1


def compute_keep_mask(boxes: Tensor, labels: Tensor, order: Tensor, iou_threshold: float) -> Tensor:
    """Perform class-wise greedy NMS without making the host wait for the device.

    Args:
        boxes: (N, 5) float32 or float64. The caller must limit N, because the bit matrix takes N^2 / 8 bytes.
        labels: (N,) integers.
        order: (N,) int64 indices of the boxes in descending order of score.
        iou_threshold: Boxes whose IoU with a higher-scoring kept box of their class exceeds this value are suppressed.

    Returns:
        (N,) bool. Element k is True if box ``order[k]`` is kept.
    """
    count = len(boxes)
    keep = torch.empty(count, dtype=torch.bool, device=boxes.device)
    if not count:
        return keep
    # Boxes are sorted by class, so that many tiles contain no pair of the same class and need no IoU. Within a class,
    # the stable sort keeps the order by score. rank (N,) is the index into ``order`` of each sorted box.
    sorted_labels, rank = labels.long()[order].sort(stable=True)
    table = build_box_table(boxes[order[rank]])
    num_words = num_blocks(count, WORD)
    # (N,) first box of each box's class: searchsorted returns the first position of a label
    class_starts = torch.searchsorted(sorted_labels, sorted_labels)
    # For each word, the first box whose class starts in that word or later. If a class extends over several words, no
    # class may start in some of them; such a word has the same value as the next word.
    program_starts = torch.searchsorted(class_starts, torch.arange(num_words + 1, device=boxes.device) * WORD)
    matrix = torch.empty((count, num_words), dtype=torch.int32, device=boxes.device)
    # The threshold is passed as a tensor, because triton would round a number to float32.
    threshold = torch.full((1,), iou_threshold, dtype=boxes.dtype, device=boxes.device)
    tile_options = dict(EPS=torch.finfo(boxes.dtype).eps, ROWS=TILE_ROWS, WORD=WORD, num_warps=WARPS[boxes.dtype])
    if num_words <= 64:  # these limits and numbers of warps are not tuned
        scan_warps = 1
    elif num_words <= 128:
        scan_warps = 2
    else:
        scan_warps = 8
    scan_options = dict(CAPACITY=triton.next_power_of_2(num_words), WORD=WORD, num_warps=scan_warps)
    tiles = num_blocks(count, TILE_ROWS) * num_words
    with on_device(boxes):
        _fill_bit_matrix[(tiles,)](table, sorted_labels, threshold, matrix, count, num_words, **tile_options)
        _scan[(num_words,)](matrix, rank, program_starts, keep.view(torch.int8), num_words, **scan_options)
    return keep
