"""Arguments that make no sense, told with the rule and the value received."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from rotated_atss.assign.grids import Grid
from rotated_atss.ops.checks import check_tensors


def check_images(gt_boxes_list: Sequence[Tensor], regions: Sequence[Tensor | None]) -> None:
    """Raise ``ValueError`` unless there is an image, and a place for the regions of each."""
    if not gt_boxes_list:
        raise ValueError("gt_boxes_list must hold the objects of at least one image")
    if len(regions) != len(gt_boxes_list):
        raise ValueError(f"ignored regions of {len(regions)} images for objects of {len(gt_boxes_list)}")


def check_forms(priors: Tensor, **others: Tensor | None) -> None:
    """Raise ``TypeError`` for what is no tensor, and ``ValueError`` unless priors are (N, 4) or (N, 5) and everything
    else has as many columns.
    """
    check_tensors(priors=priors, **others)
    if priors.ndim != 2 or priors.shape[1] not in (4, 5):
        raise ValueError(f"priors must have shape (N, 5) or (N, 4), not {tuple(priors.shape)}")
    for name, boxes in others.items():
        if boxes is not None and (boxes.ndim != 2 or boxes.shape[1] != priors.shape[1]):
            raise ValueError(f"{name} must have shape (N, {priors.shape[1]}), not {tuple(boxes.shape)}")


def check_levels(priors: Tensor, level_sizes: list[int]) -> None:
    """Raise ``ValueError`` unless the levels are as large as the priors are many."""
    if sum(level_sizes) != len(priors):
        raise ValueError(f"level_sizes {level_sizes} sum to {sum(level_sizes)}, but there are {len(priors)} priors")


def check_grids(grids: Sequence[Grid], level_sizes: Sequence[int]) -> None:
    """Raise ``ValueError`` unless there is a grid a level with as many cells, or several priors for each cell."""
    if len(grids) != len(level_sizes):
        raise ValueError(f"{len(grids)} grids for {len(level_sizes)} levels")
    for grid, size in zip(grids, level_sizes):
        cells = grid.height * grid.width
        if grid.height < 0 or grid.width < 0 or (size % cells if cells else size):
            raise ValueError(f"a level of {size} priors is no grid of {grid.height} x {grid.width} cells")
        if not grid.stride > 0:
            raise ValueError(f"a grid's stride must be above 0, not {grid.stride}")


def check_valid_hw(valid_hw: Sequence[Sequence[tuple[int, int]]], grids: Sequence[Grid], images: int) -> None:
    """Raise ``ValueError`` unless every image names rows and columns of every grid, no more than it has."""
    if len(valid_hw) != images or any(len(each) != len(grids) for each in valid_hw):
        raise ValueError(f"valid_hw must name rows and columns of {len(grids)} levels for {images} images")
    for each in valid_hw:
        for (rows, columns), grid in zip(each, grids):
            if not (0 <= rows <= grid.height and 0 <= columns <= grid.width):
                raise ValueError(f"{rows} x {columns} cells exist of a grid of {grid.height} x {grid.width}")


def check_counts(**counts: int) -> None:
    """Raise ``ValueError`` for a count below 1."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")


def check_scale_ranges(scale_ranges: Sequence[float], levels: int) -> None:
    """Raise ``ValueError`` unless the ranges rise from above 0 and there is one fewer than levels."""
    told = f"scale_ranges {tuple(scale_ranges)}"
    if len(scale_ranges) != levels - 1:
        raise ValueError(f"{told} divide {len(scale_ranges) + 1} levels, but there are {levels}")
    if any(not 0 < low < high for low, high in zip(scale_ranges, (*scale_ranges[1:], math.inf))):
        raise ValueError(f"{told} must rise from above 0")


def check_thresholds(pos_iou: float, neg_iou: float, min_pos_iou: float = 0.0) -> None:
    """Raise ``ValueError`` for IoU thresholds outside [0, 1] or in the wrong order."""
    if not 0 < neg_iou <= pos_iou <= 1 or not 0 <= min_pos_iou <= 1:
        told = f"pos_iou {pos_iou}, neg_iou {neg_iou} and min_pos_iou {min_pos_iou}"
        raise ValueError(f"0 < neg_iou <= pos_iou <= 1 and 0 <= min_pos_iou <= 1 must hold, not {told}")
