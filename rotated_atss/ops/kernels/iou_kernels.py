"""Overlap of oriented boxes as Triton kernels: all with all, and row by row with a gradient.

All with all takes a box's sine, cosine and radius once a box, not once a pair, and rejects in two steps that suit a
GPU, where threads of a block wait for each other. A tile of which a quarter of the circles meet is computed where it
is. Of a tile with fewer such pairs these are noted in a list, and a second kernel computes the list, so that no thread
works on a pair that is apart. Nothing is asked of the host in between.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from rotated_atss.ops.kernels.launch import blocks, on_device, processors
from rotated_atss.ops.kernels.overlap import circles_meet, divided, intersection, pair_overlap, share

BLOCK = 128
TILE_ROWS = 4
# four pairs a thread for float32, sharing what they load; one for float64, which fills the registers
TILE_COLUMNS = {torch.float32: 128, torch.float64: 32}
TABLE_ROWS = 9
PAIRS_AT_ONCE = 2**31 - 2**16  # a pair's place in the list is an int32


# -- a box's numbers ---------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["count"])
def _describe(boxes, table, count, BLOCK: tl.constexpr):
    """(N, 5) boxes to a (9, N) table: x, y, half sides, cosine, sine, radius, inverse half sides; x is NaN for a box
    without sense.
    """
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = k < count
    x = tl.load(boxes + k * 5, mask=there, other=0)
    y = tl.load(boxes + k * 5 + 1, mask=there, other=0)
    a = tl.load(boxes + k * 5 + 2, mask=there, other=0) * 0.5
    b = tl.load(boxes + k * 5 + 3, mask=there, other=0) * 0.5
    angle = tl.load(boxes + k * 5 + 4, mask=there, other=0)
    sound = _sound(x, y, a, b, angle)
    # in float64 and rounded: two boxes' directions differ by what these round, and a long box shows it
    exact = angle.to(tl.float64)
    one = tl.full([BLOCK], 1, a.dtype)
    tl.store(table + k, tl.where(sound, x, float("nan")), mask=there)
    tl.store(table + count + k, y, mask=there)
    tl.store(table + count * 2 + k, a, mask=there)
    tl.store(table + count * 3 + k, b, mask=there)
    tl.store(table + count * 4 + k, tl.cos(exact).to(a.dtype), mask=there)
    tl.store(table + count * 5 + k, tl.sin(exact).to(a.dtype), mask=there)
    tl.store(table + count * 6 + k, tl.sqrt(a * a + b * b), mask=there)
    tl.store(table + count * 7 + k, divided(one, tl.where(sound, a, 1)), mask=there)
    tl.store(table + count * 8 + k, divided(one, tl.where(sound, b, 1)), mask=there)


@triton.jit
def _sound(x, y, a, b, angle):
    """Whether a box has finite numbers and an area. NaN compares false."""
    placed = (tl.abs(x) < float("inf")) & (tl.abs(y) < float("inf")) & (tl.abs(angle) < float("inf"))
    return placed & (a > 0) & (b > 0) & (a < float("inf")) & (b < float("inf"))


def describe(boxes: Tensor) -> Tensor:
    """The (9, N) table of (N, 5) boxes that the kernels of pairs read."""
    boxes = boxes.contiguous()
    table = boxes.new_empty((TABLE_ROWS, len(boxes)))
    with on_device(boxes):
        _describe[(blocks(len(boxes), BLOCK),)](boxes, table, len(boxes), BLOCK=BLOCK)
    return table


# -- all with all ------------------------------------------------------------------------------------------------------


@triton.jit
def table_overlap(table1, table2, i, j, count1, count2, there1, there2, IOF: tl.constexpr, EPS: tl.constexpr):
    """IoU or IoF of the boxes i of one table with the boxes j of another, of shapes that broadcast."""
    x1 = tl.load(table1 + i, mask=there1)
    y1 = tl.load(table1 + count1 + i, mask=there1)
    a1 = tl.load(table1 + count1 * 2 + i, mask=there1)
    b1 = tl.load(table1 + count1 * 3 + i, mask=there1)
    cos1 = tl.load(table1 + count1 * 4 + i, mask=there1)
    sin1 = tl.load(table1 + count1 * 5 + i, mask=there1)
    x2 = tl.load(table2 + j, mask=there2)
    y2 = tl.load(table2 + count2 + j, mask=there2)
    a2 = tl.load(table2 + count2 * 2 + j, mask=there2)
    b2 = tl.load(table2 + count2 * 3 + j, mask=there2)
    cos2 = tl.load(table2 + count2 * 4 + j, mask=there2)
    sin2 = tl.load(table2 + count2 * 5 + j, mask=there2)
    inverse_a2 = tl.load(table2 + count2 * 7 + j, mask=there2)
    inverse_b2 = tl.load(table2 + count2 * 8 + j, mask=there2)
    return pair_overlap(
        x1, y1, a1, b1, cos1, sin1, x2, y2, a2, b2, cos2, sin2, inverse_a2, inverse_b2, IOF=IOF, EPS=EPS
    )


@triton.jit
def table_circles_meet(table1, table2, i, j, count1, count2, there1, there2):
    """Whether the circles of the boxes i of one table and j of another meet; never where there is no box."""
    nowhere = float("nan")
    x1 = tl.load(table1 + i, mask=there1, other=nowhere)
    y1 = tl.load(table1 + count1 + i, mask=there1, other=nowhere)
    radius1 = tl.load(table1 + count1 * 6 + i, mask=there1, other=nowhere)
    x2 = tl.load(table2 + j, mask=there2, other=nowhere)
    y2 = tl.load(table2 + count2 + j, mask=there2, other=nowhere)
    radius2 = tl.load(table2 + count2 * 6 + j, mask=there2, other=nowhere)
    return circles_meet(x1, y1, radius1, x2, y2, radius2)


@triton.jit(do_not_specialize=["count1", "count2", "start", "stop"])
def _tiles(
    table1, table2, out, listed, length, count1, count2, start, stop,
    IOF: tl.constexpr, EPS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """One tile of ``out`` (stop - start, M): computed, or zeros and the few pairs worth computing added to the list."""
    across = tl.cdiv(count2, COLUMNS)
    i = start + tl.program_id(0) // across * ROWS + tl.arange(0, ROWS)[:, None]
    j = tl.program_id(0) % across * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    there1 = i < stop
    there2 = j < count2
    meet = table_circles_meet(table1, table2, i, j, count1, count2, there1, there2)
    met = tl.sum(tl.sum(meet.to(tl.int32), axis=1), axis=0)
    place = (i - start) * count2 + j
    overlap = tl.zeros([ROWS, COLUMNS], dtype=out.dtype.element_ty)
    if met * 4 >= ROWS * COLUMNS:
        exact = table_overlap(table1, table2, i, j, count1, count2, there1, there2, IOF, EPS)
        overlap = tl.where(meet, exact, 0)
    elif met > 0:
        meet_flat = tl.reshape(meet.to(tl.int32), [ROWS * COLUMNS])
        rank = tl.reshape(tl.cumsum(meet_flat, axis=0), [ROWS, COLUMNS])
        tl.store(listed + tl.atomic_add(length, met) + rank - 1, place, mask=meet)
    tl.store(out + place, overlap, mask=there1 & there2)


@triton.jit(do_not_specialize=["count1", "count2", "start", "programs"])
def _listed(
    table1, table2, out, listed, length, count1, count2, start, programs,
    IOF: tl.constexpr, EPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The listed pairs, however many: only the device knows."""
    total = tl.load(length)
    first = tl.program_id(0) * BLOCK
    while first < total:
        k = first + tl.arange(0, BLOCK)
        there = k < total
        place = tl.load(listed + k, mask=there, other=0)
        i = start + place // count2
        j = place % count2
        overlap = table_overlap(table1, table2, i, j, count1, count2, there, there, IOF, EPS)
        tl.store(out + place, overlap, mask=there)
        first += programs * BLOCK


