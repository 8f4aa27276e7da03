"""Adaptive Training Sample Selection (Zhang et al., arXiv 1912.02424, Algorithm 1) for oriented and for horizontal
boxes, on plain tensors.

Only the candidates of an object are ever compared with it: k priors a level, not all of them. Where the levels are
regular grids, which they are in every detector here, the others are not even looked at.

Ties, the same on every run and device: among priors equally far from an object's centre the lower index is nearer; a
prior wanted by several objects with equal IoU goes to the one with the lower index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rotated_atss.assign.box_forms import candidate_iou, centers, detach_and_upcast, inside_of
from rotated_atss.assign.candidates import PriorLayout, select_candidates
from rotated_atss.assign.grids import Grid
from rotated_atss.assign.resolution import BACKGROUND, IGNORE, ignored_priors, resolve_conflicts, valid_gt_mask
from rotated_atss.assign.validation import check_counts, check_forms, check_images, check_levels

# On the CPU large enough that overheads vanish and, for more objects than a tile has, torch's threads help.
_PAIRS_PER_STEP = {"cpu": 128_000, "cuda": 1 << 22}


def atss_assign(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    *,
    topk: int = 9,
    priors_per_location: int = 1,
    grids: Sequence[Grid | tuple] | None = None,
    gt_boxes_ignore: Tensor | None = None,
    ignore_iof_threshold: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Choose the object, if any, that each prior learns.

    Args:
        priors: (A, 5) ``cx, cy, w, h, angle``, pixels and radians, level after level; or (A, 4) ``x1, y1, x2, y2``.
        level_sizes: Number of priors a level; their sum is A.
        gt_boxes: (G, 5) objects, or (G, 4) as the priors. Those without area or with numbers that are not finite get
            no prior (one warning says how many).
        topk: Candidate locations a level (k of the paper).
        priors_per_location: Priors that share a centre: ``topk * priors_per_location`` candidates a level.
        grids: ``(height, width, stride, x0, y0)`` of each level, where the centres of its priors are a grid, row by
            row: cells, pixels, and the centre of the first cell (:class:`Grid`; ``find_grids`` reads them off priors).
            They are taken at their word: only their sizes are checked. The same result in time that grows with the
            objects alone. An image with ignored regions, and more than 200 candidates a level, are searched for in
            full nevertheless.
        gt_boxes_ignore: (I, 5) or (I, 4) regions to ignore. A prior of which more than ``ignore_iof_threshold`` lies in
            one of them is neither a candidate nor a negative.
        ignore_iof_threshold: See ``gt_boxes_ignore``; negative ignores nothing.

    Returns:
        ``gt_index`` (A,) int64, the index of each prior's object, :data:`BACKGROUND` (-1) or :data:`IGNORE` (-2), and
        ``iou`` (A,), the IoU with it, 0 where none.

    Raises:
        TypeError: Boxes that are no tensors.
        ValueError: Shapes or sizes that do not fit together.
    """
    gt_index, iou = atss_assign_batch(
        priors, level_sizes, [gt_boxes], topk=topk, priors_per_location=priors_per_location, grids=grids,
        gt_boxes_ignore_list=[gt_boxes_ignore], ignore_iof_threshold=ignore_iof_threshold,
    )  # fmt: skip
    return gt_index[0], iou[0]


