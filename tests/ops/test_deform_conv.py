"""Deformable convolution by sampling, compared with torchvision's kernel."""

import pytest
import torch

from rotated_atss.ops.deform_conv import deform_conv2d_by_sampling

torchvision_ops = pytest.importorskip("torchvision.ops")


@pytest.mark.parametrize("offset_groups", [1, 2])
@pytest.mark.parametrize(
    "stride, padding, dilation, groups, kernel", [(1, 1, 1, 1, 3), (2, 1, 1, 4, 3), (1, 2, 2, 2, (3, 5))]
)
def test_result_is_that_of_torchvision(stride, padding, dilation, groups, kernel, offset_groups):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    features, weight, bias = random(2, 8, 9, 14), random(12, 8 // groups, *kernel), random(12)
    height, width = (
        (side + 2 * padding - dilation * (cells - 1) - 1) // stride + 1 for side, cells in zip((9, 14), kernel)
    )
    cells = kernel[0] * kernel[1]
    offset = 4 * random(2, 2 * offset_groups * cells, height, width)  # many samples lie outside the map
    mask = random(2, offset_groups * cells, height, width).sigmoid()
    actual = deform_conv2d_by_sampling(
        features, offset, mask, weight, bias, stride=stride, padding=padding, dilation=dilation
    )
    expected = torchvision_ops.deform_conv2d(features, offset, weight, bias, stride, padding, dilation, mask)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_map_of_one_cell():
    features, offset = torch.ones(1, 1, 1, 1), torch.tensor([0.0, 0.25]).view(1, 2, 1, 1)
    actual = deform_conv2d_by_sampling(features, offset, torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    assert actual.item() == 0.75
