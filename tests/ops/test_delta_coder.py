"""Encoding and decoding of deltas, compared by rectangles."""

import math

import pytest
import torch

from rotated_atss.ops.boxes import ANGLE_VERSIONS, normalize_obb
from rotated_atss.ops.delta_coder import decode_deltas, encode_deltas, wrap_angle
from tests.references.corners import corner_distance

VARIANTS = [
    (angle_version, swap, proj, factor)
    for angle_version in ANGLE_VERSIONS
    for swap in (False, True)
    for proj in (False, True)
    for factor in (None, 1.0, 0.5)
    if not (swap and angle_version == "oc")
]


def random_boxes(count, seed, min_side=4.0):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(count, 5, generator=generator, dtype=torch.float64)
    low = torch.tensor([0, 0, min_side, min_side, -4], dtype=torch.float64)
    return unit * torch.tensor([500, 500, 80, 50, 8], dtype=torch.float64) + low


@pytest.mark.parametrize("angle_version, swap, proj, factor", VARIANTS)
@pytest.mark.parametrize("prior_angle", [0.0, 0.4, -math.pi / 2])
def test_decoding_inverts_encoding(angle_version, swap, proj, factor, prior_angle):
    priors, boxes = random_boxes(2000, 0), random_boxes(2000, 1)
    priors[:, 4] = prior_angle
    deltas = encode_deltas(priors, boxes, angle_version, edge_swap=swap, proj_xy=proj, norm_factor=factor)
    back = decode_deltas(priors, deltas, angle_version, proj_xy=proj, norm_factor=factor)
    assert corner_distance(back, boxes).max() < 1e-6
    assert torch.allclose(back, normalize_obb(back, angle_version))


@pytest.mark.parametrize("angle_version", ["le90", "le135"])
def test_edge_swap_bounds_the_angle_for_horizontal_priors(angle_version):
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


def test_wrapped_angles_differ_by_multiples_of_pi():
    angles = torch.linspace(-10, 10, 2001, dtype=torch.float64)
    for angle_version, low in (("le90", -math.pi / 2), ("le135", -math.pi / 4), ("oc", -math.pi / 2)):
        wrapped = wrap_angle(angles, angle_version)
        assert (wrapped >= low - 1e-12).all()
        assert (wrapped < low + math.pi + 1e-12).all()
        turns = (angles - wrapped) / math.pi
        assert torch.allclose(turns, turns.round(), atol=1e-9)


def test_differences_of_oc_angles_are_not_changed():
    for dtype in (torch.float32, torch.float64):
        angles = torch.linspace(0.001, math.pi / 2, 200, dtype=dtype)
        # between two boxes, and between a box and a prior of angle 0
        differences = torch.cat(((angles[:, None] - angles).flatten(), angles))
        assert torch.equal(wrap_angle(differences, "oc"), differences)


def test_oc_angle_differences_to_priors_of_mmrotate_1x():
    """Mmrotate 1.x uses oc priors of angle -pi/2; a box of angle pi/2 has the same direction."""
    prior = torch.tensor([[0.0, 0, 10, 10, -math.pi / 2]], dtype=torch.float64)
    box = torch.tensor([[1.0, 2, 20, 5, math.pi / 2 - 0.1]], dtype=torch.float64)
    deltas = encode_deltas(prior, box, "oc")
    assert float(deltas[0, 4]) == pytest.approx(-0.1)
    assert torch.allclose(decode_deltas(prior, deltas, "oc"), box)


def test_decoded_sizes_are_bounded():
    prior = torch.tensor([[0.0, 0, 10, 10, 0]])
    extreme = torch.tensor([[0.0, 0, 100, -100, 0]])
    box = decode_deltas(prior, extreme, "le90")[0]
    assert box[2] == pytest.approx(10 / 0.016)
    assert box[3] == pytest.approx(0.16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_decoded_in_float32(dtype):
    priors = random_boxes(100, 0).float()
    deltas = (torch.rand(100, 5) - 0.5).to(dtype)
    decoded = decode_deltas(priors, deltas, "le90")
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded, decode_deltas(priors, deltas.float(), "le90"))


def test_empty_input():
    assert encode_deltas(torch.zeros(0, 5), torch.zeros(0, 5), "oc").shape == (0, 5)
    assert decode_deltas(torch.zeros(0, 5), torch.zeros(0, 5), "oc").shape == (0, 5)


@pytest.mark.parametrize("angle_version, swap, proj, factor", [v for v in VARIANTS if v[0] != "oc"])
def test_equals_mmrotate(angle_version, swap, proj, factor):
    """Compare deltas and rectangles with onedl-mmrotate; its ``oc`` is another angle version (see ``boxes.py``)."""
    pytest.importorskip("mmrotate")
    from mmrotate.models.task_modules.coders import DeltaXYWHTRBBoxCoder
    from mmrotate.structures.bbox import RotatedBoxes

    baseline = DeltaXYWHTRBBoxCoder(
        angle_version=angle_version, norm_factor=factor, edge_swap=swap, proj_xy=proj, use_box_type=False
    )
    priors, boxes = random_boxes(500, 2).float(), random_boxes(500, 3).float()
    priors[:, 4] = 0
    deltas = encode_deltas(priors, boxes, angle_version, edge_swap=swap, proj_xy=proj, norm_factor=factor)
    expected = baseline.encode(RotatedBoxes(priors.clone()), RotatedBoxes(boxes.clone()))
    assert torch.allclose(deltas, expected, atol=1e-4)
    noisy = deltas + torch.randn(deltas.shape, generator=torch.Generator().manual_seed(0)) * 0.1
    decoded = decode_deltas(priors, noisy, angle_version, proj_xy=proj, norm_factor=factor)
    assert corner_distance(decoded.double(), baseline.decode(priors, noisy).double()).max() < 5e-3
