"""Prior generators compared with lists of the expected boxes."""

import torch

from rotated_atss.detection.task_modules.prior_generators import OrientedAnchorGenerator, PriorGrid
from tests.references.task_modules import FEATMAP_SIZES, generate_priors


def test_one_square_prior_per_location():
    priors, sizes = generate_priors()
    assert sizes == [256, 64, 16]
    expected = [
        [stride * x, stride * y, 4 * stride, 4 * stride, 0]
        for stride, (rows, columns) in zip((8, 16, 32), FEATMAP_SIZES)
        for y in range(rows)
        for x in range(columns)
    ]
    assert priors.tolist() == expected


def test_ratios_octaves_and_angle():
    priors, sizes = generate_priors(octave_base_scale=2, scales_per_octave=2, ratios=[0.5, 1.0, 2.0], angle=0.3)
    assert sizes == [256 * 6, 64 * 6, 16 * 6]
    first = (3 * 16 + 5) * 6  # row 3, column 5 of the first level; ratio by ratio, octave by octave
    shapes = [(16 * scale / ratio**0.5, 16 * scale * ratio**0.5) for ratio in (0.5, 1.0, 2.0) for scale in (1, 2**0.5)]
    location = priors[first : first + 6]
    assert torch.allclose(location[:, 2:4], torch.tensor(shapes), rtol=1e-6)
    assert location[:, :2].tolist() == [[40, 24]] * 6
    assert torch.allclose(location[:, 4], torch.tensor(0.3))


def test_valid_flags_follow_the_number_of_priors():
    generator = OrientedAnchorGenerator(octave_base_scale=4, scales_per_octave=3, ratios=[1.0], strides=[8, 16, 32])
    flags = generator.valid_flags(FEATMAP_SIZES, (64, 128), "cpu")
    assert [int(level.sum()) for level in flags] == [8 * 16 * 3, 4 * 8 * 3, 2 * 4 * 3]


def test_prior_grid_has_one_prior_per_cell():
    grid = PriorGrid([8, 16])
    assert grid.num_base_priors == [1, 1]
    assert grid.num_levels == 2
    assert [int(level.sum()) for level in grid.valid_flags([(4, 4), (2, 2)], (16, 32), "cpu")] == [8, 2]
