"""What every assigner shares: the marks of priors without an object, objects that cannot be learned, regions that are
left out, and the rule for a prior that several objects want.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from rotated_atss.assign.box_forms import aligned_iou, sides
from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs

BACKGROUND, IGNORE = -1, -2


def valid_gt_mask(gt_boxes: Tensor) -> Tensor:
    """(G,) bool: objects with an area and finite numbers. Says how many are not, where asking does not stall a GPU."""
    usable = (sides(gt_boxes) > 0).all(1) & gt_boxes.isfinite().all(1)
    if usable.device.type == "cpu" and not bool(usable.all()):
        dropped = int((~usable).sum())
        told = f"{dropped} of {len(usable)} objects have no area or are not finite: they get no prior"
        warnings.warn(told, stacklevel=3)
    return usable


def ignored_priors(priors: Tensor, gt_boxes_ignore: Tensor | None, threshold: float) -> Tensor | None:
    """(A,) bool: priors of which more than ``threshold`` lies in a region to ignore; None if there is no region, or
    the threshold is negative.
    """
    if gt_boxes_ignore is None or not len(gt_boxes_ignore) or threshold < 0:
        return None
    regions = gt_boxes_ignore.detach().to(priors)
    skip = torch.zeros(len(priors), dtype=torch.bool, device=priors.device)
    for prior, region in overlapping_box_pairs(priors, regions):
        skip[prior[aligned_iou(priors[prior], regions[region], "iof") > threshold]] = True
    return skip


def mark_ignored(gt_index: Tensor, ignored: Tensor | None) -> Tensor:
    """``gt_index`` with :data:`IGNORE` where ``ignored``."""
    return gt_index if ignored is None else torch.where(ignored, torch.full_like(gt_index, IGNORE), gt_index)


def resolve_conflicts(
    prior_count: int, priors: Tensor, objects: Tensor, strength: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor]:
    """Each prior to the object that claims it most strongly, the lowest index among equals.

    Args:
        prior_count: A.
        priors: (N,) claimed priors.
        objects: (N,) claiming objects.
        strength: (N,) of each claim, at least 0.
        valid: (N,) bool. A claim that is not valid goes to a slot behind the last prior: no size depends on the data.

    Returns:
        ``gt_index`` (A,) int64, :data:`BACKGROUND` for priors without a candidate object, and the IoU (A,) with the
        assigned object, 0 where there is none.
    """
    slot = torch.where(valid, priors, prior_count)
    # what nobody claims is never read: with many priors and few objects even setting it would be most of the work
    best = strength.new_empty(prior_count + 1).index_fill_(0, slot, -1).scatter_reduce_(0, slot, strength, "amax")
    first = objects.new_empty(prior_count + 1).index_fill_(0, slot, torch.iinfo(objects.dtype).max)
    strongest = strength == best[slot]
    first.scatter_reduce_(0, slot, torch.where(strongest, objects, torch.iinfo(objects.dtype).max), "amin")
    gt_index = torch.full_like(first, BACKGROUND).index_copy_(0, slot, first[slot])
    taken = torch.zeros_like(best).index_copy_(0, slot, best[slot])
    return gt_index[:prior_count], taken[:prior_count]
