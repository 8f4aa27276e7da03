"""The gradient of the aligned overlap, from the boundary of the intersection instead of the chain of its arithmetic.

When a side of box Q moves outwards, its intersection with box P grows by the part of the side that lies inside P, times
the way it moves. So the derivatives of the area by Q's five numbers are sums over Q's four sides of the length inside P
and, for the angle, of its first moment. P's five follow with the parts exchanged. Where sides coincide, half of them
counts as inside, the mean of the two one-sided derivatives: two identical boxes have gradient 0.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from rotated_atss.ops.kernels.iou_kernels import BLOCK, aligned_overlap, load_boxes
from rotated_atss.ops.kernels.launch import blocks, on_device
from rotated_atss.ops.kernels.overlap import divided


@triton.jit
def within(m, e, half):
    """Between which t, from -1 to 1, ``m + t e`` lies in [-half, half]; along the border the middle half of them."""
    inverse = divided(tl.full(e.shape, 1, e.dtype), tl.where(e == 0, 1, e))
    room = half - tl.abs(m)
    middle = tl.where(e == 0, 0, -m * inverse)
    reach = tl.where(e == 0, tl.where(room > 0, 1, tl.where(room == 0, 0.5, 0)), half * tl.abs(inverse))
    return middle - reach, middle + reach


@triton.jit
def side_inside(mx, my, ex, ey, half, a, b):
    """Length and first moment about m of the part of the side ``m + t e``, |t| <= 1, with |x| <= a and |y| <= b."""
    x0, x1 = within(mx, ex, a)
    y0, y1 = within(my, ey, b)
    t0 = tl.maximum(tl.maximum(x0, y0), -1)
    t1 = tl.maximum(tl.minimum(tl.minimum(x1, y1), 1), t0)
    return half * (t1 - t0), half * half * 0.5 * (t1 - t0) * (t1 + t0)


@triton.jit
def area_gradient(dx, dy, cos_frame, sin_frame, cos, sin, a, b, a2, b2):
    """Derivatives of the intersection by centre, width, height and angle of the box of half sides a2, b2, turned by
    ``cos, sin`` against the box of half sides a, b, which lies (dx, dy) before it and has the frame's angle.
    """
    cx = dx * cos_frame + dy * sin_frame
    cy = dy * cos_frame - dx * sin_frame
    ux = a2 * cos
    uy = a2 * sin
    vx = -b2 * sin
    vy = b2 * cos
    right, right_moment = side_inside(cx + ux, cy + uy, vx, vy, b2, a, b)
    left, left_moment = side_inside(cx - ux, cy - uy, vx, vy, b2, a, b)
    lower, lower_moment = side_inside(cx + vx, cy + vy, ux, uy, a2, a, b)
    upper, upper_moment = side_inside(cx - vx, cy - vy, ux, uy, a2, a, b)
    along = right - left
    across = lower - upper
    gx = along * cos - across * sin
    gy = along * sin + across * cos
    turning = left_moment - right_moment + lower_moment - upper_moment
    return (
        gx * cos_frame - gy * sin_frame,
        gx * sin_frame + gy * cos_frame,
        (right + left) * 0.5,
        (lower + upper) * 0.5,
        turning,
    )


@triton.jit
def store_gradient(out, k, there, counts, area_weight, size_weight, gx, gy, gw, gh, turning, a, b):
    """Chain rule: the overlap depends on the intersection and on the box's own area w h."""
    tl.store(out + k * 5, tl.where(counts, area_weight * gx, 0), mask=there)
    tl.store(out + k * 5 + 1, tl.where(counts, area_weight * gy, 0), mask=there)
    tl.store(out + k * 5 + 2, tl.where(counts, area_weight * gw + size_weight * b * 2, 0), mask=there)
    tl.store(out + k * 5 + 3, tl.where(counts, area_weight * gh + size_weight * a * 2, 0), mask=there)
    tl.store(out + k * 5 + 4, tl.where(counts, area_weight * turning, 0), mask=there)


@triton.jit(do_not_specialize=["count"])
def _backward(
    boxes1, boxes2, overlaps, weights, out1, out2, count, IOF: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    k = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = k < count
    x1, y1, a1, b1, angle1, sound1 = load_boxes(boxes1, k, there)
    x2, y2, a2, b2, angle2, sound2 = load_boxes(boxes2, k, there)
    overlap = tl.load(overlaps + k, mask=there, other=0)
    weight = tl.load(weights + k, mask=there, other=0)
    counts = overlap > 0  # by which it has sense and is not clamped
    size1 = tl.where(counts, a1 * b1 * 4, 1)
    size2 = tl.where(counts, a2 * b2 * 4, 1)
    if IOF:
        area_weight = weight / size1
        size_weight1 = -weight * overlap / size1
        size_weight2 = tl.zeros_like(size_weight1)
    else:
        # with I = o U and U + I = S, the sum of the areas: dI S / U^2 - I dS / U^2
        union = (size1 + size2) / (1 + overlap)
        area_weight = weight * (1 + overlap) / union
        size_weight1 = -weight * overlap / union
        size_weight2 = size_weight1
    cos1 = tl.cos(angle1)
    sin1 = tl.sin(angle1)
    cos2 = tl.cos(angle2)
    sin2 = tl.sin(angle2)
    cos = tl.cos(angle2 - angle1)
    sin = tl.sin(angle2 - angle1)
    dx = x2 - x1
    dy = y2 - y1
    gx, gy, gw, gh, turning = area_gradient(dx, dy, cos1, sin1, cos, sin, a1, b1, a2, b2)
    store_gradient(out2, k, there, counts, area_weight, size_weight2, gx, gy, gw, gh, turning, a2, b2)
    gx, gy, gw, gh, turning = area_gradient(-dx, -dy, cos2, sin2, cos, -sin, a2, b2, a1, b1)
    store_gradient(out1, k, there, counts, area_weight, size_weight1, gx, gy, gw, gh, turning, a1, b1)


class AlignedOverlap(torch.autograd.Function):
    """``apply(boxes1, boxes2, mode)``: (N,) IoU or IoF of (N, 5) boxes row by row; differentiable once, in both."""

    @staticmethod
    def forward(ctx: Any, boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
        boxes1, boxes2 = boxes1.contiguous(), boxes2.contiguous()
        overlap = aligned_overlap(boxes1, boxes2, mode)
        ctx.save_for_backward(boxes1, boxes2, overlap)
        ctx.mode = mode
        return overlap

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor, Tensor, None]:
        boxes1, boxes2, overlap = ctx.saved_tensors
        out1, out2 = torch.empty_like(boxes1), torch.empty_like(boxes2)
        if len(overlap):
            given = (boxes1, boxes2, overlap, weight.contiguous(), out1, out2, len(overlap))
            with on_device(overlap):
                _backward[(blocks(len(overlap), BLOCK),)](*given, IOF=ctx.mode == "iof", BLOCK=BLOCK)
        return out1, out2, None
