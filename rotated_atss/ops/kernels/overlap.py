"""The closed form of :mod:`rotated_atss.ops.iou` for one pair of boxes a thread: what all kernels share.

A thread of a tile holds numbers, not tensors, so that the four edges are written out as two directions with two edges
each. What the two edges of a direction share is computed once.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Additions, multiplications, divisions, minima, maxima and absolute values of `pair_overlap`, a fused multiply-add
# counted as two. Negations and comparisons are not counted. A test counts in the compiler's own listing.
FLOPS_PER_PAIR = 182


@triton.jit
def divided(x, y):
    """The quotient rounded to nearest: two ulp more in a reciprocal and boxes apart overlap by more than nothing."""
    if x.dtype == tl.float64:
        quotient = x / y
    else:
        quotient = tl.div_rn(x, y)
    return quotient


@triton.jit
def clamped(x, low, high):
    return tl.minimum(tl.maximum(x, low), high)


@triton.jit
def inverse(x):
    """1 / x, and 1 for 0: what it is multiplied with there is 0 or does not matter."""
    return divided(tl.full(x.shape, 1, x.dtype), tl.where(x == 0, 1, x))


@triton.jit
def edge_integral(mx, my, ex, ey, inverse_x, inverse_y, reach_x, reach_y, b):
    """Twice the integral of ``clamp(y, -b, b) dt`` along the edge ``m + t e``, t from -1 to 1, where it is in the slab.

    Up to the breakpoint s0 the clamped y is what it is at t0, from s1 on what it is at t1: two values of it will do.
    """
    middle = -mx * inverse_x
    t0 = clamped(middle - reach_x, -1, 1)
    t1 = clamped(middle + reach_x, -1, 1)
    middle = -my * inverse_y
    split = clamped(middle - reach_y, t0, t1) + clamped(middle + reach_y, t0, t1)
    first = clamped(my + t0 * ey, -b, b)
    last = clamped(my + t1 * ey, -b, b)
    return first * (split - 2 * t0) + last * (2 * t1 - split)


@triton.jit
def direction(cx, cy, px, py, ex, ey, inverse_x, inverse_y, a, b):
    """What the edges ``c + p`` along ``e`` and ``c - p`` along ``-e`` add."""
    reach_x = a * tl.abs(inverse_x)
    reach_y = b * tl.abs(inverse_y)
    there = edge_integral(cx + px, cy + py, ex, ey, inverse_x, inverse_y, reach_x, reach_y, b)
    back = edge_integral(cx - px, cy - py, ex, ey, inverse_x, inverse_y, reach_x, reach_y, b)
    return ex * 0.5 * (there - back)


@triton.jit
def intersection(cx, cy, cos, sin, a, b, a2, b2, inverse_a2, inverse_b2):
    """Area that the box ``|x| <= a, |y| <= b`` shares with one of half sides a2, b2 at (cx, cy), turned."""
    ux = a2 * cos
    uy = a2 * sin
    vx = -b2 * sin
    vy = b2 * cos
    # two divisions serve all four components of the edges
    inverse_cos = inverse(cos)
    inverse_sin = inverse(sin)
    width = direction(cx, cy, vx, vy, ux, uy, inverse_cos * inverse_a2, inverse_sin * inverse_a2, a, b)
    height = direction(cx, cy, -ux, -uy, vx, vy, -inverse_sin * inverse_b2, inverse_cos * inverse_b2, a, b)
    return width + height


@triton.jit
def share(area, a, b, a2, b2, IOF: tl.constexpr, EPS: tl.constexpr):
    """Area to IoU or IoF, with the zeros of the plain version: rounding is no overlap, nor is what is not finite."""
    area1 = a * b * 4
    area2 = a2 * b2 * 4
    inter = tl.minimum(area, tl.minimum(area1, area2))
    longest = tl.maximum(a, tl.maximum(a2, b2))
    inter = tl.where(inter > 8 * EPS * b * longest, inter, 0)
    if IOF:
        whole = area1
    else:
        whole = area1 + area2 - inter
    overlap = divided(inter, tl.where(whole > 0, whole, 1))
    sound = (whole > 0) & (tl.abs(overlap) < float("inf"))
    return tl.where(sound, tl.minimum(overlap, 1), 0)


@triton.jit
def pair_overlap(
    x1, y1, a1, b1, cos1, sin1, x2, y2, a2, b2, cos2, sin2, inverse_a2, inverse_b2, IOF: tl.constexpr, EPS: tl.constexpr
):
    """IoU or IoF of two boxes from their tables' rows."""
    dx = x2 - x1
    dy = y2 - y1
    cx = dx * cos1 + dy * sin1
    cy = dy * cos1 - dx * sin1
    cos = cos2 * cos1 + sin2 * sin1
    sin = sin2 * cos1 - cos2 * sin1
    area = intersection(cx, cy, cos, sin, a1, b1, a2, b2, inverse_a2, inverse_b2)
    return share(area, a1, b1, a2, b2, IOF, EPS)


@triton.jit
def circles_meet(x1, y1, radius1, x2, y2, radius2):
    """Whether the circumscribed circles meet, with a little slack; False for a box without sense, whose x is NaN."""
    dx = x2 - x1
    dy = y2 - y1
    reach = (radius1 + radius2) * 1.00001
    return dx * dx + dy * dy <= reach * reach
