"""Triton kernels for the IoU and IoF of all pairs, or of boxes compared row by row (aligned).

For all pairs, cosine, sine and radius are computed once per box and stored in a table. The first kernel works on tiles
of the (N, M) matrix and rejects pairs whose circumscribed circles do not overlap. If at least a quarter of the pairs of
a tile remain, the tile is computed directly. The remaining pairs of other tiles are appended to a list, which the
second kernel computes. The threads of a GPU block run in lockstep, so a thread with a rejected pair would have to wait
for the others; the list leaves few such threads. The host never waits for the device.
"""

# ruff: noqa: N803 - compile-time arguments of Triton kernels are written in capitals

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from rotated_atss.ops.kernels.launch import num_blocks, num_multiprocessors, on_device
from rotated_atss.ops.kernels.overlap import area_to_overlap, circles_overlap, div_rn, intersection_area, pair_overlap

BLOCK = 128  # boxes or pairs per program
TILE_ROWS = 4  # boxes of the first set per program
# A thread computes four pairs in float32, which share their loads, but only one pair in float64, which already fills
# the registers.
TILE_COLUMNS = {torch.float32: 128, torch.float64: 32}
TABLE_ROWS = 9  # values per box: see _fill_box_table
MAX_PAIRS_PER_LAUNCH = 2**31 - 2**16  # the list of pairs stores int32; 2**16 leaves room for incomplete tiles


@triton.jit
def load_boxes(boxes, k, in_range):
    """Load x, y, half width, half height and angle of boxes k, and return whether each box is valid.

    All numbers of boxes that are not ``in_range`` are 0.
    """
    x = tl.load(boxes + k * 5, mask=in_range, other=0)
    y = tl.load(boxes + k * 5 + 1, mask=in_range, other=0)
    a = tl.load(boxes + k * 5 + 2, mask=in_range, other=0) * 0.5
    b = tl.load(boxes + k * 5 + 3, mask=in_range, other=0) * 0.5
    angle = tl.load(boxes + k * 5 + 4, mask=in_range, other=0)
    # a box is valid if its numbers are finite and its area is not 0; comparisons with NaN are false
    valid = (tl.abs(x) < float("inf")) & (tl.abs(y) < float("inf")) & (tl.abs(angle) < float("inf"))
    valid = valid & (a > 0) & (b > 0) & (a < float("inf")) & (b < float("inf"))
    return x, y, a, b, angle, valid


@triton.jit(do_not_specialize=["count"])
def _fill_box_table(boxes, table, count, BLOCK: tl.constexpr):
    """Fill the (9, N) table of (N, 5) boxes.

    Its rows are x (NaN for invalid boxes), y, half width, half height, cosine, sine, radius of the circumscribed
    circle, inverse half width and inverse half height.
    """
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_range = k < count
    x, y, a, b, angle, valid = load_boxes(boxes, k, in_range)
    # cosine and sine are computed in float64 and then rounded, because small errors of the direction are visible in the
    # IoU of long boxes
    angle64 = angle.to(tl.float64)
    one = tl.full([BLOCK], 1, a.dtype)
    tl.store(table + k, tl.where(valid, x, float("nan")), mask=in_range)
    tl.store(table + count + k, y, mask=in_range)
    tl.store(table + count * 2 + k, a, mask=in_range)
    tl.store(table + count * 3 + k, b, mask=in_range)
    tl.store(table + count * 4 + k, tl.cos(angle64).to(a.dtype), mask=in_range)
    tl.store(table + count * 5 + k, tl.sin(angle64).to(a.dtype), mask=in_range)
    tl.store(table + count * 6 + k, tl.sqrt(a * a + b * b), mask=in_range)
    tl.store(table + count * 7 + k, div_rn(one, tl.where(valid, a, 1)), mask=in_range)
    tl.store(table + count * 8 + k, div_rn(one, tl.where(valid, b, 1)), mask=in_range)


def build_box_table(boxes: Tensor) -> Tensor:
    """Build the (9, N) table of (N, 5) boxes that the pairwise kernels read."""
    boxes = boxes.contiguous()
    table = boxes.new_empty((TABLE_ROWS, len(boxes)))
    with on_device(boxes):
        _fill_box_table[(num_blocks(len(boxes), BLOCK),)](boxes, table, len(boxes), BLOCK=BLOCK)
    return table


