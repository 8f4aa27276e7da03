"""Feature sampling against a loop over points and mmcv's kernel."""

import math

import pytest
import torch

from rotated_atss.ops.feature_align import align_features, sample_features


def slow(features, points):
    """Sample point by point: the border extends by one cell, further outside is 0."""
    batch, channels, height, width = features.shape
    out = torch.zeros(batch, channels, points.shape[1], dtype=features.dtype)
    for image in range(batch):
        for index, (x, y) in enumerate(points[image].tolist()):
            if not (-1 <= x <= width and -1 <= y <= height):
                continue
            x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
            for column, across in ((math.floor(x), 1 - x % 1), (math.floor(x) + 1, x % 1)):
                for row, down in ((math.floor(y), 1 - y % 1), (math.floor(y) + 1, y % 1)):
                    if across * down:
                        out[image, :, index] += across * down * features[image, :, row, column]
    return out


@pytest.mark.parametrize("height, width", [(1, 1), (1, 5), (4, 1), (3, 7)])
def test_samples_equal_the_loop(height, width):
    generator = torch.Generator().manual_seed(height * width)
    features = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)
    unit = torch.rand(2, 60, 2, generator=generator, dtype=torch.float64)
    points = unit * torch.tensor([width + 4, height + 4]) - 2.5
    points[:, :20] = points[:, :20].round()  # on cells and borders
    assert torch.allclose(sample_features(features, points), slow(features, points), atol=1e-12)


def test_gradient_equals_the_numerical_gradient():
    features = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    points = torch.rand(1, 5, 2, dtype=torch.float64) * 5 - 1
    assert torch.autograd.gradcheck(lambda values: sample_features(values, points), features)


def test_features_at_the_center_of_the_box_are_added():
    features = torch.arange(12.0).view(1, 1, 3, 4)
    boxes = torch.tensor([24.0, 8, 30, 10, 0.5]).expand(1, 12, 5)  # column 3, row 1 at stride 8
    assert torch.equal(align_features(features, boxes, 8), features + 7)
    transposed = align_features(features, boxes - torch.tensor([8.0, 0, 0, 0, 0]), 8, transposed=True)
    assert torch.equal(transposed, features + 9)  # row 2, column 1


@pytest.mark.baseline
def test_transposed_sampling_equals_mmcv():
    ops = pytest.importorskip("mmcv.ops")
    generator = torch.Generator().manual_seed(0)
    for height, width in ((1, 6), (5, 3), (8, 8)):
        features = torch.randn(2, 3, height, width, generator=generator, requires_grad=True)
        boxes = torch.rand(2, height * width, 5, generator=generator) * 100 - 20
        expected = ops.rotated_feature_align(features, boxes.view(2, height, width, 5), 1 / 8)
        aligned = align_features(features, boxes, 8, transposed=True)
        weight = torch.randn(aligned.shape, generator=generator)
        gradients = [torch.autograd.grad((output * weight).sum(), features)[0] for output in (aligned, expected)]
        assert torch.allclose(aligned, expected, atol=1e-5)
        assert torch.allclose(*gradients, atol=1e-5)
