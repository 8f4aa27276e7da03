"""Box operations of label assignment for oriented and for horizontal boxes.

The number of columns determines the format: (N, 5) ``cx, cy, w, h, angle`` or (N, 4) ``x1, y1, x2, y2``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotated_atss.ops.boxes import obb_to_hbb, points_in_obb
from rotated_atss.ops.dtypes import upcast
from rotated_atss.ops.iou import overlap_of_columns, rotated_iou

CENTER_MARGIN_PX = 0.01
"""Minimum distance in pixels from a prior center inside a box to every side of the box.

The official ATSS code has the same value. It makes a center on the border of the box count as outside.
"""


def detach_and_upcast(priors: Tensor, *boxes_list: Tensor) -> tuple[Tensor, ...]:
    """Detach all tensors, upcast the priors to at least float32, and convert the boxes to the priors' dtype and device.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.box_formats import detach_and_upcast
        >>> priors, gt_boxes = detach_and_upcast(torch.ones(1, 4).half(), torch.ones(1, 4).double())
        >>> priors.dtype, gt_boxes.dtype
        (torch.float32, torch.float32)
    """
    priors = upcast(priors.detach())
    return (priors, *(boxes.detach().to(priors) for boxes in boxes_list))


def centers(boxes: Tensor) -> Tensor:
    """Return the (N, 2) centers of boxes.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.box_formats import centers
        >>> centers(torch.tensor([[0.0, 0, 8, 4]]))
        tensor([[4., 2.]])
    """
    return boxes[:, :2] if boxes.shape[1] == 5 else (boxes[:, :2] + boxes[:, 2:]) / 2


def box_wh(boxes: Tensor) -> Tensor:
    """Return the (N, 2) widths and heights of boxes.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.box_formats import box_wh
        >>> box_wh(torch.tensor([[10.0, 20, 18, 24]]))
        tensor([[8., 4.]])
    """
    return boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:] - boxes[:, :2]


def to_hbb(boxes: Tensor) -> Tensor:
    """Return the (N, 4) circumscribed horizontal boxes of oriented boxes, or horizontal boxes unchanged.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.box_formats import to_hbb
        >>> to_hbb(torch.tensor([[10.0, 20, 6, 4, 0]]))
        tensor([[ 7., 18., 13., 22.]])
    """
    return obb_to_hbb(boxes) if boxes.shape[1] == 5 else boxes


def side_distances(points: Tensor, boxes: Tensor) -> Tensor:
    """Compute the distances from each point to the four sides of the box in the same row, along the box axes.

    These are the regression targets of FCOS (Tian et al., arXiv 1904.01355, equation 1).

    Args:
        points: (N, 2) pixels.
        boxes: (N, 5) or (N, 4).

    Returns:
        (N, 4) distances in pixels to the left, top, right and bottom side. The distance to a side is negative if the
        point is beyond this side.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.box_formats import side_distances
        >>> side_distances(torch.tensor([[9.0, 20]]), torch.tensor([[10.0, 20, 6, 4, 0]]))
        tensor([[2., 2., 4., 2.]])
    """
    offset = points - centers(boxes)
    if boxes.shape[1] == 5:  # rotate the offset into the frame of the box
        cos, sin = boxes[:, 4].cos(), boxes[:, 4].sin()
        offset = torch.stack((offset[:, 0] * cos + offset[:, 1] * sin, offset[:, 1] * cos - offset[:, 0] * sin), 1)
    half = box_wh(boxes) / 2
    return torch.cat((half + offset, half - offset), 1)


def points_in_boxes(points: Tensor, boxes: Tensor, margin: float = CENTER_MARGIN_PX) -> Tensor:
    """Test whether each point lies in the box of the same row, more than ``margin`` pixels from every side.

    Args:
        points: (N, 2) pixels.
        boxes: (N, 5) or (N, 4).
        margin: Minimum distance to every side in pixels, exclusive.

    Returns:
        (N,) bool.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.box_formats import points_in_boxes
        >>> points_in_boxes(torch.tensor([[1.0, 1], [8, 1]]), torch.tensor([[0.0, 0, 8, 4], [0, 0, 8, 4]]))
        tensor([ True, False])
    """
    if boxes.shape[1] == 5:
        return points_in_obb(points, boxes, margin)
    return torch.cat((points - boxes[:, :2], boxes[:, 2:] - points), 1).amin(1) > margin


def points_in_indexed_boxes(points: Tensor, boxes: Tensor, index: Tensor, margin: float = CENTER_MARGIN_PX) -> Tensor:
    """Test whether each point lies in the box that its index selects.

    The result equals ``points_in_boxes(points, boxes[index], margin)`` but is computed faster.

    Args:
        points: (N, 2) pixels.
        boxes: (G, 5) or (G, 4).
        index: (N,) int64, per point, the index of its box.
        margin: Minimum distance to every side in pixels, exclusive.

    Returns:
        (N,) bool.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.box_formats import points_in_indexed_boxes
        >>> points, boxes = torch.tensor([[1.0, 1], [9, 1]]), torch.tensor([[4.0, 2, 8, 4, 0]])
        >>> points_in_indexed_boxes(points, boxes, torch.tensor([0, 0]))
        tensor([ True, False])
    """
    box_of_point = boxes.index_select(0, index)
    if boxes.shape[1] == 4:
        return points_in_boxes(points, box_of_point, margin)
    # Sines and cosines are computed per box, because there are fewer boxes than points. For more than 2,000 values,
    # torch computes cosines in several threads, and starting the threads takes more time than they save.
    cos_sin = boxes[:, 4].cos().index_select(0, index), boxes[:, 4].sin().index_select(0, index)
    return points_in_obb(points, box_of_point, margin, cos_sin)


def aligned_iou(boxes1: Tensor, boxes2: Tensor, mode: str = "iou") -> Tensor:
    """Compute the IoU or IoF of boxes row by row.

    Args:
        boxes1: (N, 5) or (N, 4).
        boxes2: Boxes of the same shape as ``boxes1``.
        mode: ``iou``, or ``iof`` for the intersection over the area of ``boxes1``.

    Returns:
        (N,) IoU or IoF, 0 for zero-area boxes.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.box_formats import aligned_iou
        >>> aligned_iou(torch.tensor([[0.0, 0, 8, 4]]), torch.tensor([[4.0, 0, 8, 4]]))
        tensor([0.5000])
    """
    if boxes1.shape[1] == 5:
        return rotated_iou(boxes1, boxes2, aligned=True, mode=mode)
    return _horizontal_overlap(boxes1.unbind(1), boxes2.unbind(1), mode)


def candidate_iou(priors: Tensor, gt_boxes: Tensor, candidates: Tensor) -> Tensor:
    """Compute the IoU of each ground-truth box with its candidates.

    Args:
        priors: (A, 5) or (A, 4).
        gt_boxes: (G, 5) or (G, 4).
        candidates: (G, K) int64 indices of priors.

    Returns:
        (G, K) IoU.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.box_formats import candidate_iou
        >>> priors, gt_boxes = torch.tensor([[0.0, 0, 8, 4], [4, 0, 8, 4]]), torch.tensor([[0.0, 0, 8, 4]])
        >>> candidate_iou(priors, gt_boxes, torch.tensor([[0, 1]]))
        tensor([[1.0000, 0.5000]])
    """
    prior_index = candidates.flatten()
    if priors.shape[1] == 5 and candidates.device.type != "cpu":  # the steps below are faster only on the CPU
        gt_boxes_of_pairs = gt_boxes.repeat_interleave(candidates.shape[1], 0)
        return rotated_iou(priors[prior_index], gt_boxes_of_pairs, aligned=True).view_as(candidates)
    # On the CPU, index_select is five times as fast as indexing with brackets.
    prior_columns = [column.index_select(0, prior_index).view_as(candidates) for column in priors[:, :4].unbind(1)]
    gt_columns = [column[:, None] for column in gt_boxes.unbind(1)]
    if len(gt_columns) == 4:
        return _horizontal_overlap(prior_columns, gt_columns)
    angle = priors[:, 4]
    # Usually all priors have the same angle. An angle column of shape (1, 1) is then enough, and sines and cosines are
    # computed once per ground-truth box instead of once per pair.
    angles_are_equal = bool((angle == angle[0]).all())
    prior_columns.append(
        angle[:1, None] if angles_are_equal else angle.index_select(0, prior_index).view_as(candidates)
    )
    # Screening saves time, because many candidates either do not overlap their ground-truth box or contain it.
    return overlap_of_columns(prior_columns, gt_columns, screened=True)


def _horizontal_overlap(boxes1: Sequence[Tensor], boxes2: Sequence[Tensor], mode: str = "iou") -> Tensor:
    """Compute the IoU or IoF of boxes given as columns ``x1, y1, x2, y2`` whose shapes broadcast."""
    (left1, top1, right1, bottom1), (left2, top2, right2, bottom2) = boxes1, boxes2
    width = (torch.minimum(right1, right2) - torch.maximum(left1, left2)).clamp(min=0)
    intersection = (torch.minimum(bottom1, bottom2) - torch.maximum(top1, top2)).clamp(min=0) * width
    area1, area2 = (right1 - left1) * (bottom1 - top1), (right2 - left2) * (bottom2 - top2)
    denominator = area1 if mode == "iof" else area1 + area2 - intersection
    overlap = intersection / torch.where(denominator > 0, denominator, 1.0)
    return torch.where((intersection > 0) & overlap.isfinite(), overlap, 0.0)
