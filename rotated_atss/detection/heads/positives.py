"""The positives of a batch: (image, prior) pairs with a ground-truth box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from rotated_atss.ops.candidates import PriorPairs


@dataclass(frozen=True)
class Positives(PriorPairs):
    """Positive (image, prior) pairs and their ground-truth boxes, one row per pair.

    Counting positives on CUDA synchronizes with the device. To avoid this, the rows can be padded to an upper bound of
    the number of positives. The padding follows the last positive, refers to the first prior of the first image, and
    has weight 0.
    """

    gt_boxes: Tensor  # (P, 5)
    weight: Tensor | None = None  # (P,) float32, 1 for positives and 0 for padding; None if there is no padding


def gather_positives(
    gt_index: Tensor, batch_gt_instances: list[InstanceData], max_num_pos: int | None = None
) -> Positives:
    """Gather the positives of a batch and their ground-truth boxes.

    Args:
        gt_index: (B, A) int64, index of the assigned box in the ground truth of the image; negative if there is none.
        batch_gt_instances: Ground truth of each image, with ``bboxes`` (G, 5).
        max_num_pos: Upper bound of the number of positives. If None, the positives are counted, which synchronizes with
            the device.

    Returns:
        Positives, ordered by image and then by prior. If ``max_num_pos`` is given, the rows are padded to
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
    # Index of each image's first box in gt_boxes, (B,). It is computed from sizes that the CPU knows, so that CUDA is
    # not synchronized.
    first_gt = torch.tensor([0, *(len(gt.bboxes) for gt in batch_gt_instances[:-1])]).cumsum(0)
    first_gt = first_gt.to(gt_index.device, non_blocking=True)
    if max_num_pos is None:
        image_index, prior_index = torch.nonzero(gt_index >= 0).unbind(1)
        gt_index_in_batch = gt_index[image_index, prior_index] + first_gt[image_index]
        return Positives(image_index, prior_index, gt_boxes[gt_index_in_batch])
    pairs = torch.nonzero_static(gt_index >= 0, size=min(max_num_pos, gt_index.numel()), fill_value=-1)
    weight = (pairs[:, 0] >= 0).float()
    image_index, prior_index = pairs.clamp(min=0).unbind(1)  # padding (-1, -1) becomes (0, 0)
    # Padding refers to prior 0 of image 0. If this prior has no assigned box, its gt_index is negative; clamp then
    # selects the first box, which has no effect, because the weight is 0.
    gt_index_in_batch = gt_index[image_index, prior_index].clamp(min=0) + first_gt[image_index]
    return Positives(image_index, prior_index, gt_boxes[gt_index_in_batch], weight)
