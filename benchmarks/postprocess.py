"""Post-processing from head outputs to detections: time of both implementations, and causes of differing results.

Every detection is traced to its candidate before NMS, so that results are compared without a tolerance. Where they
differ, this package's NMS is repeated with centers clamped to the image, as mmrotate's coder does, and then replaced by
mmcv's NMS. The first exchange that removes a difference is its cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import harness, head_outputs
from benchmarks.baselines import batched_nms
from benchmarks.bench_nms import mistakes
from benchmarks.records import Row
from benchmarks.timing import time_pair
from rotated_atss.detection.heads.dense_head import flatten_levels
from rotated_atss.ops import rotated_nms
from rotated_atss.ops.candidates import best_candidates

CLAMPED, NMS, UNEXPLAINED = "centers that mmrotate clamps to the image", "mmcv's NMS", "unexplained"
SCORE_TOLERANCE = 1e-6  # the order of operations in a sigmoid

Kept = set[int]  # indices of candidates


@dataclass(frozen=True)
class Candidates:
    """Input of NMS for one image: (N, 5) boxes, (N,) scores and labels, decoded by this package."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def trace(self, detections: Any) -> Kept:
        """Return the candidates that the detections of the image come from.

        Raises:
            ValueError: A detection matches no candidate, or two detections match the same one.
        """
        difference = (detections.scores[:, None] - self.scores).abs()
        difference[detections.labels[:, None] != self.labels] = torch.inf
        nearest = difference.min(1) if len(self.scores) else None
        kept = set() if nearest is None else set(nearest.indices.tolist())
        if len(kept) != len(detections.scores) or (kept and float(nearest.values.max()) > SCORE_TOLERANCE):
            raise ValueError("a detection matches no candidate, or two detections match the same candidate.")
        return kept


def measure(
    outputs: head_outputs.Outputs, heads: tuple[Any, Any], mmcv: Any, args: Any, repeats: tuple[int, int]
) -> Row:  # fmt: skip
    """Time post-processing of one batch and, where there is a baseline, compare the results.

    Args:
        outputs: Outputs of this package's head.
        heads: This package's head and the baseline's, or None.
        mmcv: ``mmcv.ops``, needed with a baseline.
        args: Options ``size`` and ``device``.
        repeats: Measured runs of this package and of the baseline.
    """
    own, baseline = heads
    images = len(outputs[0][0])
    metas = head_outputs.metas(images, args.size)
    run = detector(own, outputs, metas)
    run_baseline = None if baseline is None else detector(baseline, head_outputs.for_baseline(outputs), metas)
    sync = harness.synchronizer(args.device)
    timed = time_pair(run, run_baseline, repeats[0], baseline_repeats=repeats[1], sync=sync)
    candidates = candidates_of(own, outputs)
    kept = [each.trace(detections) for each, detections in zip(candidates, run())]
    count = sum(len(each.scores) for each in candidates)
    row = {"batch": images, "candidates": count, "kept": sum(map(len, kept)), **timed}
    if run_baseline is not None:
        other = [each.trace(detections) for each, detections in zip(candidates, run_baseline())]
        row |= {"baseline_kept": sum(map(len, other))}
        row |= compare(candidates, kept, other, own.test_cfg, args.size, mmcv)
    return row


def detector(head: Any, outputs: head_outputs.Outputs, metas: list[dict]) -> Callable[[], list]:
    """Return a function that computes the detections of outputs without gradients."""

    def run() -> list:
        with torch.no_grad():
            return head.predict_by_feat(*outputs, batch_img_metas=metas, rescale=True)

    return run


def candidates_of(head: Any, outputs: head_outputs.Outputs) -> list[Candidates]:
    """Decode the candidates of each image."""
    logits, deltas = (flatten_levels(levels, levels[0].shape[1]) for levels in outputs)
    priors = head.multi_level_priors([level.shape[-2:] for level in outputs[0]], logits.device)
    cfg = head.test_cfg
    found = best_candidates(logits.sigmoid(), [len(level) for level in priors], cfg.score_thr, cfg.nms_pre)
    boxes = head.bbox_coder.decode(torch.cat(priors)[found.prior_index], found.gather(deltas))
    rows = [found.image_index == image for image in range(len(logits))]
    return [Candidates(boxes[each], found.scores[each], found.labels[each]) for each in rows]


def compare(
    candidates: list[Candidates], kept: list[Kept], baseline: list[Kept], cfg: Any, size: int, mmcv: Any
) -> Row:
    """Count the candidates that only one implementation keeps, by cause, and the mistakes of both in float64."""
    causes: Counter[str] = Counter()
    wrong: dict[str, Counter[str]] = {"rotated_atss_mistakes": Counter(), "baseline_mistakes": Counter()}
    for each, own, other in zip(candidates, kept, baseline):
        clamped = Candidates(clamp_centers(each.boxes, size), each.scores, each.labels)
        causes += causes_of(own, other, clamped, cfg, mmcv)
        for name, case, some in (("rotated_atss_mistakes", each, own), ("baseline_mistakes", clamped, other)):
            scene = case.boxes.cpu(), case.scores.cpu(), case.labels.cpu()
            wrong[name].update(mistakes(scene, torch.tensor(sorted(some), dtype=torch.int64)))
    return {"differing": causes.total(), "causes": dict(causes), **{name: dict(each) for name, each in wrong.items()}}


def causes_of(kept: Kept, baseline: Kept, clamped: Candidates, cfg: Any, mmcv: Any) -> Counter[str]:
    """Count the differences of one image by cause.

    Args:
        kept: Candidates kept by this package.
        baseline: Candidates kept by the baseline.
        clamped: Candidates with the baseline's centers.
        cfg: Test config with ``nms.iou_threshold`` and ``max_per_img``.
        mmcv: ``mmcv.ops``.
    """
    if kept == baseline:
        return Counter()
    case = clamped.boxes, clamped.scores, clamped.labels, cfg.nms.iou_threshold
    with_clamped, with_nms = (set(nms(*case)[: cfg.max_per_img].tolist()) for nms in (rotated_nms, batched_nms(mmcv)))
    causes: Counter[str] = Counter()
    for candidate in kept ^ baseline:
        if candidate not in with_clamped ^ baseline:
            causes[CLAMPED] += 1
        else:
            causes[NMS if candidate not in with_nms ^ baseline else UNEXPLAINED] += 1
    return causes


def clamp_centers(boxes: Tensor, size: int) -> Tensor:
    """Clamp the centers of (N, 5) boxes to the pixels of the image."""
    return torch.cat((boxes[:, :2].clamp(0, size - 1), boxes[:, 2:]), 1)
