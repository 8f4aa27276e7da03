"""Reference IoU of two oriented boxes in rational arithmetic.

Only sine and cosine are rounded, at 2^-160. One pair needs milliseconds. GEOS, and therefore shapely, computes in
float64 and is itself inaccurate where edges nearly coincide.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

BITS = 160

Point = tuple[Fraction, Fraction]


def exact_iou(box1: Sequence[float], box2: Sequence[float]) -> float:
    """Compute the IoU of two boxes ``cx, cy, w, h, angle``; the angles are a few turns at most."""
    polygon1, polygon2 = corners(box1), corners(box2)
    inter = area(clip(polygon1, polygon2))
    return float(inter / (area(polygon1) + area(polygon2) - inter))


def corners(box: Sequence[float]) -> list[Point]:
    """Return the four corners, counterclockwise if y points up."""
    cx, cy, w, h, angle = map(Fraction, box)
    cos, sin = cos_sin(angle)
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [(cx + (i * w * cos - j * h * sin) / 2, cy + (i * w * sin + j * h * cos) / 2) for i, j in signs]


def cos_sin(angle: Fraction) -> tuple[Fraction, Fraction]:
    """Evaluate the Taylor series of cosine (even terms) and sine (odd terms) in fixed-point arithmetic."""
    one = 1 << BITS
    x, term, power, sums = int(abs(angle) * one), one, 0, [0, 0]
    while term:
        sums[power % 2] += -term if power % 4 >= 2 else term
        power += 1
        term = (term * x >> BITS) // power
    cos, sin = (Fraction(value, one) for value in sums)
    return cos, sin if angle >= 0 else -sin


def clip(subject: list[Point], window: list[Point]) -> list[Point]:
    """Clip a convex polygon to another one edge by edge (Sutherland and Hodgman)."""
    for a, b in zip(window, window[1:] + window[:1]):
        side = [(b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) for p in subject]
        kept: list[Point] = []
        for k, point in enumerate(subject):
            if (side[k] >= 0) != (side[k - 1] >= 0):
                kept.append(_between(subject[k - 1], point, side[k - 1] / (side[k - 1] - side[k])))
            if side[k] >= 0:
                kept.append(point)
        subject = kept
    return subject


def area(points: list[Point]) -> Fraction:
    """Compute the area of a polygon, positive if counterclockwise, 0 without points."""
    return sum((a[0] * b[1] - b[0] * a[1] for a, b in zip(points, points[1:] + points[:1])), Fraction(0)) / 2


def _between(start: Point, end: Point, fraction: Fraction) -> Point:
    return start[0] + fraction * (end[0] - start[0]), start[1] + fraction * (end[1] - start[1])