@triton.jit
def table_overlap(table1, table2, i, j, count1, count2, in_range1, in_range2, IOF: tl.constexpr, EPS: tl.constexpr):
    """Compute the IoU or IoF of boxes i of one table and boxes j of another; the shapes of i and j broadcast."""
    x1 = tl.load(table1 + i, mask=in_range1)
    y1 = tl.load(table1 + count1 + i, mask=in_range1)
    a1 = tl.load(table1 + count1 * 2 + i, mask=in_range1)
    b1 = tl.load(table1 + count1 * 3 + i, mask=in_range1)
    cos1 = tl.load(table1 + count1 * 4 + i, mask=in_range1)
    sin1 = tl.load(table1 + count1 * 5 + i, mask=in_range1)
    x2 = tl.load(table2 + j, mask=in_range2)
    y2 = tl.load(table2 + count2 + j, mask=in_range2)
    a2 = tl.load(table2 + count2 * 2 + j, mask=in_range2)
    b2 = tl.load(table2 + count2 * 3 + j, mask=in_range2)
    cos2 = tl.load(table2 + count2 * 4 + j, mask=in_range2)
    sin2 = tl.load(table2 + count2 * 5 + j, mask=in_range2)
    inverse_a2 = tl.load(table2 + count2 * 7 + j, mask=in_range2)
    inverse_b2 = tl.load(table2 + count2 * 8 + j, mask=in_range2)
    return pair_overlap(
        x1, y1, a1, b1, cos1, sin1, x2, y2, a2, b2, cos2, sin2, inverse_a2, inverse_b2, IOF=IOF, EPS=EPS
    )


@triton.jit
def table_circles_overlap(table1, table2, i, j, count1, count2, in_range1, in_range2):
    """Return whether the circumscribed circles of boxes i of one table and j of another overlap; False out of range."""
    nowhere = float("nan")  # compares false
    x1 = tl.load(table1 + i, mask=in_range1, other=nowhere)
    y1 = tl.load(table1 + count1 + i, mask=in_range1, other=nowhere)
    radius1 = tl.load(table1 + count1 * 6 + i, mask=in_range1, other=nowhere)
    x2 = tl.load(table2 + j, mask=in_range2, other=nowhere)
    y2 = tl.load(table2 + count2 + j, mask=in_range2, other=nowhere)
    radius2 = tl.load(table2 + count2 * 6 + j, mask=in_range2, other=nowhere)
    return circles_overlap(x1, y1, radius1, x2, y2, radius2)