def pairwise_overlap(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    """IoU or IoF of all with all, no gradient.

    Args:
        boxes1: (N, 5) float32 or float64.
        boxes2: (M, 5) of the same dtype and device.
        mode: ``iou`` or ``iof``.

    Returns:
        (N, M). Besides it a quarter as many int32 are needed, and nine numbers a box.
    """
    out = boxes1.new_empty((len(boxes1), len(boxes2)))
    if not out.numel():
        return out
    table1, table2 = describe(boxes1), describe(boxes2)
    rows = max(1, PAIRS_AT_ONCE // len(boxes2) // TILE_ROWS * TILE_ROWS)
    for start in range(0, len(boxes1), rows):
        _fill_rows(out, table1, table2, start, min(start + rows, len(boxes1)), mode)
    return out


def _fill_rows(out: Tensor, table1: Tensor, table2: Tensor, start: int, stop: int, mode: str) -> None:
    part = out[start:stop]
    columns = TILE_COLUMNS[out.dtype]
    tiles = blocks(stop - start, TILE_ROWS) * blocks(out.shape[1], columns)
    listed = torch.empty(tiles * TILE_ROWS * columns // 4, dtype=torch.int32, device=out.device)
    length = torch.zeros(1, dtype=torch.int32, device=out.device)
    programs = min(blocks(listed.numel(), BLOCK), 8 * processors(out))
    shared = (table1, table2, part, listed, length, table1.shape[1], table2.shape[1], start)
    fixed = dict(IOF=mode == "iof", EPS=torch.finfo(out.dtype).eps)
    with on_device(out):
        _tiles[(tiles,)](*shared, stop, **fixed, ROWS=TILE_ROWS, COLUMNS=columns)
        _listed[(programs,)](*shared, programs, **fixed, BLOCK=BLOCK)


# -- row by row --------------------------------------------------------------------------------------------------------


@triton.jit
def load_boxes(boxes, k, there):
    """x, y, half sides and angle of the boxes k, zeros where there is none, and whether they have sense."""
    x = tl.load(boxes + k * 5, mask=there, other=0)
    y = tl.load(boxes + k * 5 + 1, mask=there, other=0)
    a = tl.load(boxes + k * 5 + 2, mask=there, other=0) * 0.5
    b = tl.load(boxes + k * 5 + 3, mask=there, other=0) * 0.5
    angle = tl.load(boxes + k * 5 + 4, mask=there, other=0)
    return x, y, a, b, angle, _sound(x, y, a, b, angle)


@triton.jit(do_not_specialize=["count"])
def _aligned(boxes1, boxes2, out, count, IOF: tl.constexpr, EPS: tl.constexpr, BLOCK: tl.constexpr):
    k = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = k < count
    x1, y1, a1, b1, angle1, sound1 = load_boxes(boxes1, k, there)
    x2, y2, a2, b2, angle2, sound2 = load_boxes(boxes2, k, there)
    dx = x2 - x1
    dy = y2 - y1
    cos = tl.cos(angle1)
    sin = tl.sin(angle1)
    turn = angle2 - angle1
    one = tl.full([BLOCK], 1, a2.dtype)
    inverse_a2 = divided(one, tl.where(sound2, a2, 1))
    inverse_b2 = divided(one, tl.where(sound2, b2, 1))
    cx = dx * cos + dy * sin
    cy = dy * cos - dx * sin
    area = intersection(cx, cy, tl.cos(turn), tl.sin(turn), a1, b1, a2, b2, inverse_a2, inverse_b2)
    overlap = share(area, a1, b1, a2, b2, IOF, EPS)
    tl.store(out + k, tl.where(sound1 & sound2, overlap, 0), mask=there)


def aligned_overlap(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    """(N,) IoU or IoF of (N, 5) boxes row by row, float32 or float64, no gradient."""
    boxes1, boxes2 = boxes1.contiguous(), boxes2.contiguous()
    out = boxes1.new_empty(len(boxes1))
    if len(out):
        fixed = dict(IOF=mode == "iof", EPS=torch.finfo(out.dtype).eps, BLOCK=BLOCK)
        with on_device(out):
            _aligned[(blocks(len(out), BLOCK),)](boxes1, boxes2, out, len(out), **fixed)
    return out
