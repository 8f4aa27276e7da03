"""Gradient of the IoU and IoF of boxes compared row by row, computed from the boundary of the intersection.

Let P and Q be two boxes. If a side of Q moves outwards, the area of the intersection grows by the displacement times
the length of the part of this side that lies inside P. Each derivative of the area with respect to one of Q's five
numbers is therefore a sum over Q's four sides. The terms are the lengths inside P or, for the angle, the first moments
of these parts. The derivatives with respect to P follow by exchanging the boxes. Where sides coincide, half of their
common length counts as inside. This is the mean of the two one-sided derivatives, and two identical boxes have zero
gradient.
"""

# ruff: noqa: N803 - compile-time arguments of Triton kernels are written in capitals

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from rotated_atss.ops.kernels.iou_kernels import BLOCK, aligned_overlap, load_boxes
from rotated_atss.ops.kernels.launch import num_blocks, on_device
from rotated_atss.ops.kernels.overlap import inverse, is_negligible


@triton.jit
def inside_interval(m, e, bound):
    """Return the interval of t for which ``m + t e`` lies in [-bound, bound].

    If e is negligible, t does not matter. The interval is then [-1, 1] if m is inside, empty if m is outside, and
    [-0.5, 0.5] if m is exactly on the border, where half of the length counts.
    """
    constant = is_negligible(e)
    slack = bound - tl.abs(m)
    middle = tl.where(constant, 0, -m * inverse(e))
    reach = tl.where(constant, tl.where(slack > 0, 1, tl.where(slack == 0, 0.5, 0)), bound * tl.abs(inverse(e)))
    return middle - reach, middle + reach


@triton.jit
def clip_side(mx, my, ex, ey, half_length, a, b):
    """Clip a side to the box |x| <= a, |y| <= b, and return the length and the first moment of the remaining part.

    The side is ``m + t e``, |t| <= 1, ``half_length`` is half its length, and the moment is about its midpoint m.
    """
    x0, x1 = inside_interval(mx, ex, a)
    y0, y1 = inside_interval(my, ey, b)
    t0 = tl.maximum(tl.maximum(x0, y0), -1)
    t1 = tl.maximum(tl.minimum(tl.minimum(x1, y1), 1), t0)
    return half_length * (t1 - t0), half_length * half_length * 0.5 * (t1 - t0) * (t1 + t0)


@triton.jit
def area_gradient(dx, dy, cos_frame, sin_frame, cos, sin, a, b, a2, b2):
    """Return the derivatives of the intersection area with respect to x, y, w, h and angle of the second box.

    The first box has half sides a, b and the angle ``cos_frame, sin_frame``. The second box has half sides a2, b2 and
    is rotated by ``cos, sin`` relative to the first. (dx, dy) is the vector
    from the first center to the second one in image coordinates.
    """
    cx = dx * cos_frame + dy * sin_frame
    cy = dy * cos_frame - dx * sin_frame
    ux = a2 * cos
    uy = a2 * sin
    vx = -b2 * sin
    vy = b2 * cos
    # length and moment of the part of each side of the second box that lies inside the first box; left, right, upper
    # and lower refer to the second box's frame, in which the lower side has the larger y
    right, right_moment = clip_side(cx + ux, cy + uy, vx, vy, b2, a, b)
    left, left_moment = clip_side(cx - ux, cy - uy, vx, vy, b2, a, b)
    lower, lower_moment = clip_side(cx + vx, cy + vy, ux, uy, a2, a, b)
    upper, upper_moment = clip_side(cx - vx, cy - vy, ux, uy, a2, a, b)
    # derivatives with respect to a shift of the second box: along and across are along the second box's own width and
    # height axes, gx and gy along the axes of the first box
    along = right - left
    across = lower - upper
    gx = along * cos - across * sin
    gy = along * sin + across * cos
    # Consider the point of a side at distance s from the side's midpoint, in the direction of u (upper and lower side)
    # or v (left and right side). A small rotation by d moves this point outwards by s d on the lower and left side, and
    # by -s d on the upper and right side.
    g_angle = left_moment - right_moment + lower_moment - upper_moment
    return (
        gx * cos_frame - gy * sin_frame,
        gx * sin_frame + gy * cos_frame,
        (right + left) * 0.5,  # if w grows by 1, each of the two sides moves by 0.5
        (lower + upper) * 0.5,
        g_angle,
    )


