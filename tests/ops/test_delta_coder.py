"""Deltas there and back, by the rectangles they stand for."""

import math

import pytest
import torch

from rotated_atss.ops.boxes import ANGLE_VERSIONS, normalize_obb, obb_to_corners
from rotated_atss.ops.delta_coder import decode_deltas, encode_deltas, wrap_angle

VARIANTS = [
    (angle_version, swap, proj, factor)
    for angle_version in ANGLE_VERSIONS
    for swap in (False, True)
    for proj in (False, True)
    for factor in (None, 1.0, 0.5)
    if not (swap and angle_version == "oc")
]


def random_boxes(number, seed, smallest=4.0):
    draw = torch.Generator().manual_seed(seed)
    unit = torch.rand(number, 5, generator=draw, dtype=torch.float64)
    low = torch.tensor([0, 0, smallest, smallest, -4], dtype=torch.float64)
    return unit * torch.tensor([500, 500, 80, 50, 8], dtype=torch.float64) + low


def corner_gap(first, second):
    """Largest distance of a corner of one to the nearest corner of the other, both ways."""
    distance = (obb_to_corners(first).unsqueeze(-2) - obb_to_corners(second).unsqueeze(-3)).norm(dim=-1)
    return float(torch.maximum(distance.amin(-1).max(), distance.amin(-2).max()))


@pytest.mark.parametrize("angle_version, swap, proj, factor", VARIANTS)
@pytest.mark.parametrize("prior_angle", [0.0, 0.4, -math.pi / 2])
def test_encode_then_decode_keeps_the_corner_set(angle_version, swap, proj, factor, prior_angle):
    priors, boxes = random_boxes(2000, 0), random_boxes(2000, 1)
    priors[:, 4] = prior_angle
    deltas = encode_deltas(priors, boxes, angle_version, edge_swap=swap, proj_xy=proj, norm_factor=factor)
    back = decode_deltas(priors, deltas, angle_version, proj_xy=proj, norm_factor=factor)
    assert corner_gap(back, boxes) < 1e-6
    assert torch.allclose(back, normalize_obb(back, angle_version))


@pytest.mark.parametrize("angle_version", ["le90", "le135"])
def test_edge_swap_bounds_the_angle_of_unturned_priors(angle_version):
    priors, boxes = random_boxes(5000, 0), random_boxes(5000, 1)
    priors[:, 4] = 0
    deltas = encode_deltas(priors, boxes, angle_version, edge_swap=True)
    assert deltas[:, 4].abs().max() <= math.pi / 4 + 1e-9
    assert encode_deltas(priors, boxes, angle_version)[:, 4].abs().max() > 1


def test_literal_deltas():
    prior, box = torch.tensor([[8.0, 16, 32, 32, 0]]), torch.tensor([[24.0, 8, 64, 16, math.pi / 6]])
    expected = [0.5, -0.25, math.log(2), -math.log(2), math.pi / 6]
    assert encode_deltas(prior, box, "le90")[0].tolist() == pytest.approx(expected)
    expected[4] = 1 / 6
    assert encode_deltas(prior, box, "le135", norm_factor=1)[0].tolist() == pytest.approx(expected)


def test_wrap_angle_is_a_half_turn():
    angles = torch.linspace(-10, 10, 2001, dtype=torch.float64)
    for angle_version, low in (("le90", -math.pi / 2), ("le135", -math.pi / 4), ("oc", -math.pi / 2)):
        wrapped = wrap_angle(angles, angle_version)
        assert (wrapped >= low - 1e-12).all()
        assert (wrapped < low + math.pi + 1e-12).all()
        turns = (angles - wrapped) / math.pi
        assert torch.allclose(turns, turns.round(), atol=1e-9)


def test_differences_of_oc_angles_stay_as_they_are():
    for dtype in (torch.float32, torch.float64):
        angles = torch.linspace(0.001, math.pi / 2, 200, dtype=dtype)
        differences = torch.cat(((angles[:, None] - angles).flatten(), angles))  # of two boxes, and from a prior at 0
        assert torch.equal(wrap_angle(differences, "oc"), differences)


def test_oc_boxes_of_a_prior_turned_by_a_quarter_are_near():
    """Mmrotate 1.x's oc priors stand at -pi/2: a box at pi/2 is the prior's own direction."""
    prior = torch.tensor([[0.0, 0, 10, 10, -math.pi / 2]], dtype=torch.float64)
    box = torch.tensor([[1.0, 2, 20, 5, math.pi / 2 - 0.1]], dtype=torch.float64)
    deltas = encode_deltas(prior, box, "oc")
    assert float(deltas[0, 4]) == pytest.approx(-0.1)
    assert torch.allclose(decode_deltas(prior, deltas, "oc"), box)


def test_sizes_are_bounded_when_decoding():
    prior = torch.tensor([[0.0, 0, 10, 10, 0]])
    wild = torch.tensor([[0.0, 0, 100, -100, 0]])
    box = decode_deltas(prior, wild, "le90")[0]
    assert box[2] == pytest.approx(10 / 0.016)
    assert box[3] == pytest.approx(0.16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_decoded_in_float32(dtype):
    priors = random_boxes(100, 0).float()
    deltas = (torch.rand(100, 5) - 0.5).to(dtype)
    decoded = decode_deltas(priors, deltas, "le90")
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded, decode_deltas(priors, deltas.float(), "le90"))


def test_no_boxes():
    assert encode_deltas(torch.zeros(0, 5), torch.zeros(0, 5), "oc").shape == (0, 5)
    assert decode_deltas(torch.zeros(0, 5), torch.zeros(0, 5), "oc").shape == (0, 5)


@pytest.mark.parametrize("angle_version, swap, proj, factor", [v for v in VARIANTS if v[0] != "oc"])
def test_equals_mmrotate(angle_version, swap, proj, factor):
    """The same deltas and rectangles as onedl-mmrotate's coder. Its ``oc`` is another angle version: see boxes.py."""
    pytest.importorskip("mmrotate")
    from mmrotate.models.task_modules.coders import DeltaXYWHTRBBoxCoder
    from mmrotate.structures.bbox import RotatedBoxes

    peer = DeltaXYWHTRBBoxCoder(
        angle_version=angle_version, norm_factor=factor, edge_swap=swap, proj_xy=proj, use_box_type=False
    )
    priors, boxes = random_boxes(500, 2).float(), random_boxes(500, 3).float()
    priors[:, 4] = 0
    deltas = encode_deltas(priors, boxes, angle_version, edge_swap=swap, proj_xy=proj, norm_factor=factor)
    theirs = peer.encode(RotatedBoxes(priors.clone()), RotatedBoxes(boxes.clone()))
    assert torch.allclose(deltas, theirs, atol=1e-4)
    noisy = deltas + torch.randn(deltas.shape, generator=torch.Generator().manual_seed(0)) * 0.1
    mine = decode_deltas(priors, noisy, angle_version, proj_xy=proj, norm_factor=factor)
    assert corner_gap(mine.double(), peer.decode(priors, noisy).double()) < 5e-3
