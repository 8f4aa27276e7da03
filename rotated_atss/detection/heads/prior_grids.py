"""Regular grids of the prior centers of MMDetection's prior generators."""

from __future__ import annotations

import math
from typing import Any

import torch

from rotated_atss.assign import Grid


def prior_grids(prior_generator: Any, featmap_sizes: list[torch.Size]) -> list[Grid]:
    """Describe the prior centers of each level as a regular grid.

    The center of the first cell of a grid is the center of the first base anchor. The :class:`PriorGrid` of a
    refinement stage has no base anchors, because its priors are boxes of the previous stage. The centers of its grids
    are not used, so the first center is set to (0, 0).

    Args:
        prior_generator: Generator with ``strides`` (x, y), which must be equal in x and y. A generator of anchors also
            has ``base_anchors`` per level.
        featmap_sizes: (height, width) of each feature map.

    Returns:
        One grid per level, in pixels.

    Example:
        >>> from mmdet.models.task_modules import AnchorGenerator
        >>> generator = AnchorGenerator(strides=[8], ratios=[1.0], scales=[4], center_offset=0.5)
        >>> prior_grids(generator, [torch.Size((4, 6))])
        [Grid(height=4, width=6, stride=8, x0=4.0, y0=4.0)]
    """
    base_anchors = getattr(prior_generator, "base_anchors", None)
    if base_anchors:
        first_centers = [((anchors[0, :2] + anchors[0, 2:]) / 2).tolist() for anchors in base_anchors]  # x, y
    else:
        first_centers = [(0.0, 0.0)] * len(featmap_sizes)
    return [
        Grid(height, width, stride, *first_center)
        for (height, width), (stride, _), first_center in zip(featmap_sizes, prior_generator.strides, first_centers)
    ]


def valid_hw(
    prior_generator: Any, featmap_sizes: list[torch.Size], pad_shape: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Compute how many rows and columns of each level are valid for an image, by the rule of MMDetection's valid flags.

    Args:
        prior_generator: Generator with ``strides`` (x, y) per level.
        featmap_sizes: (height, width) of each feature map.
        pad_shape: Height and width in pixels of the image, with the padding of the pipeline but without the padding
            that batching adds. Cells in the padding of the batch are not valid.

    Returns:
        (rows, columns) per level.

    Example:
        >>> from mmdet.models.task_modules import AnchorGenerator
        >>> generator = AnchorGenerator(strides=[8], ratios=[1.0], scales=[4])
        >>> valid_hw(generator, [torch.Size((16, 16))], pad_shape=(64, 100))
        [(8, 13)]
    """
    image_height, image_width = pad_shape[:2]
    return [
        (min(math.ceil(image_height / stride_y), height), min(math.ceil(image_width / stride_x), width))
        for (height, width), (stride_x, stride_y) in zip(featmap_sizes, prior_generator.strides)
    ]