@triton.jit
def store_gradient(grads, k, in_range, differentiable, grad_inter, grad_area, gx, gy, gw, gh, g_angle, a, b):
    """Store the gradient of the loss with respect to the five numbers of box k.

    ``grad_inter`` and ``grad_area`` are the derivatives of the loss with respect to the intersection area and to the
    area w h of box k. By the chain rule, the gradient is ``grad_inter`` times the derivatives ``gx ... g_angle`` of the
    intersection area, plus ``grad_area`` times the derivatives of w h.
    """
    tl.store(grads + k * 5, tl.where(differentiable, grad_inter * gx, 0), mask=in_range)
    tl.store(grads + k * 5 + 1, tl.where(differentiable, grad_inter * gy, 0), mask=in_range)
    tl.store(grads + k * 5 + 2, tl.where(differentiable, grad_inter * gw + grad_area * b * 2, 0), mask=in_range)
    tl.store(grads + k * 5 + 3, tl.where(differentiable, grad_inter * gh + grad_area * a * 2, 0), mask=in_range)
    tl.store(grads + k * 5 + 4, tl.where(differentiable, grad_inter * g_angle, 0), mask=in_range)


@triton.jit(do_not_specialize=["count"])
def _backward(
    boxes1, boxes2, overlaps, grad_overlaps, grads1, grads2, count, IOF: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Compute the gradients (N, 5) of both arguments from the overlaps (N,) and their gradients (N,)."""
    k = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    in_range = k < count
    # a and b are half of w and h
    x1, y1, a1, b1, angle1, _ = load_boxes(boxes1, k, in_range)
    x2, y2, a2, b2, angle2, _ = load_boxes(boxes2, k, in_range)
    overlap = tl.load(overlaps + k, mask=in_range, other=0)
    grad_overlap = tl.load(grad_overlaps + k, mask=in_range, other=0)
    differentiable = overlap > 0  # an overlap of 0 belongs to invalid or disjoint boxes and gets the gradient 0
    area1 = tl.where(differentiable, a1 * b1 * 4, 1)
    area2 = tl.where(differentiable, a2 * b2 * 4, 1)
    if IOF:
        grad_inter = grad_overlap / area1
        grad_area1 = -grad_overlap * overlap / area1
        grad_area2 = tl.zeros_like(grad_area1)
    else:
        # IoU o = I / U with U = S - I, where S is the sum of the areas, so S = U (1 + o) and
        # do = dI S / U^2 - dS I / U^2 = dI (1 + o) / U - dS o / U
        union = (area1 + area2) / (1 + overlap)
        grad_inter = grad_overlap * (1 + overlap) / union
        grad_area1 = -grad_overlap * overlap / union
        grad_area2 = grad_area1
    cos1 = tl.cos(angle1)
    sin1 = tl.sin(angle1)
    cos2 = tl.cos(angle2)
    sin2 = tl.sin(angle2)
    cos = tl.cos(angle2 - angle1)
    sin = tl.sin(angle2 - angle1)
    dx = x2 - x1
    dy = y2 - y1
    gx, gy, gw, gh, g_angle = area_gradient(dx, dy, cos1, sin1, cos, sin, a1, b1, a2, b2)
    store_gradient(grads2, k, in_range, differentiable, grad_inter, grad_area2, gx, gy, gw, gh, g_angle, a2, b2)
    gx, gy, gw, gh, g_angle = area_gradient(-dx, -dy, cos2, sin2, cos, -sin, a2, b2, a1, b1)
    store_gradient(grads1, k, in_range, differentiable, grad_inter, grad_area1, gx, gy, gw, gh, g_angle, a1, b1)


class AlignedOverlap(torch.autograd.Function):
    """IoU or IoF, row by row, differentiable once in both arguments: ``apply(boxes1, boxes2, mode)``."""

    @staticmethod
    def forward(ctx: Any, boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
        """Compute the overlap (N,) of boxes (N, 5)."""
        boxes1, boxes2 = boxes1.contiguous(), boxes2.contiguous()
        overlap = aligned_overlap(boxes1, boxes2, mode)
        ctx.save_for_backward(boxes1, boxes2, overlap)
        ctx.mode = mode
        return overlap

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_overlap: Tensor) -> tuple[Tensor, Tensor, None]:
        """Compute the gradients (N, 5) of both arguments from the gradient (N,) of the overlap."""
        boxes1, boxes2, overlap = ctx.saved_tensors
        grads1, grads2 = torch.empty_like(boxes1), torch.empty_like(boxes2)
        if len(overlap):
            arguments = (boxes1, boxes2, overlap, grad_overlap.contiguous(), grads1, grads2, len(overlap))
            with on_device(overlap):
                _backward[(num_blocks(len(overlap), BLOCK),)](*arguments, IOF=ctx.mode == "iof", BLOCK=BLOCK)
        return grads1, grads2, None
