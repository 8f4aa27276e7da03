"""Validate and prepare the arguments of the assignment functions."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence

from torch import Tensor

from rotated_atss.assign.box_formats import box_wh, detach_and_upcast
from rotated_atss.assign.ignore_mask import compute_ignore_mask
from rotated_atss.ops.checks import check_tensors


def valid_gt_mask(gt_boxes: Tensor) -> Tensor:
    """Find the ground-truth boxes that have an area and finite values.

    On the CPU, a warning reports the number of invalid boxes. On CUDA, there is no warning, because the host would have
    to wait for the GPU to count them.

    Args:
        gt_boxes: (G, 5) or (G, 4).

    Returns:
        (G,) bool, True for valid boxes.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.validation import valid_gt_mask
        >>> valid_gt_mask(torch.tensor([[10.0, 10, 4, 2, 0.3], [30, 10, 8, 6, 0]]))
        tensor([True, True])
    """
    valid = (box_wh(gt_boxes) > 0).all(1) & gt_boxes.isfinite().all(1)
    if valid.device.type == "cpu" and not bool(valid.all()):
        num_invalid = int((~valid).sum())
        message = f"{num_invalid} of {len(valid)} gt_boxes have no area or are not finite; no prior is assigned to them"
        warnings.warn(message, stacklevel=3)
    return valid


def check_box_formats(priors: Tensor, **other_boxes: Tensor | None) -> None:
    """Check that priors are an (N, 4) or (N, 5) tensor, and that all other boxes have the same number of columns.

    Raises:
        TypeError: An argument is not a tensor.
        ValueError: A shape is wrong.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.validation import check_box_formats
        >>> check_box_formats(torch.zeros(3, 5), gt_boxes=torch.zeros(1, 4))
        Traceback (most recent call last):
        ValueError: gt_boxes must have shape (N, 5), got (1, 4)
    """
    check_tensors(priors=priors, **other_boxes)
    if priors.ndim != 2 or priors.shape[1] not in (4, 5):
        raise ValueError(f"priors must have shape (N, 5) or (N, 4), got {tuple(priors.shape)}")
    for name, boxes in other_boxes.items():
        if boxes is not None and (boxes.ndim != 2 or boxes.shape[1] != priors.shape[1]):
            raise ValueError(f"{name} must have shape (N, {priors.shape[1]}), got {tuple(boxes.shape)}")


def check_level_sizes(priors: Tensor, level_sizes: Sequence[int]) -> None:
    """Raise ``ValueError`` unless the level sizes sum to the number of priors.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.validation import check_level_sizes
        >>> check_level_sizes(torch.zeros(3, 5), [2, 2])
        Traceback (most recent call last):
        ValueError: level_sizes must sum to the number of priors (3), got [2, 2]
    """
    if sum(level_sizes) != len(priors):
        raise ValueError(f"level_sizes must sum to the number of priors ({len(priors)}), got {list(level_sizes)}")


def prepare_boxes(
    priors: Tensor, gt_boxes: Tensor, gt_boxes_ignore: Tensor | None, ignore_iof_threshold: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Validate, detach and upcast the boxes of an image, and compute the mask of its ignored priors.

    Args:
        priors: (A, 5) or (A, 4).
        gt_boxes: (G, 5) or (G, 4).
        gt_boxes_ignore: (I, 5) or (I, 4) ignored boxes, or None.
        ignore_iof_threshold: As for :func:`rotated_atss.assign.ignore_mask.compute_ignore_mask`.

    Returns:
        ``priors`` and ``gt_boxes`` in float32 or float64, and the (A,) bool mask of ignored priors, or None if no box
        is ignored.

    Raises:
        TypeError: Boxes are not tensors.
        ValueError: A shape is wrong.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.validation import prepare_boxes
        >>> priors, gt_boxes = torch.tensor([[0, 0, 10, 10]]), torch.zeros(0, 4)
        >>> prepare_boxes(priors, gt_boxes, torch.tensor([[0, 0, 8, 20]]), 0.5)
        (tensor([[ 0.,  0., 10., 10.]]), tensor([], size=(0, 4)), tensor([True]))
    """
    check_box_formats(priors, gt_boxes=gt_boxes, gt_boxes_ignore=gt_boxes_ignore)
    priors, gt_boxes = detach_and_upcast(priors, gt_boxes)
    return priors, gt_boxes, compute_ignore_mask(priors, gt_boxes_ignore, ignore_iof_threshold)


def check_at_least_one(**numbers: int) -> None:
    """Raise ``ValueError`` if any number is below 1.

    Example:
        >>> from rotated_atss.assign.validation import check_at_least_one
        >>> check_at_least_one(topk=0)
        Traceback (most recent call last):
        ValueError: topk must be at least 1, got 0
    """
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def check_regress_limits(regress_limits: Sequence[float], num_levels: int) -> None:
    """Raise ``ValueError`` unless the limits are positive and increasing, and one fewer than levels.

    Example:
        >>> from rotated_atss.assign.validation import check_regress_limits
        >>> check_regress_limits((64, 32), num_levels=3)
        Traceback (most recent call last):
        ValueError: regress_limits must increase and be above 0, got (64, 32)
    """
    if len(regress_limits) != num_levels - 1:
        raise ValueError(
            f"regress_limits must have {num_levels - 1} values for {num_levels} levels, got {tuple(regress_limits)}"
        )
    if any(not lower < upper for lower, upper in itertools.pairwise((0, *regress_limits, math.inf))):
        raise ValueError(f"regress_limits must increase and be above 0, got {tuple(regress_limits)}")


def check_thresholds(pos_iou: float, neg_iou: float, min_pos_iou: float = 0.0) -> None:
    """Raise ``ValueError`` if an IoU threshold is outside its range or ``neg_iou`` exceeds ``pos_iou``.

    Example:
        >>> from rotated_atss.assign.validation import check_thresholds
        >>> check_thresholds(pos_iou=0.5, neg_iou=0.6)
        Traceback (most recent call last):
        ValueError: thresholds must satisfy 0 < neg_iou <= pos_iou <= 1 and 0 <= min_pos_iou <= 1, got pos_iou 0.5, ...
    """
    if not 0 < neg_iou <= pos_iou <= 1 or not 0 <= min_pos_iou <= 1:
        raise ValueError(
            "thresholds must satisfy 0 < neg_iou <= pos_iou <= 1 and 0 <= min_pos_iou <= 1, "
            f"got pos_iou {pos_iou}, neg_iou {neg_iou}, min_pos_iou {min_pos_iou}"
        )