def atss_assign_batch(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes_list: Sequence[Tensor],
    *,
    topk: int = 9,
    priors_per_location: int = 1,
    grids: Sequence[Grid | tuple] | None = None,
    valid_hw: Sequence[Sequence[tuple[int, int]]] | None = None,
    gt_boxes_ignore_list: Sequence[Tensor | None] | None = None,
    ignore_iof_threshold: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """:func:`atss_assign` of all images of a batch that share their priors, in one go: no loop over images or objects
    (but over images with ignored regions), and on CUDA nothing waits for the device.

    Args:
        priors: (A, 5) or (A, 4).
        level_sizes: Number of priors a level.
        gt_boxes_list: (G, 5) or (G, 4) objects of each of the B images.
        topk: As :func:`atss_assign`, as the others that are not named here.
        priors_per_location: As there.
        grids: As there.
        valid_hw: For each image the rows and columns of each level's grid that lie on the image; those in its
            padding are ignored. Needs ``grids``.
        gt_boxes_ignore_list: Regions to ignore of each image, or None.
        ignore_iof_threshold: As there.

    Returns:
        ``gt_index`` (B, A) with indices into each image's own objects, and ``iou`` (B, A).

    Raises:
        TypeError: Boxes that are no tensors.
        ValueError: Shapes or sizes that do not fit together.
    """
    regions = list(gt_boxes_ignore_list or [None] * len(gt_boxes_list))
    check_images(gt_boxes_list, regions)
    for gt_boxes, gt_boxes_ignore in zip(gt_boxes_list, regions, strict=True):
        check_forms(priors, gt_boxes=gt_boxes, gt_boxes_ignore=gt_boxes_ignore)
    check_levels(priors, list(level_sizes))
    check_counts(topk=topk, priors_per_location=priors_per_location)
    layout = PriorLayout.of(level_sizes, grids, valid_hw, len(gt_boxes_list))
    priors, *gt_boxes_list = detach_and_upcast(priors, *gt_boxes_list)
    left_out = [ignored_priors(priors, each, ignore_iof_threshold) for each in regions]
    gt_index = torch.full((len(gt_boxes_list), len(priors)), BACKGROUND, dtype=torch.int64, device=priors.device)
    iou = priors.new_zeros(gt_index.shape)
    objects, image, index = _in_one_row(gt_boxes_list)
    if len(objects) and len(priors):
        count = topk * priors_per_location
        candidates = select_candidates(centers(priors), layout, centers(objects), image, count, left_out)
        claims = _claims(priors, objects, candidates, valid_gt_mask(objects))
        slot = claims.prior + image[claims.owner] * len(priors)
        gt_index, iou = resolve_conflicts(gt_index.numel(), slot, index[claims.owner], claims.overlap, claims.positive)
    gt_index, iou = gt_index.view(len(regions), -1), iou.view(len(regions), -1)
    for number, mask in enumerate(left_out):
        excluded = layout.excluded(number, mask, priors.device)
        if excluded is not None:
            gt_index[number].masked_fill_(excluded, IGNORE)
    return gt_index, iou


def _in_one_row(gt_boxes_list: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """(G, ...) the objects of all images, (G,) the image of each and (G,) its number in that image."""
    counts = torch.tensor([len(each) for each in gt_boxes_list])
    image = torch.arange(len(counts)).repeat_interleave(counts)
    index = torch.arange(len(image)) - (counts.cumsum(0) - counts)[image]
    device = gt_boxes_list[0].device
    return torch.cat(list(gt_boxes_list)), image.to(device), index.to(device)


def match_candidates(priors: Tensor, gt_boxes: Tensor, candidates: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
    """Threshold, centre test and conflicts (lines 7 to 14 of Algorithm 1) for given candidates.

    Args:
        priors: (A, 5) or (A, 4).
        gt_boxes: (G, 5) or (G, 4).
        candidates: (G, K) indices of priors; -1 is none.
        usable: (G,) bool, objects that may get priors.

    Returns:
        ``gt_index`` (A,) and ``iou`` (A,) as :func:`atss_assign`, without :data:`IGNORE`.
    """
    claims = _claims(priors, gt_boxes, candidates, usable)
    return resolve_conflicts(len(priors), claims.prior, claims.owner, claims.overlap, claims.positive)


class _Claims(NamedTuple):
    """(N,) each: what an object wants."""

    prior: Tensor
    owner: Tensor  # the object
    overlap: Tensor
    positive: Tensor  # bool, whether it may have it


def _claims(priors: Tensor, objects: Tensor, candidates: Tensor, usable: Tensor) -> _Claims:
    step = max(1, _PAIRS_PER_STEP.get(priors.device.type, 1 << 16) // max(1, candidates.shape[1]))
    parts = [slice(start, start + step) for start in range(0, max(1, len(objects)), step)]
    claims = [_claims_of_some(priors, objects[part], candidates[part], usable[part]) for part in parts]
    owners = torch.cat([each.owner + part.start for each, part in zip(claims, parts)])
    prior, _, overlap, positive = (torch.cat(column) for column in zip(*claims))
    return _Claims(prior, owners, overlap, positive)


def _claims_of_some(priors: Tensor, objects: Tensor, candidates: Tensor, usable: Tensor) -> _Claims:
    overlap, above = _above_threshold(priors, objects, candidates)
    above &= usable[:, None]
    owner = torch.arange(len(objects), device=above.device)[:, None].expand_as(candidates)
    prior, owner, overlap, above = (each.flatten() for each in (candidates, owner, overlap, above))
    if above.device.type == "cpu":
        # four of five candidates end here; on CUDA they are carried along, for to count them would stall it
        rows = torch.nonzero(above).squeeze(1)
        prior, owner, overlap, above = (each.index_select(0, rows) for each in (prior, owner, overlap, above))
    prior = prior.clamp(min=0)
    within = inside_of(centers(priors.index_select(0, prior)), objects, owner)
    return _Claims(prior, owner, overlap, above & within)


def count_candidates_above_threshold(priors: Tensor, gt_boxes: Tensor, candidates: Tensor) -> Tensor:
    """(G,) how many of each object's candidates reach its threshold, before the centre test and conflicts.

    Arguments as :func:`match_candidates`.
    """
    return _above_threshold(priors, gt_boxes, candidates)[1].sum(1)


def _above_threshold(priors: Tensor, objects: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """(G, K) IoU of each candidate, and whether it reaches the threshold of its object."""
    counted = candidates >= 0
    overlap = candidate_iou(priors, objects, candidates.clamp(min=0))
    return overlap, (overlap >= adaptive_threshold(overlap, counted)[:, None]) & counted


def adaptive_threshold(overlap: Tensor, counted: Tensor) -> Tensor:
    """Mean plus (unbiased) standard deviation of each object's candidate IoUs (equation in line 10 of Algorithm 1).

    Args:
        overlap: (G, K).
        counted: (G, K) bool, or 1 for what counts and 0 for what does not.

    Returns:
        (G,), summed in float64 so that it does not depend on the order of the candidates. One candidate has no
        deviation: its own IoU is the threshold.
    """
    wide, counted = overlap.double(), counted.double()
    number = counted.sum(1)
    mean = (wide * counted).sum(1) / number.clamp(min=1)
    variance = ((wide - mean[:, None]).square_() * counted).sum(1) / (number - 1).clamp(min=1)
    return (mean + variance.sqrt()).to(overlap)
