"""Rewriting a box branch: every pair of priors and settings draws the same rectangles, decoded number by number."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from rotated_atss.checkpoints.deltas import (
    BoxEncoding,
    is_same,
    rewrite_regression,
    with_mmrotate_1x_priors,
    with_upright_priors,
)

HALF_PI = math.pi / 2
PRIORS = ((32.0, 32.0, 0.0), (40.0, 20.0, 0.0), (20.0, 40.0, 0.0))


def decode(prior, delta, code):
    """(cx, cy, w, h, angle) relative to the prior's centre."""
    w, h, angle = prior
    dx, dy, dw, dh, turn = (float(value) for value in delta)
    x, y = dx * w, dy * h
    if code.proj_xy:
        x, y = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    if code.norm_factor:
        turn *= code.norm_factor * math.pi
    return x, y, w * math.exp(dw), h * math.exp(dh), angle + turn


def decode_all(weight, bias, code, feature):
    deltas = torch.einsum("ocij,cij->o", weight, feature) + bias
    return torch.tensor(
        [decode(prior, delta, code) for prior, delta in zip(code.priors, deltas.view(-1, 5))], dtype=torch.float64
    )


def branch(priors):
    draw = torch.Generator().manual_seed(0)
    return (
        torch.randn(priors * 5, 4, 3, 3, generator=draw, dtype=torch.float64) * 0.1,
        torch.randn(priors * 5, generator=draw, dtype=torch.float64) * 0.2,
        torch.randn(4, 3, 3, generator=draw, dtype=torch.float64),
    )


CODES = [
    make(BoxEncoding(PRIORS, angle_version, proj_xy, norm_factor))
    for make in (with_upright_priors, with_mmrotate_1x_priors)
    for angle_version in ("oc", "le90", "le135")
    for proj_xy, norm_factor in ((False, None), (True, None), (True, 1), (False, 2))
]


@pytest.mark.parametrize("number", range(len(CODES)))
def test_the_same_rectangles(number, corner_distance):
    source = CODES[number]
    for target in CODES:
        weight, bias, feature = branch(3)
        changed = rewrite_regression(weight, bias, source, target)
        found, expected = decode_all(*changed, target, feature), decode_all(weight, bias, source, feature)
        assert float(corner_distance(found, expected).max()) < 1e-9
        assert is_same(source, target) == all(torch.allclose(*pair) for pair in zip(changed, (weight, bias)))


@pytest.mark.parametrize("number", range(len(CODES)))
def test_the_same_numbers_for_stages_that_refine(number):
    source = CODES[number]
    for target in CODES:
        weight, bias, feature = branch(3)
        changed = rewrite_regression(weight, bias, source, target, keep_sides=True)
        found, expected = decode_all(*changed, target, feature), decode_all(weight, bias, source, feature)
        assert torch.allclose(found, expected, atol=1e-9)


def test_priors_of_1x():
    code = BoxEncoding(PRIORS, "le90")
    assert with_mmrotate_1x_priors(code).priors == ((32, 32, -HALF_PI), (40, 20, 0), (40, 20, -HALF_PI))
    assert with_mmrotate_1x_priors(BoxEncoding(PRIORS, "le135")).priors == (
        (32, 32, HALF_PI),
        (40, 20, 0),
        (40, 20, HALF_PI),
    )
    expected = ((32, 32, -HALF_PI), (20, 40, -HALF_PI), (40, 20, -HALF_PI))
    assert with_mmrotate_1x_priors(BoxEncoding(PRIORS, "oc")).priors == expected
    turned = BoxEncoding(((32.0, 32.0, HALF_PI),), "le135")
    assert with_upright_priors(turned).priors == ((32.0, 32.0, 0.0),)


def test_oc_of_1x_becomes_what_our_coder_would_have_learned():
    """The deltas that mmrotate 1.x trains towards, moved, are those that ours trains towards."""
    from rotated_atss.ops.delta_coder import encode_deltas

    target = BoxEncoding(PRIORS, "oc")
    source = with_mmrotate_1x_priors(target)
    for number, (angle, (w, h)) in enumerate(itertools.product((-1.5, -0.7, -0.01), ((30.0, 11.0), (9.0, 50.0)))):
        prior = number % 3
        pw, ph, p_angle = source.priors[prior]
        theirs = torch.tensor(
            [3 / pw, -4 / ph, math.log(w / pw), math.log(h / ph), angle - p_angle], dtype=torch.float64
        )
        weight, bias = torch.zeros(15, 1, 1, 1), torch.zeros(15, dtype=torch.float64)
        bias[prior * 5 : prior * 5 + 5] = theirs
        moved = rewrite_regression(weight, bias, source, target)[1][prior * 5 : prior * 5 + 5]
        box = torch.tensor([3.0, -4, w, h, angle], dtype=torch.float64)
        ours = encode_deltas(torch.tensor([0, 0, *target.priors[prior]], dtype=torch.float64), box, "oc")
        assert torch.allclose(moved, ours)


def test_dtype_and_shape_stay():
    code = BoxEncoding(PRIORS, "oc")
    for dtype in (torch.float32, torch.float16):
        weight, bias = torch.ones(15, 4, 3, 3, dtype=dtype), torch.ones(15, dtype=dtype)
        changed = rewrite_regression(weight, bias, with_mmrotate_1x_priors(code), code)
        assert [each.dtype for each in changed] == [dtype] * 2
        assert [each.shape for each in changed] == [weight.shape, bias.shape]
