"""The closed form of :mod:`rotated_atss.ops.iou` for one pair of boxes per thread, shared by all kernels.

A thread works on numbers instead of tensors, so the four edges are written out as two directions with two edges each.
Terms that the two edges of a direction have in common are computed once.
"""

# ruff: noqa: N803 - compile-time arguments of Triton kernels are written in capitals

from __future__ import annotations

import triton
import triton.language as tl

# Number of additions, multiplications, divisions, minima, maxima and absolute values in `pair_overlap`; a fused
# multiply-add counts as two. Negations and comparisons are not counted. A test compares the number with the compiler's
# output.
FLOPS_PER_PAIR = 184


@triton.jit
def div_rn(x, y):
    """Divide with rounding to nearest.

    Triton's default division of float32 is faster, but its error of up to 2 ulp gives disjoint boxes an IoU above 0.
    """
    if x.dtype == tl.float64:  # noqa: SIM108 - resolved at compile time
        quotient = x / y
    else:
        quotient = tl.div_rn(x, y)
    return quotient


@triton.jit
def clamp(x, low, high):
    """Clamp x to [low, high]."""
    return tl.minimum(tl.maximum(x, low), high)


@triton.jit
def is_negligible(x):
    """Return whether |x| is below the square root of the smallest normal number, so that y / x may overflow."""
    if x.dtype == tl.float64:  # noqa: SIM108 - resolved at compile time
        negligible = tl.abs(x) < 1.5e-154
    else:
        negligible = tl.abs(x) < 1.1e-19
    return negligible


@triton.jit
def inverse(x):
    """Return 1 / x, or 1 if x is negligible, because callers then multiply the result by nearly 0 or ignore it."""
    return div_rn(tl.full(x.shape, 1, x.dtype), tl.where(is_negligible(x), 1, x))


@triton.jit
def edge_integral(mx, my, ex, ey, inverse_x, inverse_y, reach_x, reach_y, b):
    """Compute twice the integral of ``clamp(y, -b, b) dt`` over the part of an edge with |x| <= a.

    The edge is ``m + t e``, |t| <= 1, and its part with |x| <= a is t0 <= t <= t1. The clamped y is y0 from t0 to the
    breakpoint s0, linear from s0 to the breakpoint s1, and y1 from s1 to t1. The integral is the same as for a step
    function that jumps from y0 to y1 halfway between s0 and s1.

    ``inverse_x, inverse_y`` are 1 / ex and 1 / ey; ``reach_x, reach_y`` are a / |ex| and b / |ey|. The caller
    multiplies the result by ex / 2.
    """
    middle_x = -mx * inverse_x
    t0 = clamp(middle_x - reach_x, -1, 1)
    t1 = clamp(middle_x + reach_x, -1, 1)
    middle_y = -my * inverse_y
    twice_jump = clamp(middle_y - reach_y, t0, t1) + clamp(middle_y + reach_y, t0, t1)  # s0 + s1
    y0 = clamp(my + t0 * ey, -b, b)
    y1 = clamp(my + t1 * ey, -b, b)
    return y0 * (twice_jump - 2 * t0) + y1 * (2 * t1 - twice_jump)


@triton.jit
def opposite_edges_area(cx, cy, px, py, ex, ey, inverse_x, inverse_y, a, b):
    """Compute what the opposite edges ``c + p + t e`` and ``c - p - t e``, |t| <= 1, contribute to the area.

    The direction of p is that of e after a quarter turn from the x axis to the y axis. If ``ex > 0``, the edge at
    ``c + p`` is therefore the edge with the larger y, so its integral is added and the other one is
    subtracted.
    """
    reach_x = a * tl.abs(inverse_x)
    reach_y = b * tl.abs(inverse_y)
    forward = edge_integral(cx + px, cy + py, ex, ey, inverse_x, inverse_y, reach_x, reach_y, b)
    backward = edge_integral(cx - px, cy - py, ex, ey, inverse_x, inverse_y, reach_x, reach_y, b)
    return ex * 0.5 * (forward - backward)


@triton.jit
def intersection_area(cx, cy, cos, sin, a, b, a2, b2, inverse_a2, inverse_b2):
    """Compute the area that the box ``|x| <= a, |y| <= b`` shares with a rotated box of half sides a2, b2 at cx, cy."""
    ux = a2 * cos
    uy = a2 * sin
    vx = -b2 * sin
    vy = b2 * cos
    # The inverse of each of ux, uy, vx and vy is a product of the inverses of one side and of cos or sin. This takes
    # two divisions instead of four.
    inverse_cos = inverse(cos)
    inverse_sin = inverse(sin)
    area_u = opposite_edges_area(cx, cy, vx, vy, ux, uy, inverse_cos * inverse_a2, inverse_sin * inverse_a2, a, b)
    area_v = opposite_edges_area(cx, cy, -ux, -uy, vx, vy, -inverse_sin * inverse_b2, inverse_cos * inverse_b2, a, b)
    return area_u + area_v


@triton.jit
def area_to_overlap(area, a, b, a2, b2, IOF: tl.constexpr, EPS: tl.constexpr):
    """Convert an intersection area to IoU or IoF; rounding errors and non-finite values become 0."""
    area1 = a * b * 4
    area2 = a2 * b2 * 4
    inter = tl.minimum(area, tl.minimum(area1, area2))
    longest = tl.maximum(a, tl.maximum(a2, b2))
    # The bound of ops/iou.py is 2 EPS times the product of two whole sides. b and longest are half sides, hence 8.
    inter = tl.where(inter > 8 * EPS * b * longest, inter, 0)
    if IOF:  # noqa: SIM108 - resolved at compile time
        denominator = area1
    else:
        denominator = area1 + area2 - inter
    overlap = div_rn(inter, tl.where(denominator > 0, denominator, 1))
    valid = (denominator > 0) & (tl.abs(overlap) < float("inf"))
    return tl.where(valid, tl.minimum(overlap, 1), 0)


@triton.jit
def pair_overlap(
    x1, y1, a1, b1, cos1, sin1, x2, y2, a2, b2, cos2, sin2, inverse_a2, inverse_b2, IOF: tl.constexpr, EPS: tl.constexpr
):
    """Compute IoU or IoF of two boxes, given their centers, half sides a and b, cosines and sines."""
    dx = x2 - x1
    dy = y2 - y1
    cx = dx * cos1 + dy * sin1
    cy = dy * cos1 - dx * sin1
    cos = cos2 * cos1 + sin2 * sin1
    sin = sin2 * cos1 - cos2 * sin1
    area = intersection_area(cx, cy, cos, sin, a1, b1, a2, b2, inverse_a2, inverse_b2)
    return area_to_overlap(area, a1, b1, a2, b2, IOF, EPS)


@triton.jit
def circles_overlap(x1, y1, radius1, x2, y2, radius2):
    """Return whether circumscribed circles overlap, with a margin for rounding; False for invalid boxes (x is NaN)."""
    dx = x2 - x1
    dy = y2 - y1
    reach = (radius1 + radius2) * 1.00001
    return dx * dx + dy * dy <= reach * reach
