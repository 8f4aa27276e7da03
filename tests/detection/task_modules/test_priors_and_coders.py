"""Priors and coder as the configs build them, against the plain functions and slow references."""

import math

import torch

from rotated_atss.detection.datasets.box_type import OrientedBoxes
from rotated_atss.detection.task_modules.box_coders import OrientedDeltaCoder
from rotated_atss.detection.task_modules.prior_generators import OrientedAnchorGenerator
from rotated_atss.ops.delta_coder import decode_deltas, encode_deltas

SIZES = [(16, 16), (8, 8), (4, 4)]


def priors_of(**kwargs):
    """Priors of three levels of a 128-pixel image, level after level, and the number of each level."""
    settings = dict(octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=[8, 16, 32])
    levels = OrientedAnchorGenerator(**{**settings, **kwargs}).grid_priors(SIZES, device="cpu")
    return torch.cat(levels), [len(level) for level in levels]


def objects(number=12, seed=0):
    """Long thin boxes, most of them turned."""
    unit = torch.rand(number, 5, generator=torch.Generator().manual_seed(seed))
    return unit * torch.tensor([108, 108, 50, 8, math.pi]) + torch.tensor([10, 10, 30, 6, -1.5])


# -- priors ------------------------------------------------------------------------------------------------------------


def test_one_square_prior_a_location():
    priors, sizes = priors_of()
    assert sizes == [256, 64, 16]
    expected = [
        [stride * x, stride * y, 4 * stride, 4 * stride, 0]
        for stride, (rows, columns) in zip((8, 16, 32), SIZES)
        for y in range(rows)
        for x in range(columns)
    ]
    assert priors.tolist() == expected


def test_ratios_octaves_and_angle():
    priors, sizes = priors_of(octave_base_scale=2, scales_per_octave=2, ratios=[0.5, 1.0, 2.0], angle=0.3)
    assert sizes == [256 * 6, 64 * 6, 16 * 6]
    number = (3 * 16 + 5) * 6  # the first prior of row 3, column 5 of the first level: ratio by ratio, octave by octave
    shapes = [(16 * scale / ratio**0.5, 16 * scale * ratio**0.5) for ratio in (0.5, 1.0, 2.0) for scale in (1, 2**0.5)]
    here = priors[number : number + 6]
    assert torch.allclose(here[:, 2:4], torch.tensor(shapes), rtol=1e-6)
    assert here[:, :2].tolist() == [[40, 24]] * 6
    assert torch.allclose(here[:, 4], torch.tensor(0.3))


def test_valid_flags_follow_the_number_of_priors():
    generator = OrientedAnchorGenerator(octave_base_scale=4, scales_per_octave=3, ratios=[1.0], strides=[8, 16, 32])
    flags = generator.valid_flags(SIZES, (64, 128), "cpu")
    assert [int(level.sum()) for level in flags] == [8 * 16 * 3, 4 * 8 * 3, 2 * 4 * 3]


# -- coder -------------------------------------------------------------------------------------------------------------

MEANS, STDS = (0.1, -0.2, 0.0, 0.3, 0.05), (0.1, 0.1, 0.2, 0.2, 0.5)


def test_coder_adds_means_and_stds_to_the_plain_deltas():
    priors, _ = priors_of()
    priors, boxes = priors[:40], objects(40)
    coder = OrientedDeltaCoder("le90", edge_swap=True, proj_xy=True, target_means=MEANS, target_stds=STDS)
    plain = encode_deltas(priors, boxes, "le90", edge_swap=True, proj_xy=True)
    deltas = coder.encode(priors, boxes)
    assert torch.allclose(deltas, (plain - torch.tensor(MEANS)) / torch.tensor(STDS))
    assert torch.allclose(coder.decode(priors, deltas), decode_deltas(priors, plain, "le90", proj_xy=True), atol=1e-4)


def test_coder_takes_box_objects_and_decodes_halves_in_float32():
    priors, boxes = priors_of()[0][:8], objects(8)
    coder = OrientedDeltaCoder("oc")
    wrapped = coder.encode(OrientedBoxes(priors), OrientedBoxes(boxes))
    assert torch.equal(wrapped, coder.encode(priors, boxes))
    halves = wrapped.bfloat16()
    decoded = coder.decode(priors, halves)
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded, coder.decode(priors, halves.float()))


def test_coder_of_no_boxes():
    coder = OrientedDeltaCoder("le135", norm_factor=1)
    assert coder.encode(torch.zeros(0, 5), torch.zeros(0, 5)).shape == (0, 5)
    assert coder.decode(torch.zeros(0, 5), torch.zeros(0, 5)).shape == (0, 5)
