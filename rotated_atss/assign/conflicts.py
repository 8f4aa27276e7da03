"""Assign priors that several ground-truth boxes select, and define the ``gt_index`` values of unassigned priors."""

from __future__ import annotations

import torch
from torch import Tensor

BACKGROUND, IGNORE = -1, -2  # values of gt_index: the prior is negative; the prior does not count in the loss


def resolve_conflicts(
    num_priors: int, prior_index: Tensor, gt_index: Tensor, priority: Tensor, is_positive: Tensor
) -> tuple[Tensor, Tensor]:
    """Assign each prior to the ground-truth box with the highest priority among the boxes that select the prior.

    Of several boxes with the same priority, the one with the lowest index gets the prior.

    Args:
        num_priors: Number A of priors.
        prior_index: (N,) int64, the prior of each of N (prior, ground-truth box) pairs.
        gt_index: (N,) int64, the ground-truth box of each pair.
        priority: (N,) priority of each pair, at least 0, usually the IoU.
        is_positive: (N,) bool, False for pairs to disregard.

    Returns:
        A tuple of the (A,) int64 index of the ground-truth box that each prior is assigned to, and the (A,) priority of
        this pair. Priors in no positive pair have :data:`BACKGROUND` and priority 0.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.conflicts import resolve_conflicts
        >>> prior_index, gt_index = torch.tensor([0, 0, 2]), torch.tensor([0, 1, 1])
        >>> iou, is_positive = torch.tensor([0.5, 0.75, 0.25]), torch.tensor([True, True, True])
        >>> resolve_conflicts(3, prior_index, gt_index, iou, is_positive)
        (tensor([ 1, -1,  1]), tensor([0.7500, 0.0000, 0.2500]))
    """
    # Every prior has a slot in the buffers below. Pairs that are not positive go to an extra slot after the last prior.
    # Selecting the positive pairs instead would need their number, and for this number the host would wait for CUDA.
    slot = torch.where(is_positive, prior_index, num_priors)
    # Only the slots of pairs are initialized and read. With many priors and few boxes, initializing all slots would
    # take most of the time.
    highest_priority = priority.new_empty(num_priors + 1).index_fill_(0, slot, -1)  # below any priority
    highest_priority.scatter_reduce_(0, slot, priority, "amax")
    no_gt = torch.iinfo(gt_index.dtype).max
    lowest_gt = gt_index.new_empty(num_priors + 1).index_fill_(0, slot, no_gt)
    is_highest = priority == highest_priority[slot]
    lowest_gt.scatter_reduce_(0, slot, torch.where(is_highest, gt_index, no_gt), "amin")
    # The order of the writes does not matter, because pairs with the same slot write the same value.
    assigned = torch.full_like(lowest_gt, BACKGROUND).index_copy_(0, slot, lowest_gt[slot])
    assigned_priority = torch.zeros_like(highest_priority).index_copy_(0, slot, highest_priority[slot])
    return assigned[:num_priors], assigned_priority[:num_priors]
