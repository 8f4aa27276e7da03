"""Causes of differing assignments, found by replaying ATSS with one ingredient exchanged at a time.

The ingredients are the candidates (which of several equally distant priors are chosen) and their IoUs (mmcv's or
exact). If the baseline's assignment becomes equal with this package's candidates, the candidates are the cause. Then
every exchanged candidate must be as far from its box as the one it replaces: a distance tie. If it becomes equal with
IoUs in float64, the baseline's IoU is the cause.
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
SAME_DISTANCE = 1e-5  # relative difference in float64 below which float32 distances tie
WRONG_IOU = 1e-5  # an IoU off by less is rounded, not wrong

TIE, WRONG, ROUNDED, UNEXPLAINED = "distance tie", "wrong IoU of mmcv", "rounding", "unexplained"


def explain(
    priors: Tensor, level_sizes: Sequence[int], gt_boxes: Tensor, result: Tensor, baseline: Tensor, device: str = "cpu"
) -> list[dict[str, Any]]:
    """Return one record per differing prior: the prior, both ground-truth indices, the cause and its evidence.

    Args:
        priors: (A, 5) float32.
        level_sizes: Priors per level.
        gt_boxes: (G, 5) float32.
        result: (A,) ground-truth index of this package, -1 for background.
        baseline: (A,) ground-truth index of the baseline.
        device: Device of the baseline; its choice among ties may depend on it.
    """
    own_candidates = nearest_priors(priors[:, :2], level_sizes, gt_boxes[:, :2], TOPK)
    other_candidates = baseline_candidates(priors.to(device), level_sizes, gt_boxes.to(device)).cpu()
    baseline_iou = baseline_ious(priors, gt_boxes, other_candidates, device)
    exact_iou = exact_ious(priors, gt_boxes, other_candidates)
    replays = {
        "candidates": replay(
            priors, gt_boxes, own_candidates, baseline_ious(priors, gt_boxes, own_candidates, device)
        ),
        "ious": replay(priors, gt_boxes, other_candidates, exact_iou),
        "both": replay(priors, gt_boxes, own_candidates, exact_ious(priors, gt_boxes, own_candidates)),
    }  # fmt: skip
    exchanged = (own_candidates.sort(1).values != other_candidates.sort(1).values).any(1)
    gap = distance_gaps(priors, gt_boxes, own_candidates, other_candidates)
    error = (baseline_iou.double() - exact_iou).abs().amax(1)
    records = []
    for prior in torch.nonzero(result != baseline).flatten().tolist():
        pair = {"rotated_atss": int(result[prior]), "baseline": int(baseline[prior])}
        involved = [gt_index for gt_index in pair.values() if gt_index >= 0]
        evidence = {"distance_gap": float(gap[involved].max()), "iou_error": float(error[involved].max())}
        equal = [name for name, replayed in replays.items() if replayed[prior] == result[prior]]
        cause = _cause(equal, bool(exchanged[involved].any()), **evidence)
        records.append({"prior": prior, **pair, "cause": cause, **evidence})
    return records


def _cause(equal: list[str], exchanged: bool, distance_gap: float, iou_error: float) -> str:
    """Return the first exchange that makes the assignments equal, if the evidence supports it."""
    if not equal or distance_gap > SAME_DISTANCE:
        return UNEXPLAINED
    iou_cause = WRONG if iou_error > WRONG_IOU else ROUNDED
    if not exchanged or equal[0] == "ious":
        return iou_cause
    return TIE if equal[0] == "candidates" else f"{TIE} and {iou_cause}"


def baseline_candidates(priors: Tensor, level_sizes: Sequence[int], gt_boxes: Tensor) -> Tensor:
    """Return the (G, K) candidates that torch.topk selects from dense float32 distances, as the baseline does."""
    distance = (priors[:, None, :2] - gt_boxes[None, :, :2]).pow(2).sum(-1).sqrt()
    chosen, start = [], 0
    for size in level_sizes:
        level = distance[start : start + size]
        chosen.append(level.topk(min(TOPK, size), dim=0, largest=False).indices + start)
        start += size
    return torch.cat(chosen).T.contiguous()


def baseline_ious(priors: Tensor, gt_boxes: Tensor, candidates: Tensor, device: str) -> Tensor:
    """Return the (G, K) IoUs of mmcv in float32."""
    from mmcv.ops import box_iou_rotated

    pairs = [each.to(device).contiguous() for each in _pairs(priors, gt_boxes, candidates)]
    return box_iou_rotated(*pairs, aligned=True).cpu().view_as(candidates)


def exact_ious(priors: Tensor, gt_boxes: Tensor, candidates: Tensor) -> Tensor:
    """Return the (G, K) IoUs in float64."""
    return rotated_iou(*_pairs(priors.double(), gt_boxes.double(), candidates), aligned=True).view_as(candidates)


def replay(priors: Tensor, gt_boxes: Tensor, candidates: Tensor, iou: Tensor) -> Tensor:
    """Return the (A,) assignment by lines 7 to 14 of Algorithm 1, prior by prior, from candidates and their IoUs."""
    pair_priors, pair_gt = _pairs(priors, gt_boxes, candidates)
    inside = points_in_obb(pair_priors[:, :2], pair_gt, CENTER_MARGIN_PX).view_as(candidates)
    positive = (iou >= (iou.mean(1) + iou.std(1))[:, None]) & inside
    best, gt_index = iou.new_full((len(priors),), -1.0), torch.full((len(priors),), -1)
    for g, k in torch.nonzero(positive).tolist():  # in the order of the boxes: the first of equals is kept
        prior = candidates[g, k]
        if iou[g, k] > best[prior]:
            best[prior], gt_index[prior] = iou[g, k], g
    return gt_index


def distance_gaps(priors: Tensor, gt_boxes: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the (G,) largest relative difference of the sorted float64 distances of two choices of candidates.

    Distances are sorted within each level, so that an exchanged candidate is compared with the one it replaces.
    """
    lengths = []
    for candidates in (first, second):
        offset = priors[candidates, :2].double() - gt_boxes[:, None, :2].double()
        side = priors[candidates, 2].double()  # equal for all priors of a level
        lengths.append(_sorted_within(side, offset.norm(dim=-1)))
    return ((lengths[0] - lengths[1]).abs() / lengths[0].clamp(min=1)).amax(1)


def _sorted_within(key: Tensor, values: Tensor) -> Tensor:
    """Sort rows of ``values`` within equal values of ``key``."""
    by_value = values.argsort(1)
    by_key = key.gather(1, by_value).argsort(dim=1, stable=True)
    return values.gather(1, by_value.gather(1, by_key))


def _pairs(priors: Tensor, gt_boxes: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    return priors[candidates.flatten()], gt_boxes.repeat_interleave(candidates.shape[1], 0)
