"""IoU of two oriented boxes in rational arithmetic: nothing is rounded but sine and cosine, and those at 2^-160.

Slow and obvious (milliseconds a pair), for judging what is fast. GEOS, and so shapely, works in float64 and errs itself
where edges nearly coincide.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

BITS = 160

Point = tuple[Fraction, Fraction]


def exact_iou(box1: Sequence[float], box2: Sequence[float]) -> float:
    """IoU of the rectangles that ``cx, cy, w, h, angle`` of both describe; angles of a few turns at most."""
    first, second = corners(box1), corners(box2)
    inter = area(clip(first, second))
    return float(inter / (area(first) + area(second) - inter))


def corners(box: Sequence[float]) -> list[Point]:
    """The four corners, counter-clockwise where y points up."""
    cx, cy, w, h, angle = map(Fraction, box)
    cos, sin = cos_sin(angle)
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [(cx + (i * w * cos - j * h * sin) / 2, cy + (i * w * sin + j * h * cos) / 2) for i, j in signs]


def cos_sin(angle: Fraction) -> tuple[Fraction, Fraction]:
    """Taylor's series in integers: cosine takes the even terms, sine the odd ones."""
    one = 1 << BITS
    x, term, power, sums = int(abs(angle) * one), one, 0, [0, 0]
    while term:
        sums[power % 2] += -term if power % 4 >= 2 else term
        power += 1
        term = (term * x >> BITS) // power
    cos, sin = (Fraction(each, one) for each in sums)
    return cos, sin if angle >= 0 else -sin


def clip(subject: list[Point], window: list[Point]) -> list[Point]:
    """The part of a convex polygon that lies in another, edge by edge (Sutherland and Hodgman)."""
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
    """Area of a polygon, positive counter-clockwise; 0 without points."""
    return sum((a[0] * b[1] - b[0] * a[1] for a, b in zip(points, points[1:] + points[:1])), Fraction(0)) / 2


def _between(start: Point, end: Point, share: Fraction) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
