"""Feature alignment of R3Det's refinement: features sampled at the boxes that were predicted from them."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_features(features: Tensor, points: Tensor) -> Tensor:
    """Sample feature maps bilinearly, on any device, differentiable with respect to the features.

    Args:
        features: (B, C, H, W).
        points: (B, P, 2) ``x, y`` in cells; cell (0, 0) has its value at (0, 0).

    Returns:
        (B, C, P). Points up to one cell outside the map read its border, points further outside read 0.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.feature_align import sample_features
        >>> features = torch.arange(6.0).view(1, 1, 2, 3)  # 0 1 2 / 3 4 5
        >>> sample_features(features, torch.tensor([[[1.0, 0.0], [0.5, 0.5], [9.0, 0.0]]]))
        tensor([[[1., 2., 0.]]])
    """
    batch, channels, height, width = features.shape
    limit = points.new_tensor((width, height))
    inside = ((points >= -1) & (points <= limit)).all(-1)
    clamped = torch.minimum(points.clamp(min=0), limit - 1)
    low = clamped.floor().long()
    high = torch.minimum(low + 1, low.new_tensor((width - 1, height - 1)))
    right, down = (clamped - low).to(features.dtype).unbind(-1)
    flat = features.flatten(2)

    def value(x: Tensor, y: Tensor) -> Tensor:
        return flat.gather(2, (y * width + x)[:, None].expand(batch, channels, -1))

    upper = value(low[..., 0], low[..., 1]) * (1 - right)[:, None] + value(high[..., 0], low[..., 1]) * right[:, None]
    lower = value(low[..., 0], high[..., 1]) * (1 - right)[:, None] + value(high[..., 0], high[..., 1]) * right[:, None]
    sampled = upper * (1 - down)[:, None] + lower * down[:, None]
    return torch.where(inside[:, None], sampled, torch.zeros_like(sampled))


def align_features(features: Tensor, boxes: Tensor, stride: float, *, transposed: bool = False) -> Tensor:
    """Add to each cell the features sampled at the center of the cell's box.

    Algorithm 1 of R3Det (Yang et al., arXiv 1908.05612) with one sampling point.

    Args:
        features: (B, C, H, W).
        boxes: (B, H * W, 5) in pixels, one per cell in row-major order.
        stride: Pixels per cell.
        transposed: Use a box's x as the row and its y as the column, as mmcv's ``rotated_feature_align`` does. Weights
            of the published R3Det models need it.

    Returns:
        (B, C, H, W).

    Example:
        >>> import torch
        >>> from rotated_atss.ops import align_features
        >>> features = torch.arange(4.0).view(1, 1, 2, 2)
        >>> boxes = torch.tensor([8.0, 0.0, 30.0, 10.0, 0.5]).expand(1, 4, 5)  # every box is centerd on cell (1, 0)
        >>> align_features(features, boxes, stride=8)
        tensor([[[[1., 2.],
                  [3., 4.]]]])
    """
    centers = boxes[..., :2].detach() / stride
    sampled = sample_features(features, centers.flip(-1) if transposed else centers)
    return features + sampled.view_as(features)
