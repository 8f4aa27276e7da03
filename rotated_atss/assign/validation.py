"""Validation of the arguments of the assigners."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from torch import Tensor

from rotated_atss.assign.box_formats import box_wh
from rotated_atss.assign.grids import Grid
from rotated_atss.ops.checks import check_tensors


def valid_gt_mask(gt_boxes: Tensor) -> Tensor:
    """Mask the ground-truth boxes with an area and finite coordinates.

    On the CPU a warning reports the number of others; on CUDA counting them would synchronise the device.

    Args:
        gt_boxes: (G, 5) or (G, 4).

    Returns:
        (G,) bool.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.validation import valid_gt_mask
        >>> valid_gt_mask(torch.tensor([[10.0, 10, 4, 2, 0.3], [30, 10, 8, 6, 0]]))
        tensor([True, True])
    """
    valid = (box_wh(gt_boxes) > 0).all(1) & gt_boxes.isfinite().all(1)
    if valid.device.type == "cpu" and not bool(valid.all()):
        message = f"{int((~valid).sum())} of {len(valid)} gt_boxes have no area or are not finite; no prior is assigned"
        warnings.warn(message, stacklevel=3)
    return valid


def check_images(gt_boxes_list: Sequence[Tensor], gt_boxes_ignore_list: Sequence[Tensor | None]) -> None:
    """Raise ``ValueError`` for an empty batch or lists of different lengths."""
    if not gt_boxes_list:
        raise ValueError("gt_boxes_list must hold the boxes of at least one image, got an empty list")
    if len(gt_boxes_ignore_list) != len(gt_boxes_list):
        raise ValueError(
            f"gt_boxes_ignore_list must have one entry per image ({len(gt_boxes_list)}), "
            f"got {len(gt_boxes_ignore_list)}"
        )


def check_box_formats(priors: Tensor, **others: Tensor | None) -> None:
    """Check that priors are (N, 4) or (N, 5) tensors and that all other boxes have as many columns.

    Raises:
        TypeError: An argument is not a tensor.
        ValueError: A shape is wrong.
    """
    check_tensors(priors=priors, **others)
    if priors.ndim != 2 or priors.shape[1] not in (4, 5):
        raise ValueError(f"priors must have shape (N, 5) or (N, 4), got {tuple(priors.shape)}")
    for name, boxes in others.items():
        if boxes is not None and (boxes.ndim != 2 or boxes.shape[1] != priors.shape[1]):
            raise ValueError(f"{name} must have shape (N, {priors.shape[1]}), got {tuple(boxes.shape)}")


def check_level_sizes(priors: Tensor, level_sizes: list[int]) -> None:
    """Raise ``ValueError`` unless the level sizes sum to the number of priors."""
    if sum(level_sizes) != len(priors):
        raise ValueError(f"level_sizes must sum to the number of priors ({len(priors)}), got {level_sizes}")


def check_grids(grids: Sequence[Grid], level_sizes: Sequence[int]) -> None:
    """Raise ``ValueError`` unless there is one grid per level and each level is a multiple of its grid's cells."""
    if len(grids) != len(level_sizes):
        raise ValueError(f"grids must have one entry per level ({len(level_sizes)}), got {len(grids)}")
    for grid, size in zip(grids, level_sizes):
        cells = grid.height * grid.width
        if grid.height < 0 or grid.width < 0 or (size % cells if cells else size):
            raise ValueError(
                f"a level of {size} priors must be a multiple of its grid's cells, got {grid.height} x {grid.width}"
            )
        if not grid.stride > 0:
            raise ValueError(f"the stride of a grid must be above 0, got {grid.stride}")


def check_valid_hw(valid_hw: Sequence[Sequence[tuple[int, int]]], grids: Sequence[Grid], num_images: int) -> None:
    """Raise ``ValueError`` unless every image has rows and columns for every level, within the level's grid."""
    if len(valid_hw) != num_images or any(len(image_hw) != len(grids) for image_hw in valid_hw):
        raise ValueError(
            f"valid_hw must hold (rows, columns) of {len(grids)} levels for {num_images} images, "
            f"got {[len(image_hw) for image_hw in valid_hw]} levels"
        )
    for image_hw in valid_hw:
        for (rows, columns), grid in zip(image_hw, grids):
            if not (0 <= rows <= grid.height and 0 <= columns <= grid.width):
                raise ValueError(
                    f"valid_hw must lie within its grid of {grid.height} x {grid.width} cells, got {rows} x {columns}"
                )


def check_at_least_one(**numbers: int) -> None:
    """Raise ``ValueError`` for a number below 1."""
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def check_scale_ranges(scale_ranges: Sequence[float], num_levels: int) -> None:
    """Raise ``ValueError`` unless there is one border fewer than levels and the borders increase from above 0."""
    if len(scale_ranges) != num_levels - 1:
        raise ValueError(
            f"scale_ranges must hold {num_levels - 1} borders for {num_levels} levels, got {tuple(scale_ranges)}"
        )
    if any(not 0 < low < high for low, high in zip(scale_ranges, (*scale_ranges[1:], math.inf))):
        raise ValueError(f"scale_ranges must increase and be above 0, got {tuple(scale_ranges)}")


def check_thresholds(pos_iou: float, neg_iou: float, min_pos_iou: float = 0.0) -> None:
    """Raise ``ValueError`` for IoU thresholds outside [0, 1] or in the wrong order."""
    if not 0 < neg_iou <= pos_iou <= 1 or not 0 <= min_pos_iou <= 1:
        raise ValueError(
            "thresholds must satisfy 0 < neg_iou <= pos_iou <= 1 and 0 <= min_pos_iou <= 1, "
            f"got pos_iou {pos_iou}, neg_iou {neg_iou}, min_pos_iou {min_pos_iou}"
        )
