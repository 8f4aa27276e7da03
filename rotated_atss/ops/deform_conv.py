"""Deformable convolution built from standard operators.

Exported models use it because few runtimes have an operator for deformable convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def deform_conv2d_by_sampling(
    features: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> Tensor:
    """Compute a modulated deformable convolution by bilinear sampling and a 1x1 convolution.

    The result equals that of ``torchvision.ops.deform_conv2d``. The sampled features take K times as much memory as
    ``features``, where K is the number of kernel positions (9 for a 3x3 kernel).

    Args:
        features: (B, C, H, W).
        offset: (B, 2 * D * K, H', W'), in feature map cells. The channels are divided into D offset groups; each group
            has one (dy, dx) per kernel position.
        mask: (B, D * K, H', W'), the factor by which sampled values are multiplied, per offset group and kernel
            position.
        weight: (O, C / G, kernel height, kernel width) for O output channels and G groups of the convolution.
        bias: (O,).
        stride: Step of the kernel, in cells.
        padding: Zeros added at each border, in cells.
        dilation: Distance between neighboring kernel positions, in cells.

    Returns:
        (B, O, H', W').

    Example:
        >>> features, weight = torch.arange(9.0).view(1, 1, 3, 3), torch.ones(1, 1, 1, 1)
        >>> offset = torch.zeros(1, 2, 3, 3)
        >>> offset[:, 1] = 0.5  # half a cell to the right; values outside the map are 0
        >>> deform_conv2d_by_sampling(features, offset, torch.ones(1, 1, 3, 3), weight)
        tensor([[[[0.5000, 1.5000, 1.0000],
                  [3.5000, 4.5000, 2.5000],
                  [6.5000, 7.5000, 4.0000]]]])
    """
    batch, channels, height, width = features.shape
    out_height, out_width = offset.shape[-2:]
    kernel_height, kernel_width = weight.shape[-2:]
    num_positions = kernel_height * kernel_width  # K
    num_offset_groups = mask.shape[1] // num_positions  # D
    offset = offset.view(batch * num_offset_groups, num_positions, 2, out_height, out_width)

    def arange(count: int) -> Tensor:
        return torch.arange(count, device=features.device, dtype=offset.dtype)

    kernel_y = (arange(kernel_height) * dilation).repeat_interleave(kernel_width).view(-1, 1, 1)
    kernel_x = (arange(kernel_width) * dilation).repeat(kernel_height).view(-1, 1, 1)
    y = offset[:, :, 0] + kernel_y + (arange(out_height) * stride - padding).view(-1, 1)  # (B * D, K, H', W')
    x = offset[:, :, 1] + kernel_x + arange(out_width) * stride - padding
    # grid_sample places the outer edges of the map at -1 and 1. An integer x or y is the center of a cell, half a cell
    # from its edge; in units of half cells, its distance from the edge of the map is 2x + 1.
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), -1)
    sampled = F.grid_sample(
        features.reshape(batch * num_offset_groups, channels // num_offset_groups, height, width),
        grid.view(batch * num_offset_groups, num_positions * out_height, out_width, 2),
        align_corners=False,
    )
    sampled = sampled.view(batch, num_offset_groups, -1, num_positions, out_height, out_width)
    sampled = sampled * mask.view(batch, num_offset_groups, 1, num_positions, out_height, out_width)
    sampled = sampled.reshape(batch, channels * num_positions, out_height, out_width)
    groups = channels // weight.shape[1]  # G
    # each kernel position is a channel now, so the kernel is 1x1
    return F.conv2d(sampled, weight.flatten(1)[..., None, None], bias, groups=groups)
