"""Modulated deformable convolution (DCNv2) on torchvision's kernel."""

from __future__ import annotations

import math

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from rotated_atss.ops.deform_conv import deform_conv2d_by_sampling
from rotated_atss.ops.dtypes import upcast


@MODELS.register_module()  # mmcv looks up convolutions in MMEngine's registry, regardless of the scope
class TorchvisionDCNv2(nn.Module):
    """Modulated deformable convolution (DCNv2, Zhu et al., arXiv 1811.11168) for CPU and CUDA, without mmcv's kernels.

    Parameters (``weight``, ``bias``, ``conv_offset.*``) and results are those of mmcv's ``ModulatedDeformConv2dPack``.
    With K kernel positions and D ``deform_groups``, the first 2 * D * K channels of ``conv_offset`` are offsets
    (dy, dx), and the last D * K channels are mask logits. ``conv_offset`` is initialized with zeros. Under autocast the
    layer computes in float32.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: As in ``torch.nn.Conv2d``.
        deform_groups: Number of groups into which the input channels are divided. Each group has its own offsets and
            masks.

    Example:
        >>> TorchvisionDCNv2(4, 6, kernel_size=3, padding=1)(torch.zeros(1, 4, 8, 8)).shape
        torch.Size([1, 6, 8, 8])
    """

    # Whether to compute with standard operators instead of torchvision's kernel. They are slower, but exported graphs
    # need them, because few runtimes have torchvision's operator.
    uses_standard_operators = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        deform_groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel_hw = (kernel_size, kernel_size) if isinstance(kernel_size, int) else (kernel_size[0], kernel_size[1])
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *kernel_hw))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        # mmcv's ConvModule and MMEngine's initializers read these attributes of a convolution
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = kernel_hw
        self.transposed, self.output_padding = False, 0
        self.conv_offset = nn.Conv2d(
            in_channels, deform_groups * 3 * math.prod(kernel_hw), kernel_hw, stride, padding, dilation, bias=True
        )
        self.init_weights()

    def init_weights(self) -> None:
        """Initialize ``weight`` uniformly, as mmcv does, and all other parameters with 0, so that every mask is 0.5."""
        bound = 1 / math.sqrt(self.in_channels * math.prod(self.kernel_size))
        nn.init.uniform_(self.weight, -bound, bound)
        for parameter in (self.bias, self.conv_offset.weight, self.conv_offset.bias):
            if parameter is not None:
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the convolution to (B, in_channels, H, W)."""
        with torch.autocast(x.device.type, enabled=False):
            features = upcast(x)
            num_masks = self.conv_offset.out_channels // 3  # D * K
            offset, mask_logits = self.conv_offset(features).tensor_split([2 * num_masks], 1)
            # NaN features make offset and mask_logits NaN. NaN offsets are replaced by 0, because torchvision's kernel
            # would crash the process. The output for NaN features is still NaN, because the mask is NaN.
            offset, mask = offset.nan_to_num(), mask_logits.sigmoid()
            if self.uses_standard_operators:
                out = deform_conv2d_by_sampling(
                    features, offset, mask, self.weight, self.bias,
                    stride=self.stride, padding=self.padding, dilation=self.dilation,
                )  # fmt: skip
            else:
                # torchvision is imported only here, because the import takes a second and few configs need it. The
                # import must not happen while a graph is traced. It does not, because exports set
                # uses_standard_operators before they trace.
                from torchvision.ops import deform_conv2d

                out = deform_conv2d(
                    features, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask
                )
        return out.to(x.dtype)
