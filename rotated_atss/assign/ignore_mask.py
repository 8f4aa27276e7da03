"""Compute and apply masks of ignored priors.

Ignored ground-truth boxes cover these priors, so the priors are neither positive nor negative.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rotated_atss.assign.box_formats import aligned_iou
from rotated_atss.assign.conflicts import IGNORE
from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs


def compute_ignore_mask(priors: Tensor, gt_boxes_ignore: Tensor | None, threshold: float) -> Tensor | None:
    """Mask the priors whose IoF (intersection over the prior's area) with an ignored box exceeds a threshold.

    Args:
        priors: (A, 5) or (A, 4).
        gt_boxes_ignore: (I, 5) or (I, 4) ignored boxes, or None.
        threshold: IoF threshold. With a negative value, no prior is ignored.

    Returns:
        (A,) bool, True for ignored priors. None if there are no ignored boxes or the threshold is negative.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.ignore_mask import compute_ignore_mask
        >>> priors = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]])
        >>> ignored_box = torch.tensor([[0.0, 0, 8, 20]])  # covers 80% of the first prior and nothing of the second
        >>> compute_ignore_mask(priors, ignored_box, 0.5)
        tensor([ True, False])
    """
    if gt_boxes_ignore is None or not len(gt_boxes_ignore) or threshold < 0:
        return None
    gt_boxes_ignore = gt_boxes_ignore.detach().to(priors)
    # Only overlapping pairs are examined. All other pairs have IoF 0, which never exceeds a threshold >= 0.
    ignore_mask = torch.zeros(len(priors), dtype=torch.bool, device=priors.device)
    for prior_index, ignore_index in overlapping_box_pairs(priors, gt_boxes_ignore):
        iof = aligned_iou(priors[prior_index], gt_boxes_ignore[ignore_index], "iof")
        ignore_mask[prior_index[iof > threshold]] = True
    return ignore_mask


def apply_ignore_mask(gt_index: Tensor, ignore_mask: Tensor | None) -> Tensor:
    """Return ``gt_index`` (A,) with :data:`IGNORE` where ``ignore_mask`` (A,) is True.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.ignore_mask import apply_ignore_mask
        >>> apply_ignore_mask(torch.tensor([0, -1, -1]), torch.tensor([False, False, True]))
        tensor([ 0, -1, -2])
    """
    return gt_index if ignore_mask is None else gt_index.masked_fill(ignore_mask, IGNORE)
