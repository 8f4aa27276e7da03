"""Gather the positives of a batch, which are (image, prior) pairs with an assigned ground-truth box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.ops.candidates import PriorPairs


@dataclass(frozen=True)
class Positives(PriorPairs):
    """Positive (image, prior) pairs and their ground-truth boxes, one row per pair.

    On CUDA, counting the positives would make the CPU wait for the GPU. :func:`gather_positives` can therefore use an
    upper bound of their number. The rows after the last positive are then padding: they refer to the first prior of the
    first image and have weight 0.
    """

    gt_boxes: Tensor  # (P, 5)
    weight: Tensor | None = None  # (P,) float32, 1 for positives and 0 for padding; None if there is no padding


def gather_positives(
    gt_index: Tensor, batch_gt_instances: list[InstanceData], max_num_pos: int | None = None
) -> Positives:
    """Gather the positives of a batch and their ground-truth boxes.

    Args:
        gt_index: (B, A) int64, index of the assigned box in the ground truth of the image; negative for priors without
            an assigned box.
        batch_gt_instances: Ground truth of each image, with ``bboxes`` (G, 5).
        max_num_pos: Upper bound of the number of positives; None counts them, so that the CPU waits for the GPU.

    Returns:
        Positives, ordered by image and then by prior. If ``max_num_pos`` is given, the result is padded to
        ``min(max_num_pos, B * A)`` rows.

    Example:
        >>> gt_index = torch.tensor([[-1, 0, -1], [1, -1, -1]])
        >>> batch = [InstanceData(bboxes=torch.full((1, 5), 1.0)), InstanceData(bboxes=torch.full((2, 5), 2.0))]
        >>> positives = gather_positives(gt_index, batch)
        >>> positives.image_index.tolist(), positives.prior_index.tolist()
        ([0, 1], [1, 0])
        >>> gather_positives(gt_index, batch, max_num_pos=3).weight
        tensor([1., 1., 0.])
    """
    gt_boxes = torch.cat([gt.bboxes for gt in batch_gt_instances])
    # (B,) index in gt_boxes of the first box of each image; computed on the CPU, so that it need not wait for the GPU
    first_gt = torch.tensor([0, *(len(gt.bboxes) for gt in batch_gt_instances[:-1])]).cumsum(0)
    first_gt = first_gt.to(gt_index.device, non_blocking=True)
    if max_num_pos is None:
        image_index, prior_index = torch.nonzero(gt_index >= 0).unbind(1)
        gt_index_in_batch = gt_index[image_index, prior_index] + first_gt[image_index]
        return Positives(image_index, prior_index, gt_boxes[gt_index_in_batch])
    pairs = torch.nonzero_static(gt_index >= 0, size=min(max_num_pos, gt_index.numel()), fill_value=-1)
    weight = (pairs[:, 0] >= 0).float()
    image_index, prior_index = pairs.clamp(min=0).unbind(1)  # padding (-1, -1) becomes (0, 0)
    # Padding refers to prior 0 of image 0. If its gt_index is negative, the clamp gives padding the first box.
    gt_index_in_batch = gt_index[image_index, prior_index].clamp(min=0) + first_gt[image_index]
    return Positives(image_index, prior_index, gt_boxes[gt_index_in_batch], weight)
