"""Conversion between box encodings: every pair of encodings decodes the same rectangles."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from rotated_atss.checkpoints.deltas import (
    BoxEncoding,
    is_equivalent,
    rewrite_regression,
    with_mmrotate_1x_priors,
    with_upright_priors,
)
from tests.references.corners import corner_distance

HALF_PI = math.pi / 2
PRIORS = ((32.0, 32.0, 0.0), (40.0, 20.0, 0.0), (20.0, 40.0, 0.0))


def decode(prior, delta, encoding):
    """Decode one box by its formulas; (cx, cy, w, h, angle) relative to the center of the prior."""
    w, h, angle = prior
    dx, dy, dw, dh, da = (float(value) for value in delta)
    x, y = dx * w, dy * h
    if encoding.proj_xy:
        x, y = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    if encoding.norm_factor:
        da *= encoding.norm_factor * math.pi
    return x, y, w * math.exp(dw), h * math.exp(dh), angle + da


def decode_all(weight, bias, encoding, feature):
    deltas = torch.einsum("ocij,cij->o", weight, feature) + bias
    return torch.tensor(
        [decode(prior, delta, encoding) for prior, delta in zip(encoding.priors, deltas.view(-1, 5))],
        dtype=torch.float64,
    )


def random_branch(num_priors):
    draw = torch.Generator().manual_seed(0)
    return (
        torch.randn(num_priors * 5, 4, 3, 3, generator=draw, dtype=torch.float64) * 0.1,
        torch.randn(num_priors * 5, generator=draw, dtype=torch.float64) * 0.2,
        torch.randn(4, 3, 3, generator=draw, dtype=torch.float64),
    )


ENCODINGS = [
    make(BoxEncoding(PRIORS, angle_version, proj_xy, norm_factor))
    for make in (with_upright_priors, with_mmrotate_1x_priors)
    for angle_version in ("oc", "le90", "le135")
    for proj_xy, norm_factor in ((False, None), (True, None), (True, 1), (False, 2))
]


@pytest.mark.parametrize("number", range(len(ENCODINGS)))
def test_decoded_rectangles_are_equal(number):
    source = ENCODINGS[number]
    for target in ENCODINGS:
        weight, bias, feature = random_branch(3)
        rewritten = rewrite_regression(weight, bias, source, target)
        decoded, expected = decode_all(*rewritten, target, feature), decode_all(weight, bias, source, feature)
        assert float(corner_distance(decoded, expected).max()) < 1e-9
        assert is_equivalent(source, target) == all(torch.allclose(*pair) for pair in zip(rewritten, (weight, bias)))


@pytest.mark.parametrize("number", range(len(ENCODINGS)))
def test_decoded_parameters_are_equal_with_keep_sides(number):
    source = ENCODINGS[number]
    for target in ENCODINGS:
        weight, bias, feature = random_branch(3)
        rewritten = rewrite_regression(weight, bias, source, target, keep_sides=True)
        decoded, expected = decode_all(*rewritten, target, feature), decode_all(weight, bias, source, feature)
        assert torch.allclose(decoded, expected, atol=1e-9)


def test_priors_of_mmrotate_1x():
    encoding = BoxEncoding(PRIORS, "le90")
    assert with_mmrotate_1x_priors(encoding).priors == ((32, 32, -HALF_PI), (40, 20, 0), (40, 20, -HALF_PI))
    assert with_mmrotate_1x_priors(BoxEncoding(PRIORS, "le135")).priors == (
        (32, 32, HALF_PI),
        (40, 20, 0),
        (40, 20, HALF_PI),
    )
    expected = ((32, 32, -HALF_PI), (20, 40, -HALF_PI), (40, 20, -HALF_PI))
    assert with_mmrotate_1x_priors(BoxEncoding(PRIORS, "oc")).priors == expected
    rotated = BoxEncoding(((32.0, 32.0, HALF_PI),), "le135")
    assert with_upright_priors(rotated).priors == ((32.0, 32.0, 0.0),)


def test_converted_oc_targets_equal_encoded_deltas():
    """The regression targets of mmrotate 1.x become those of this package."""
    from rotated_atss.ops.delta_coder import encode_deltas

    target = BoxEncoding(PRIORS, "oc")
    source = with_mmrotate_1x_priors(target)
    for number, (angle, (w, h)) in enumerate(itertools.product((-1.5, -0.7, -0.01), ((30.0, 11.0), (9.0, 50.0)))):
        prior = number % 3
        pw, ph, p_angle = source.priors[prior]
        deltas = torch.tensor(
            [3 / pw, -4 / ph, math.log(w / pw), math.log(h / ph), angle - p_angle], dtype=torch.float64
        )
        weight, bias = torch.zeros(15, 1, 1, 1), torch.zeros(15, dtype=torch.float64)
        bias[prior * 5 : prior * 5 + 5] = deltas
        rewritten = rewrite_regression(weight, bias, source, target)[1][prior * 5 : prior * 5 + 5]
        box = torch.tensor([3.0, -4, w, h, angle], dtype=torch.float64)
        expected = encode_deltas(torch.tensor([0, 0, *target.priors[prior]], dtype=torch.float64), box, "oc")
        assert torch.allclose(rewritten, expected)


def test_dtype_and_shape_are_kept():
    encoding = BoxEncoding(PRIORS, "oc")
    for dtype in (torch.float32, torch.float16):
        weight, bias = torch.ones(15, 4, 3, 3, dtype=dtype), torch.ones(15, dtype=dtype)
        rewritten = rewrite_regression(weight, bias, with_mmrotate_1x_priors(encoding), encoding)
        assert [each.dtype for each in rewritten] == [dtype] * 2
        assert [each.shape for each in rewritten] == [weight.shape, bias.shape]
