"""The deformable convolution, compared with mmcv's layer and with its definition."""

import pytest

pytest.importorskip("mmcv.ops")

import torch
from torch import nn

from rotated_atss.detection.heads.deform_conv import TorchvisionDCNv2

LAYERS = [
    dict(in_channels=4, out_channels=6, kernel_size=3, padding=1),
    dict(in_channels=4, out_channels=6, kernel_size=3, stride=2, padding=2, dilation=2, bias=False),
    dict(in_channels=8, out_channels=4, kernel_size=3, padding=1, groups=4, deform_groups=2),
    dict(in_channels=4, out_channels=2, kernel_size=1, deform_groups=4),
]


def randomized(layer, seed=0, spread=0.5):
    """Set random weights, so that offsets and masks have an effect."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * spread)
    return layer


@pytest.mark.baseline
@pytest.mark.parametrize("shape", LAYERS)
def test_outputs_and_gradients_equal_mmcv(shape):
    from mmcv.ops import ModulatedDeformConv2dPack

    layer, baseline = randomized(TorchvisionDCNv2(**shape)).double(), ModulatedDeformConv2dPack(**shape).double()
    baseline.load_state_dict(layer.state_dict())  # strict: the same names and shapes
    x = torch.randn(2, shape["in_channels"], 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    results = []
    for each in (layer, baseline):
        inputs = x.clone().requires_grad_()
        out = each(inputs)
        out.square().sum().backward()
        results.append([out, inputs.grad, *(parameter.grad for _, parameter in sorted(each.named_parameters()))])
    for value, expected in zip(*results):
        assert torch.allclose(value, expected, rtol=1e-9, atol=1e-9)


def test_output_equals_the_definition():
    """Each output sums weight x mask x the input sampled at its kernel cell plus (dy, dx); 0 outside the image."""
    layer = randomized(TorchvisionDCNv2(2, 3, 3, padding=1, deform_groups=2), seed=3).double()
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    predicted = layer.conv_offset(x)[0]  # 2 groups x 9 cells x (dy, dx), then 2 x 9 masks

    def sample(channel, row, column):
        top, left = int(row // 1), int(column // 1)
        return sum(
            float(channel[r, c]) * (1 - abs(row - r)) * (1 - abs(column - c))
            for r in (top, top + 1)
            for c in (left, left + 1)
            if 0 <= r < 4 and 0 <= c < 5
        )

    expected = torch.zeros(3, 4, 5, dtype=torch.float64)
    for row in range(4):
        for column in range(5):
            for group in range(2):
                for cell in range(9):
                    dy, dx = predicted[(group * 9 + cell) * 2 : (group * 9 + cell) * 2 + 2, row, column].tolist()
                    mask = predicted[36 + group * 9 + cell, row, column].sigmoid()
                    value = sample(x[0, group], row + cell // 3 - 1 + dy, column + cell % 3 - 1 + dx)
                    expected[:, row, column] += layer.weight[:, group, cell // 3, cell % 3] * mask * value
    assert torch.allclose(layer(x)[0], expected + layer.bias[:, None, None], atol=1e-9)


def test_layer_is_registered_for_every_scope():
    from mmcv.cnn import build_conv_layer
    from mmengine.registry import DefaultScope

    for scope in ("mmengine", "mmdet"):
        with DefaultScope.overwrite_default_scope(scope):
            assert isinstance(build_conv_layer(dict(type="TorchvisionDCNv2"), 2, 3, 1), TorchvisionDCNv2)


def test_initialized_layer_is_half_a_plain_convolution():
    layer, x = TorchvisionDCNv2(4, 6, 3, padding=1), torch.randn(1, 4, 8, 8)
    plain = nn.functional.conv2d(x, layer.weight, padding=1)
    assert torch.allclose(layer(x), plain / 2, atol=1e-5)
    assert not layer.conv_offset.weight.any()


def test_nan_features_give_nan_outputs():
    """Torchvision's kernel alone would crash the process."""
    layer = randomized(TorchvisionDCNv2(2, 3, 3, padding=1))
    x = torch.zeros(1, 2, 6, 6)
    x[0, 0, 2, 2] = torch.nan
    out = layer(x)
    assert out[0, :, 2, 2].isnan().all()
    assert out[0, :, 5, 5].isfinite().all()


def test_layer_computes_in_float32_under_autocast():
    layer, x = randomized(TorchvisionDCNv2(4, 6, 3, padding=1)), torch.randn(1, 4, 8, 8).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, layer(x.float()).bfloat16())