@triton.jit(do_not_specialize=["count1", "count2", "start", "stop"])
def _overlap_tiles(
    table1, table2, out, pair_list, pair_count, count1, count2, start, stop,
    IOF: tl.constexpr, EPS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Compute one tile of ``out`` (stop - start, M), or append its candidate pairs to the list if there are few.

    Zeros are written to the elements of listed pairs until :func:`_overlap_listed` computes them. The list stores the
    position of the pair's element in the flattened ``out``.
    """
    tiles_per_row = tl.cdiv(count2, COLUMNS)
    i = start + tl.program_id(0) // tiles_per_row * ROWS + tl.arange(0, ROWS)[:, None]
    j = tl.program_id(0) % tiles_per_row * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    in_range1 = i < stop
    in_range2 = j < count2
    candidates = table_circles_overlap(table1, table2, i, j, count1, count2, in_range1, in_range2)
    num_candidates = tl.sum(tl.sum(candidates.to(tl.int32), axis=1), axis=0)
    position = (i - start) * count2 + j  # in the flattened out
    overlap = tl.zeros([ROWS, COLUMNS], dtype=out.dtype.element_ty)
    if num_candidates * 4 >= ROWS * COLUMNS:  # at least a quarter of the pairs
        computed = table_overlap(table1, table2, i, j, count1, count2, in_range1, in_range2, IOF, EPS)
        overlap = tl.where(candidates, computed, 0)
    elif num_candidates > 0:
        flat = tl.reshape(candidates.to(tl.int32), [ROWS * COLUMNS])
        rank = tl.reshape(tl.cumsum(flat, axis=0), [ROWS, COLUMNS])  # candidates of the tile numbered from 1
        tl.store(pair_list + tl.atomic_add(pair_count, num_candidates) + rank - 1, position, mask=candidates)
    tl.store(out + position, overlap, mask=in_range1 & in_range2)


@triton.jit(do_not_specialize=["count1", "count2", "start", "num_programs"])
def _overlap_listed(
    table1, table2, out, pair_list, pair_count, count1, count2, start, num_programs,
    IOF: tl.constexpr, EPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute the listed pairs. The length of the list is read on the device, so that the host does not wait for it."""
    total = tl.load(pair_count)
    first = tl.program_id(0) * BLOCK
    while first < total:
        k = first + tl.arange(0, BLOCK)
        in_range = k < total
        position = tl.load(pair_list + k, mask=in_range, other=0)
        i = start + position // count2
        j = position % count2
        overlap = table_overlap(table1, table2, i, j, count1, count2, in_range, in_range, IOF, EPS)
        tl.store(out + position, overlap, mask=in_range)
        first += num_programs * BLOCK


def pairwise_overlap(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    """Compute IoU or IoF of all pairs, without gradient.

    Args:
        boxes1: (N, 5) float32 or float64.
        boxes2: (M, 5) of the same dtype and device.
        mode: ``iou`` or ``iof``.

    Returns:
        (N, M). The computation also allocates a list of about N * M / 4 int32, and nine numbers per box.
    """
    out = boxes1.new_empty((len(boxes1), len(boxes2)))
    if not out.numel():
        return out
    table1, table2 = build_box_table(boxes1), build_box_table(boxes2)
    rows_per_launch = max(1, MAX_PAIRS_PER_LAUNCH // len(boxes2) // TILE_ROWS * TILE_ROWS)
    for start in range(0, len(boxes1), rows_per_launch):
        _fill_rows(out, table1, table2, start, min(start + rows_per_launch, len(boxes1)), mode)
    return out


def _fill_rows(out: Tensor, table1: Tensor, table2: Tensor, start: int, stop: int, mode: str) -> None:
    """Compute the rows from ``start`` to ``stop`` of ``out`` (N, M)."""
    columns = TILE_COLUMNS[out.dtype]
    tiles = num_blocks(stop - start, TILE_ROWS) * num_blocks(out.shape[1], columns)
    # a tile lists less than a quarter of its pairs, because _overlap_tiles computes tiles with more candidates directly
    pair_list = torch.empty(tiles * TILE_ROWS * columns // 4, dtype=torch.int32, device=out.device)
    pair_count = torch.zeros(1, dtype=torch.int32, device=out.device)
    # 8 resident programs per multiprocessor
    num_programs = min(num_blocks(pair_list.numel(), BLOCK), 8 * num_multiprocessors(out))
    arguments = (table1, table2, out[start:stop], pair_list, pair_count, table1.shape[1], table2.shape[1], start)
    constants = dict(IOF=mode == "iof", EPS=torch.finfo(out.dtype).eps)
    with on_device(out):
        _overlap_tiles[(tiles,)](*arguments, stop, **constants, ROWS=TILE_ROWS, COLUMNS=columns)
        _overlap_listed[(num_programs,)](*arguments, num_programs, **constants, BLOCK=BLOCK)


@triton.jit(do_not_specialize=["count"])
def _overlap_aligned(boxes1, boxes2, out, count, IOF: tl.constexpr, EPS: tl.constexpr, BLOCK: tl.constexpr):
    """Compute IoU or IoF ``out`` (N,) of boxes (N, 5), row by row."""
    k = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    in_range = k < count
    x1, y1, a1, b1, angle1, valid1 = load_boxes(boxes1, k, in_range)
    x2, y2, a2, b2, angle2, valid2 = load_boxes(boxes2, k, in_range)
    dx = x2 - x1
    dy = y2 - y1
    cos = tl.cos(angle1)
    sin = tl.sin(angle1)
    relative = angle2 - angle1
    one = tl.full([BLOCK], 1, a2.dtype)
    inverse_a2 = div_rn(one, tl.where(valid2, a2, 1))
    inverse_b2 = div_rn(one, tl.where(valid2, b2, 1))
    cx = dx * cos + dy * sin
    cy = dy * cos - dx * sin
    area = intersection_area(cx, cy, tl.cos(relative), tl.sin(relative), a1, b1, a2, b2, inverse_a2, inverse_b2)
    overlap = area_to_overlap(area, a1, b1, a2, b2, IOF, EPS)
    tl.store(out + k, tl.where(valid1 & valid2, overlap, 0), mask=in_range)


def aligned_overlap(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    """Compute IoU or IoF (N,) of boxes (N, 5), row by row, in float32 or float64, without gradient."""
    boxes1, boxes2 = boxes1.contiguous(), boxes2.contiguous()
    out = boxes1.new_empty(len(boxes1))
    if len(out):
        constants = dict(IOF=mode == "iof", EPS=torch.finfo(out.dtype).eps, BLOCK=BLOCK)
        with on_device(out):
            _overlap_aligned[(num_blocks(len(out), BLOCK),)](boxes1, boxes2, out, len(out), **constants)
    return out
