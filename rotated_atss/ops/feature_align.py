"""Feature alignment of R3Det: add to each cell the features at the center of the box that the cell predicts."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_features(features: Tensor, points: Tensor) -> Tensor:
    """Sample feature maps bilinearly.

    The function runs on any device and is differentiable with respect to the features.

    Args:
        features: (B, C, H, W).
        points: (B, P, 2) ``x, y`` in cells; (0, 0) is the center of the first cell.

    Returns:
        (B, C, P). Points up to one cell outside the map get the value at the map's border. Points further outside get
        0.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.feature_align import sample_features
        >>> features = torch.arange(6.0).view(1, 1, 2, 3)  # rows 0 1 2 and 3 4 5
        >>> sample_features(features, torch.tensor([[[1.0, 0.0], [0.5, 0.5], [9.0, 0.0]]]))
        tensor([[[1., 2., 0.]]])
    """
    batch, channels, height, width = features.shape
    x, y = points.unbind(-1)
    within_one_cell = (x >= -1) & (x <= width) & (y >= -1) & (y <= height)
    x, y = x.clamp(min=0).clamp(max=width - 1), y.clamp(min=0).clamp(max=height - 1)
    left, top = x.floor().long(), y.floor().long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    # (B, 1, P) position of each point between the neighboring cells
    x_fraction, y_fraction = (x - left).to(features.dtype)[:, None], (y - top).to(features.dtype)[:, None]
    flat = features.flatten(2)

    def features_at(column: Tensor, row: Tensor) -> Tensor:
        """Return the features (B, C, P) of the cells (B, P)."""
        return flat.gather(2, (row * width + column)[:, None].expand(batch, channels, -1))

    upper = features_at(left, top) * (1 - x_fraction) + features_at(right, top) * x_fraction
    lower = features_at(left, bottom) * (1 - x_fraction) + features_at(right, bottom) * x_fraction
    sampled = upper * (1 - y_fraction) + lower * y_fraction
    return torch.where(within_one_cell[:, None], sampled, torch.zeros_like(sampled))


def align_features(features: Tensor, boxes: Tensor, stride: float, *, transposed: bool = False) -> Tensor:
    """Add to each cell the features sampled at the center of the cell's box.

    This is algorithm 1 of R3Det (Yang et al., arXiv 1908.05612) with one sampling point.

    Args:
        features: (B, C, H, W).
        boxes: (B, H * W, 5) in pixels, one per cell in row-major order.
        stride: Pixels per cell.
        transposed: Use the x of a box as the row and its y as the column, as mmcv's ``rotated_feature_align`` does. The
            published weights of R3Det need this.

    Returns:
        (B, C, H, W).

    Example:
        >>> import torch
        >>> from rotated_atss.ops import align_features
        >>> features = torch.arange(4.0).view(1, 1, 2, 2)
        >>> boxes = torch.tensor([8.0, 0.0, 30.0, 10.0, 0.5]).expand(1, 4, 5)  # all centers: column 1, row 0
        >>> align_features(features, boxes, stride=8)
        tensor([[[[1., 2.],
                  [3., 4.]]]])
    """
    # R3Det places the center of cell (row i, column j) at pixel (j * stride, i * stride)
    centers = boxes[..., :2].detach() / stride  # in cells
    sampled = sample_features(features, centers.flip(-1) if transposed else centers)
    return features + sampled.view_as(features)
