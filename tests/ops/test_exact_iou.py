"""Rational arithmetic: sine, cosine and the IoU of known pairs."""

import math
from fractions import Fraction

import pytest

from tests.references.exact_iou import cos_sin, exact_iou


@pytest.mark.parametrize("angle", [0.0, 1.0, -2.5, math.pi / 2, 3.999, 1e-9])
def test_cosine_and_sine_of_rational_numbers(angle):
    cos, sin = cos_sin(Fraction(angle))
    assert float(cos) == pytest.approx(math.cos(angle), abs=1e-16)
    assert float(sin) == pytest.approx(math.sin(angle))
    assert abs(cos * cos + sin * sin - 1) < Fraction(1, 1 << 140)


def test_exact_iou_of_known_pairs():
    octagon = 2 * (math.sqrt(2) - 1)
    assert exact_iou((0, 0, 1, 1, 0), (0, 0, 1, 1, math.pi / 4)) == pytest.approx(octagon / (2 - octagon), abs=1e-15)
    assert exact_iou((0, 0, 4, 4, 0), (2, 0, 4, 4, 0)) == float(8 / 24)
    assert exact_iou((0, 0, 4, 4, 0.3), (0, 0, 4, 4, 0.3)) == 1
    assert exact_iou((0, 0, 2, 2, 0), (2, 0, 2, 2, 0)) == 0
    assert exact_iou((0, 0, 10, 10, 1), (1, 1, 2, 3, 2)) == pytest.approx(6 / 100, abs=1e-15)
