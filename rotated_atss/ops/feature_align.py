"""Features read at the boxes that were predicted from them: the sampling step of R3Det's feature refinement."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_features(features: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples of feature maps, any device, differentiable in the features.

    Args:
        features: (B, C, H, W).
        points: (B, P, 2), x and y in cells: cell (0, 0) has its value at (0, 0).

    Returns:
        (B, C, P). Up to one cell outside, a map is continued by its border; further out it is 0.
    """
    batch, channels, height, width = features.shape
    limit = points.new_tensor((width, height))
    known = ((points >= -1) & (points <= limit)).all(-1)
    spot = torch.minimum(points.clamp(min=0), limit - 1)
    low = spot.floor().long()
    high = torch.minimum(low + 1, low.new_tensor((width - 1, height - 1)))
    right, down = (spot - low).to(features.dtype).unbind(-1)
    flat = features.flatten(2)

    def value(x: Tensor, y: Tensor) -> Tensor:
        return flat.gather(2, (y * width + x)[:, None].expand(batch, channels, -1))

    upper = value(low[..., 0], low[..., 1]) * (1 - right)[:, None] + value(high[..., 0], low[..., 1]) * right[:, None]
    lower = value(low[..., 0], high[..., 1]) * (1 - right)[:, None] + value(high[..., 0], high[..., 1]) * right[:, None]
    sampled = upper * (1 - down)[:, None] + lower * down[:, None]
    return torch.where(known[:, None], sampled, torch.zeros_like(sampled))


def align_features(features: Tensor, boxes: Tensor, stride: float, *, transposed: bool = False) -> Tensor:
    """Each cell's features plus those at the centre of the cell's box (Yang et al., R3Det, arXiv 1908.05612,
    algorithm 1 with one point).

    Args:
        features: (B, C, H, W).
        boxes: (B, H * W, 5), pixels, one a cell in row-major order.
        stride: Pixels a cell.
        transposed: Read a box's x as the row and its y as the column. The kernel that the published R3Det models were
            trained with does (mmcv's ``rotated_feature_align``), so their weights need it.

    Returns:
        (B, C, H, W).
    """
    centers = boxes[..., :2].detach() / stride
    sampled = sample_features(features, centers.flip(-1) if transposed else centers)
    return features + sampled.view_as(features)
