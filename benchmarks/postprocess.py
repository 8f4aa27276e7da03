"""From a head's outputs to detections: ours and the peer's in turns, and why they keep different boxes.

Every detection is traced back to the candidate that it was before NMS, so that what is kept is compared without a
tolerance. Where it differs, ours is repeated with more and more of the peer: first with centres moved onto the image,
as mmrotate's coder does, then with mmcv's NMS too. What differs no more has its cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import harness, head_outputs
from benchmarks.bench_nms import mistakes, peer_nms
from rotated_atss.detection.heads.dense_head import flatten_levels
from rotated_atss.detection.heads.postprocess import best_candidates
from rotated_atss.ops import rotated_nms

MOVED, NMS, UNEXPLAINED = "centres that mmrotate moves onto the image", "mmcv's NMS", "unexplained"
ROUNDING = 1e-6  # of a score, by the order in which a sigmoid is computed

Kept = set[int]


@dataclass(frozen=True)
class Candidates:
    """What NMS is given of one image, as ours decodes it: (N, 5) boxes, (N,) scores and labels."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def trace(self, found: Any) -> Kept:
        """Which of them the detections of an image are; ValueError where one is none of them, or is there twice."""
        apart = (found.scores[:, None] - self.scores).abs()
        apart[found.labels[:, None] != self.labels] = torch.inf
        nearest = apart.min(1) if len(self.scores) else None
        kept = set() if nearest is None else set(nearest.indices.tolist())
        if len(kept) != len(found.scores) or (kept and float(nearest.values.max()) > ROUNDING):
            raise ValueError("a detection that was no candidate, or two that were the same")
        return kept


def measure(
    outputs: head_outputs.Outputs, heads: tuple[Any, Any], mmcv: Any, args: Any, repeats: tuple[int, int]
) -> dict[str, Any]:
    """Times of one batch and, where there is a peer, the comparison.

    Args:
        outputs: As our head gives them.
        heads: Ours and the peer's, the latter None where it cannot run.
        mmcv: Its ops, for a peer that can.
        args: ``size``, ``device``.
        repeats: Measured runs of ours and of the peer.
    """
    ours, peer = heads
    images = len(outputs[0][0])
    metas = head_outputs.metas(images, args.size)
    run_ours = detector(ours, outputs, metas)
    run_peer = None if peer is None else detector(peer, head_outputs.for_peer(outputs), metas)
    sync = harness.synchroniser(args.device)
    timed = harness.time_pair(run_ours, run_peer, repeats[0], peer_repeats=repeats[1], sync=sync)
    given = candidates_of(ours, outputs)
    kept = [each.trace(found) for each, found in zip(given, run_ours())]
    count = sum(len(each.scores) for each in given)
    row = {"batch": images, "candidates": count, "kept": sum(map(len, kept)), **timed}
    if run_peer is not None:
        theirs = [each.trace(found) for each, found in zip(given, run_peer())]
        row |= {"peer_kept": sum(map(len, theirs)), **compare(given, kept, theirs, ours.test_cfg, args.size, mmcv)}
    return row


def detector(head: Any, outputs: head_outputs.Outputs, metas: list[dict]) -> Callable[[], list]:
    """A function that makes detections of outputs, without gradients."""

    def run() -> list:
        with torch.no_grad():
            return head.predict_by_feat(*outputs, batch_img_metas=metas, rescale=True)

    return run


def candidates_of(head: Any, outputs: head_outputs.Outputs) -> list[Candidates]:
    """Those of each image."""
    logits, deltas = (flatten_levels(levels, levels[0].shape[1]) for levels in outputs)
    priors = head.multi_level_priors([level.shape[-2:] for level in outputs[0]], logits.device)
    cfg = head.test_cfg
    found = best_candidates(logits.sigmoid(), [len(level) for level in priors], cfg.score_thr, cfg.nms_pre)
    boxes = head.bbox_coder.decode(torch.cat(priors)[found.prior_index], found.gather(deltas))
    rows = [found.image_index == image for image in range(len(logits))]
    return [Candidates(boxes[each], found.scores[each], found.labels[each]) for each in rows]


def compare(given: list[Candidates], kept: list[Kept], theirs: list[Kept], cfg: Any, size: int, mmcv: Any) -> dict:
    """How many candidates only one way keeps, by cause, and the mistakes of both as float64 judges them."""
    causes: Counter[str] = Counter()
    wrong: dict[str, Counter[str]] = {"ours_mistakes": Counter(), "peer_mistakes": Counter()}
    for each, mine, yours in zip(given, kept, theirs):
        moved = Candidates(centres_on_image(each.boxes, size), each.scores, each.labels)
        causes += causes_of(mine, yours, moved, cfg, mmcv)
        for name, judged, some in (("ours_mistakes", each, mine), ("peer_mistakes", moved, yours)):
            case = judged.boxes.cpu(), judged.scores.cpu(), judged.labels.cpu()
            wrong[name].update(mistakes(case, torch.tensor(sorted(some), dtype=torch.int64)))
    return {"differing": causes.total(), "causes": dict(causes), **{name: dict(told) for name, told in wrong.items()}}


def causes_of(mine: Kept, yours: Kept, moved: Candidates, cfg: Any, mmcv: Any) -> Counter[str]:
    """The causes of one image's differences, by the first exchange that ends each.

    Args:
        mine: What ours kept.
        yours: What the peer kept.
        moved: Candidates with the peer's centres.
        cfg: ``nms.iou_threshold``, ``max_per_img``.
        mmcv: Its ops.
    """
    if mine == yours:
        return Counter()
    case = moved.boxes, moved.scores, moved.labels, cfg.nms.iou_threshold
    with_moved, with_nms = (set(nms(*case)[: cfg.max_per_img].tolist()) for nms in (rotated_nms, peer_nms(mmcv)))
    told: Counter[str] = Counter()
    for candidate in mine ^ yours:
        if candidate not in with_moved ^ yours:
            told[MOVED] += 1
        else:
            told[NMS if candidate not in with_nms ^ yours else UNEXPLAINED] += 1
    return told


def centres_on_image(boxes: Tensor, size: int) -> Tensor:
    """Boxes (N, 5) with centres no further than the outermost pixels."""
    return torch.cat((boxes[:, :2].clamp(0, size - 1), boxes[:, 2:]), 1)
