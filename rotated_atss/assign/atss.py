"""Adaptive Training Sample Selection (Zhang et al., arXiv 1912.02424, Algorithm 1) for oriented and for horizontal
boxes, on plain tensors.

Only the candidates of an object are ever compared with it: k priors a level, not all of them.

Ties, the same on every run and device: among priors equally far from an object's centre the lower index is nearer; a
prior wanted by several objects with equal IoU goes to the one with the lower index.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotated_atss.assign.checks import check_counts, check_forms, check_levels
from rotated_atss.assign.forms import aligned_iou, centers, computable, inside
from rotated_atss.assign.outcome import NONE, ignored_priors, mark_ignored, strongest_claim, usable_objects

_DISTANCES_A_CHUNK = 1 << 18  # 4 MB of buffers


def atss_assign(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    *,
    topk: int = 9,
    priors_per_location: int = 1,
    ignored_boxes: Tensor | None = None,
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
        ignored_boxes: (I, 5) or (I, 4) regions to ignore. A prior of which more than ``ignore_iof_threshold`` lies in
            one of them is neither a candidate nor a negative.
        ignore_iof_threshold: See ``ignored_boxes``; negative ignores nothing.

    Returns:
        ``matched`` (A,) int64, the index of each prior's object, :data:`NONE` (-1) or :data:`IGNORED` (-2), and
        ``iou`` (A,), the IoU with it, 0 where none.

    Raises:
        ValueError: Shapes or sizes that do not fit together.
    """
    check_forms(priors, gt_boxes=gt_boxes, ignored_boxes=ignored_boxes)
    check_levels(priors, list(level_sizes))
    check_counts(topk=topk, priors_per_location=priors_per_location)
    priors, gt_boxes = computable(priors, gt_boxes)
    ignored = ignored_priors(priors, ignored_boxes, ignore_iof_threshold)
    matched = torch.full((len(priors),), NONE, dtype=torch.int64, device=priors.device)
    iou = priors.new_zeros(len(priors))
    if len(gt_boxes) and len(priors):
        count = topk * priors_per_location
        candidates = nearest_priors(centers(priors), level_sizes, centers(gt_boxes), count, ignored)
        matched, iou = match_candidates(priors, gt_boxes, candidates, usable_objects(gt_boxes), ignored)
    return mark_ignored(matched, ignored), iou


def nearest_priors(
    centers: Tensor, level_sizes: Sequence[int], points: Tensor, count: int, excluded: Tensor | None = None
) -> Tensor:
    """The ``count`` nearest priors of each point in every level, by exhaustive search in bounded memory.

    Args:
        centers: (A, 2) centres of the priors.
        level_sizes: Number of priors a level.
        points: (G, 2).
        count: Priors wanted a level; a smaller level gives all it has.
        excluded: (A,) bool, priors that are taken only when a level has nothing else.

    Returns:
        (G, K) int64 indices, a level after the other, nearest first, the lower index first among equals.
    """
    nearest, start = [], 0
    for size in level_sizes:
        level = slice(start, start + size)
        if size:
            skip = None if excluded is None else excluded[level]
            nearest.append(_nearest_in_level(centers[level], points, min(count, size), skip) + start)
        start += size
    return torch.cat(nearest, 1)


def _nearest_in_level(centers: Tensor, points: Tensor, count: int, excluded: Tensor | None) -> Tensor:
    rows = max(1, min(len(points), _DISTANCES_A_CHUNK // len(centers)))
    # buffers of one chunk, used again and again: fresh ones for every chunk would fragment the heap
    across, down = centers.new_empty((2, rows, len(centers))).unbind(0)
    keys = torch.empty((rows, len(centers)), dtype=torch.int64, device=centers.device)
    nearest = keys.new_empty((len(points), count))
    index = torch.arange(len(centers), device=centers.device)
    for start in range(0, len(points), rows):
        part = points[start : start + rows]
        squared, other, key = across[: len(part)], down[: len(part)], keys[: len(part)]
        torch.sub(part[:, :1], centers[:, 0], out=squared).square_()
        torch.sub(part[:, 1:], centers[:, 1], out=other).square_()
        squared += other
        if excluded is not None:
            squared.masked_fill_(excluded, torch.inf)
        # a float that is not negative orders as its bits do: with the index below them every key is unique, and so is
        # the choice
        key.copy_(squared.float().view(torch.int32)).bitwise_left_shift_(32).bitwise_or_(index)
        nearest[start : start + rows] = key.topk(count, largest=False, sorted=True).values
    return nearest.bitwise_and_(0xFFFFFFFF)


def match_candidates(
    priors: Tensor, gt_boxes: Tensor, candidates: Tensor, usable: Tensor, excluded: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Threshold, centre test and conflicts (lines 7 to 14 of Algorithm 1) for given candidates.

    Args:
        priors: (A, 5) or (A, 4).
        gt_boxes: (G, 5) or (G, 4).
        candidates: (G, K) indices of priors.
        usable: (G,) bool, objects that may get priors.
        excluded: (A,) bool, priors that are no candidates even when named.

    Returns:
        ``matched`` (A,) and ``iou`` (A,) as :func:`atss_assign`, without :data:`IGNORED`.
    """
    claimed, owner = candidates.flatten(), _owners(candidates)
    overlap, above = _above_threshold(priors, gt_boxes, candidates, excluded)
    positive = above & inside(centers(priors[claimed]), gt_boxes[owner]) & usable[owner]
    return strongest_claim(len(priors), claimed, owner, overlap, positive)


def candidates_above_threshold(priors: Tensor, gt_boxes: Tensor, candidates: Tensor) -> Tensor:
    """(G,) how many of each object's candidates reach its threshold, before the centre test and conflicts.

    Arguments as :func:`match_candidates`.
    """
    return _above_threshold(priors, gt_boxes, candidates, None)[1].view_as(candidates).sum(1)


def _above_threshold(
    priors: Tensor, gt_boxes: Tensor, candidates: Tensor, excluded: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(G * K,) IoU of each candidate, and whether it reaches the threshold of its object."""
    claimed, owner = candidates.flatten(), _owners(candidates)
    overlap = aligned_iou(priors[claimed], gt_boxes[owner])
    counted = torch.ones_like(overlap) if excluded is None else (~excluded[claimed]).to(overlap)
    threshold = adaptive_threshold(overlap.view_as(candidates), counted.view_as(candidates))
    return overlap, (overlap >= threshold[owner]) & (counted > 0)


def _owners(candidates: Tensor) -> Tensor:
    """(G * K,) the object of each candidate."""
    return torch.arange(len(candidates), device=candidates.device).repeat_interleave(candidates.shape[1])


def adaptive_threshold(overlap: Tensor, counted: Tensor) -> Tensor:
    """Mean plus (unbiased) standard deviation of each object's candidate IoUs (equation in line 10 of Algorithm 1).

    Args:
        overlap: (G, K).
        counted: (G, K), 1 for what counts and 0 for what does not.

    Returns:
        (G,). One candidate has no deviation: its own IoU is the threshold.
    """
    number = counted.sum(1)
    mean = (overlap * counted).sum(1) / number.clamp(min=1)
    variance = ((overlap - mean[:, None]).square() * counted).sum(1) / (number - 1).clamp(min=1)
    return mean + variance.sqrt()
