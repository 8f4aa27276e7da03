"""Why two assignments of one scene differ at a prior: replay ATSS with one ingredient exchanged at a time.

The ingredients are the candidates (whose choice among equal distances?) and their IoUs (mmcv's or exact ones). If the
peer's assignment becomes ours once it is given our candidates, the candidates were the cause, and then every candidate
exchanged must be as far from its object as the one it replaced: a distance tie. If it becomes ours once it is given
IoUs computed in float64, its IoU was the cause, and how wrong it was is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rotated_atss.assign import CENTER_MARGIN_PX, nearest_priors
from rotated_atss.ops import rotated_iou
from rotated_atss.ops.boxes import points_in_obb

TOPK = 9
SAME_DISTANCE = 1e-5  # relative: float32 distances that float64 tells apart by less are equal to the peer
WRONG_IOU = 1e-5  # an IoU off by less than this is rounded, not wrong

TIE, WRONG, ROUNDED, UNEXPLAINED = "distance tie", "peer's wrong IoU", "rounding", "unexplained"


def explain(
    priors: Tensor, level_sizes: Sequence[int], objects: Tensor, mine: Tensor, theirs: Tensor, device: str = "cpu"
) -> list[dict[str, Any]]:
    """One record a differing prior: the prior, both objects, the cause and the evidence for it.

    Args:
        priors: (A, 5) float32.
        level_sizes: Priors a level.
        objects: (G, 5) float32.
        mine: (A,) our assignment, -1 where none.
        theirs: (A,) the peer's.
        device: Where the peer ran: its choice among ties may depend on it.
    """
    ours = nearest_priors(priors[:, :2], level_sizes, objects[:, :2], TOPK)
    peers = peer_candidates(priors.to(device), level_sizes, objects.to(device)).cpu()
    wrong = {name: peer_overlaps(priors, objects, each, device) for name, each in (("ours", ours), ("peers", peers))}
    right = {name: exact_overlaps(priors, objects, each) for name, each in (("ours", ours), ("peers", peers))}
    replays = {
        "candidates": replay(priors, objects, ours, wrong["ours"]),
        "overlaps": replay(priors, objects, peers, right["peers"]),
        "both": replay(priors, objects, ours, right["ours"]),
    }
    exchanged = (ours.sort(1).values != peers.sort(1).values).any(1)
    gap = tie_gaps(priors, objects, ours, peers)
    error = (wrong["peers"].double() - right["peers"]).abs().amax(1)
    records = []
    for prior in torch.nonzero(mine != theirs).flatten().tolist():
        involved = [each for each in (int(mine[prior]), int(theirs[prior])) if each >= 0]
        evidence = {"distance_gap": float(gap[involved].max()), "iou_error": float(error[involved].max())}
        fits = [name for name, result in replays.items() if result[prior] == mine[prior]]
        cause = _cause(fits, bool(exchanged[involved].any()), **evidence)
        records.append({
            "prior": prior, "ours": int(mine[prior]), "peer": int(theirs[prior]), "cause": cause, **evidence,
        })  # fmt: skip
    return records


def _cause(fits: list[str], exchanged: bool, distance_gap: float, iou_error: float) -> str:
    """The first exchanged ingredient that makes the peer's assignment ours, if the evidence bears it out."""
    if not fits or distance_gap > SAME_DISTANCE:
        return UNEXPLAINED
    of_overlap = WRONG if iou_error > WRONG_IOU else ROUNDED
    if not exchanged or fits[0] == "overlaps":
        return of_overlap
    return TIE if fits[0] == "candidates" else f"{TIE} and {of_overlap}"


def peer_candidates(priors: Tensor, level_sizes: Sequence[int], objects: Tensor) -> Tensor:
    """(G, K) candidates that torch's topk picks from a dense matrix of float32 distances, as the peer's does."""
    distance = (priors[:, None, :2] - objects[None, :, :2]).pow(2).sum(-1).sqrt()
    chosen, start = [], 0
    for size in level_sizes:
        level = distance[start : start + size]
        chosen.append(level.topk(min(TOPK, size), dim=0, largest=False).indices + start)
        start += size
    return torch.cat(chosen).T.contiguous()


def peer_overlaps(priors: Tensor, objects: Tensor, candidates: Tensor, device: str) -> Tensor:
    """(G, K) IoUs by mmcv, float32."""
    from mmcv.ops import box_iou_rotated

    pairs = [each.to(device).contiguous() for each in _pairs(priors, objects, candidates)]
    return box_iou_rotated(*pairs, aligned=True).cpu().view_as(candidates)


def exact_overlaps(priors: Tensor, objects: Tensor, candidates: Tensor) -> Tensor:
    """(G, K) IoUs in float64."""
    return rotated_iou(*_pairs(priors.double(), objects.double(), candidates), aligned=True).view_as(candidates)


def replay(priors: Tensor, objects: Tensor, candidates: Tensor, overlap: Tensor) -> Tensor:
    """(A,) assignment by lines 7 to 14 of Algorithm 1, prior by prior, from given candidates and overlaps."""
    inside = points_in_obb(*_centers(*_pairs(priors, objects, candidates)), CENTER_MARGIN_PX).view_as(candidates)
    positive = (overlap >= (overlap.mean(1) + overlap.std(1))[:, None]) & inside
    best, gt_index = overlap.new_full((len(priors),), -1.0), torch.full((len(priors),), -1)
    for g, k in torch.nonzero(positive).tolist():  # objects in order: among equals the first stays
        prior = candidates[g, k]
        if overlap[g, k] > best[prior]:
            best[prior], gt_index[prior] = overlap[g, k], g
    return gt_index


def tie_gaps(priors: Tensor, objects: Tensor, ours: Tensor, peers: Tensor) -> Tensor:
    """(G,) by how much, relatively, the sorted float64 distances of the two choices of an object differ at most.

    Each level is sorted with the others: an exchanged candidate stands beside the one it replaced.
    """
    lengths = []
    for candidates in (ours, peers):
        offset = priors[candidates, :2].double() - objects[:, None, :2].double()
        level = priors[candidates, 2].double()  # a level's priors have a side of their own
        lengths.append(_sorted_by(level, offset.norm(dim=-1)))
    return ((lengths[0] - lengths[1]).abs() / lengths[0].clamp(min=1)).amax(1)


def _sorted_by(first: Tensor, second: Tensor) -> Tensor:
    """Rows of ``second`` sorted within equal values of ``first``."""
    by_second = second.argsort(1)
    by_first = first.gather(1, by_second).argsort(dim=1, stable=True)
    return second.gather(1, by_second.gather(1, by_first))


def _pairs(priors: Tensor, objects: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    return priors[candidates.flatten()], objects.repeat_interleave(candidates.shape[1], 0)


def _centers(priors: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
    return priors[:, :2], objects
