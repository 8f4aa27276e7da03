"""Sampling of features against a loop over points, and against mmcv's kernel."""

import math

import pytest
import torch

from rotated_atss.ops.feature_align import align_features, sample_features


def slow(features, points):
    """Each sample by itself: border continued by a cell, zero further out."""
    batch, channels, height, width = features.shape
    out = torch.zeros(batch, channels, points.shape[1], dtype=features.dtype)
    for image in range(batch):
        for number, (x, y) in enumerate(points[image].tolist()):
            if not (-1 <= x <= width and -1 <= y <= height):
                continue
            x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
            for column, across in ((math.floor(x), 1 - x % 1), (math.floor(x) + 1, x % 1)):
                for row, down in ((math.floor(y), 1 - y % 1), (math.floor(y) + 1, y % 1)):
                    if across * down:
                        out[image, :, number] += across * down * features[image, :, row, column]
    return out


@pytest.mark.parametrize("height, width", [(1, 1), (1, 5), (4, 1), (3, 7)])
def test_samples_equal_the_loop(height, width):
    draw = torch.Generator().manual_seed(height * width)
    features = torch.randn(2, 3, height, width, generator=draw, dtype=torch.float64)
    points = torch.rand(2, 60, 2, generator=draw, dtype=torch.float64) * torch.tensor([width + 4, height + 4]) - 2.5
    points[:, :20] = points[:, :20].round()  # on cells and borders
    assert torch.allclose(sample_features(features, points), slow(features, points), atol=1e-12)


def test_gradient_is_the_derivative():
    features = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    points = torch.rand(1, 5, 2, dtype=torch.float64) * 5 - 1
    assert torch.autograd.gradcheck(lambda each: sample_features(each, points), features)


def test_a_box_brings_the_features_of_its_centre():
    features = torch.arange(12.0).view(1, 1, 3, 4)
    boxes = torch.tensor([24.0, 8, 30, 10, 0.5]).expand(1, 12, 5)  # column 3, row 1 at stride 8
    assert torch.equal(align_features(features, boxes, 8), features + 7)
    transposed = align_features(features, boxes - torch.tensor([8.0, 0, 0, 0, 0]), 8, transposed=True)
    assert torch.equal(transposed, features + 9)  # row 2, column 1


def test_transposed_equals_mmcvs_kernel():
    ops = pytest.importorskip("mmcv.ops")
    draw = torch.Generator().manual_seed(0)
    for height, width in ((1, 6), (5, 3), (8, 8)):
        features = torch.randn(2, 3, height, width, generator=draw, requires_grad=True)
        boxes = torch.rand(2, height * width, 5, generator=draw) * 100 - 20
        theirs = ops.rotated_feature_align(features, boxes.view(2, height, width, 5), 1 / 8)
        ours = align_features(features, boxes, 8, transposed=True)
        weight = torch.randn(ours.shape, generator=draw)
        gradients = [torch.autograd.grad((each * weight).sum(), features)[0] for each in (ours, theirs)]
        assert torch.allclose(ours, theirs, atol=1e-5)
        assert torch.allclose(*gradients, atol=1e-5)
