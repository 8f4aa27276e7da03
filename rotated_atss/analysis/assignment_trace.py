"""Trace of ATSS (Algorithm 1 of Zhang et al., arXiv 1912.02424) for one ground-truth box.

The trace evaluates the functions that :func:`rotated_atss.assign.atss_assign` evaluates, on the same chunk of boxes, so
that both agree on ties and on values next to the threshold.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rotated_atss.assign import CENTER_MARGIN_PX, PriorLayout, atss_assign, find_grids
from rotated_atss.assign.box_formats import centers, detach_and_upcast, points_in_indexed_boxes
from rotated_atss.assign.candidates import select_candidates
from rotated_atss.assign.ignore_mask import compute_ignore_mask
from rotated_atss.assign.threshold import box_chunks, iou_and_threshold
from rotated_atss.assign.validation import valid_gt_mask

BELOW_THRESHOLD, CENTER_OUTSIDE, LOST = "below threshold", "center outside", "lost to another object"
POSITIVE = "positive"
INVALID = "object without area"


@dataclass(frozen=True)
class AssignmentTrace:
    """What ATSS does for one ground-truth box; every tensor has one entry per candidate (K,), nearest first per level.

    Attributes:
        gt_index: Index of the box.
        topk: k, candidate locations per level.
        priors_per_location: Priors that share a center, all of them candidates.
        num_levels: L, levels with priors.
        prior_index: Index of the prior, int64.
        level: Index of its level, int64.
        prior_centers: (K, 2) pixels.
        distance: Distance from the center of the box to that of the prior, pixels.
        iou: IoU with the box.
        mean: Mean of the IoUs.
        deviation: Unbiased standard deviation of the IoUs.
        threshold: Their sum, in the precision of the IoUs.
        above_threshold: IoU is at least the threshold, bool.
        center_inside: The center of the prior lies in the box, bool.
        assigned_to: Box that the prior is assigned to in the end, -1 for none, int64.
        is_valid: The box has an area; otherwise it gets no prior.
    """

    gt_index: int
    topk: int
    priors_per_location: int
    num_levels: int
    prior_index: Tensor
    level: Tensor
    prior_centers: Tensor
    distance: Tensor
    iou: Tensor
    mean: float
    deviation: float
    threshold: float
    above_threshold: Tensor
    center_inside: Tensor
    assigned_to: Tensor
    is_valid: bool

    @property
    def is_positive(self) -> Tensor:
        """Candidates that are positives of the box in the end, (K,) bool."""
        return self.assigned_to == self.gt_index

    @property
    def is_lost(self) -> Tensor:
        """Candidates that meet both conditions, but are assigned to a box of higher IoU or lower index, (K,) bool."""
        selected = self.above_threshold & self.center_inside & torch.tensor(self.is_valid)
        return selected & ~self.is_positive

    def outcomes(self) -> list[str]:
        """Return the outcome of each candidate.

        Returns:
            ``"positive"``, ``"below threshold"``, ``"center outside"``, ``"lost to another object"`` or ``"object
            without area"`` per candidate.
        """
        if not self.is_valid:
            return [INVALID] * len(self.iou)
        columns = (self.is_positive.tolist(), self.above_threshold.tolist(), self.center_inside.tolist())
        return [
            POSITIVE if positive else BELOW_THRESHOLD if not above else CENTER_OUTSIDE if not inside else LOST
            for positive, above, inside in zip(*columns)
        ]


def trace_atss(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    gt_index: int,
    *,
    topk: int = 9,
    priors_per_location: int = 1,
    gt_boxes_ignore: Tensor | None = None,
    ignore_iof_threshold: float = 0.5,
    center_margin: float = CENTER_MARGIN_PX,
) -> AssignmentTrace:
    """Trace ATSS for one ground-truth box of an image.

    Args:
        priors: (A, 5) ``cx, cy, w, h, angle`` in pixels and radians, or (A, 4) ``x1, y1, x2, y2``, level after level.
        level_sizes: Number of priors per level.
        gt_boxes: (G, 5) or (G, 4), all boxes of the image: a prior that several boxes select gets the one of highest
            IoU.
        gt_index: Index of the box to trace.
        topk: As for :func:`rotated_atss.assign.atss_assign`, like the following arguments.
        priors_per_location: Priors that share a center.
        gt_boxes_ignore: (I, 5) or (I, 4) ignored boxes.
        ignore_iof_threshold: Threshold for ``gt_boxes_ignore``.
        center_margin: The center of a positive lies in its box by more than this, in pixels.

    Raises:
        TypeError: Boxes are not tensors.
        ValueError: Shapes or sizes do not match, or there is no box of this index.

    Example:
        >>> import torch
        >>> from rotated_atss.analysis.assignment_trace import trace_atss
        >>> priors = torch.tensor([[x, 4, 16, 16, 0] for x in (4.0, 12, 20, 28)])
        >>> trace = trace_atss(priors, [4], torch.tensor([[13.0, 4, 16, 12, 0.1]]), 0, topk=3)
        >>> trace.prior_index.tolist(), [round(value, 2) for value in trace.iou.tolist()]
        ([1, 2, 0], [0.67, 0.32, 0.23])
        >>> round(trace.threshold, 2), trace.outcomes()
        (0.64, ['positive', 'below threshold', 'below threshold'])
    """
    if not 0 <= gt_index < len(gt_boxes):
        raise ValueError(f"gt_index must be 0 to {len(gt_boxes) - 1}, got {gt_index}")
    options: dict[str, Any] = dict(
        topk=topk, priors_per_location=priors_per_location, grids=find_grids(priors, level_sizes),
        gt_boxes_ignore=gt_boxes_ignore, ignore_iof_threshold=ignore_iof_threshold, center_margin=center_margin,
    )  # fmt: skip
    assigned, _ = atss_assign(priors, level_sizes, gt_boxes, **options)
    priors, gt_boxes = detach_and_upcast(priors, gt_boxes)
    ignore_mask = compute_ignore_mask(priors, gt_boxes_ignore, ignore_iof_threshold)
    layout = PriorLayout.create(level_sizes, options["grids"], None, 1)
    prior_index, iou, threshold = _candidates(
        priors, layout, gt_boxes, gt_index, topk * priors_per_location, ignore_mask
    )
    iou64 = iou.cpu().double()
    columns = _columns(priors, level_sizes, gt_boxes, gt_index, prior_index, center_margin)
    columns.update(iou=iou, above_threshold=iou >= threshold, assigned_to=assigned[prior_index])
    return AssignmentTrace(
        gt_index=gt_index,
        topk=topk,
        priors_per_location=priors_per_location,
        num_levels=sum(size > 0 for size in level_sizes),
        mean=float(iou64.mean()) if len(iou64) else 0.0,
        deviation=float(iou64.std()) if len(iou64) > 1 else 0.0,
        threshold=float(threshold),
        is_valid=_is_valid(gt_boxes, gt_index),
        **{name: column.cpu() for name, column in columns.items()},
    )


def _candidates(
    priors: Tensor,
    layout: PriorLayout,
    gt_boxes: Tensor,
    gt_index: int,
    num_candidates: int,
    ignore_mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the (K,) candidates of a box, their (K,) IoUs and its threshold; lines 2 to 10 of Algorithm 1."""
    image_index = torch.zeros(len(gt_boxes), dtype=torch.int64, device=priors.device)
    candidates = select_candidates(
        centers(priors), layout, centers(gt_boxes), image_index, num_candidates, [ignore_mask]
    )
    chunks = box_chunks(len(gt_boxes), candidates.shape[1], priors.device.type)
    chunk = next(part for part in chunks if part.start <= gt_index < part.stop)
    iou, threshold = iou_and_threshold(priors, gt_boxes[chunk], candidates[chunk])
    kept, row = candidates[gt_index] >= 0, gt_index - chunk.start
    return candidates[gt_index][kept], iou[row][kept], threshold[row]


def _columns(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    gt_index: int,
    prior_index: Tensor,
    center_margin: float,
) -> dict[str, Tensor]:
    """Return what follows from the positions of the (K,) candidates of a box."""
    prior_centers = centers(priors[prior_index])
    ends = torch.tensor(list(level_sizes), device=priors.device).cumsum(0)
    offset = (prior_centers - centers(gt_boxes[gt_index : gt_index + 1])).double()
    same_box = torch.full_like(prior_index, gt_index)
    return dict(
        prior_index=prior_index,
        level=torch.searchsorted(ends, prior_index, right=True),
        prior_centers=prior_centers,
        distance=offset.square().sum(1).sqrt(),
        center_inside=points_in_indexed_boxes(prior_centers, gt_boxes, same_box, center_margin),
    )


def _is_valid(gt_boxes: Tensor, gt_index: int) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # atss_assign has reported boxes without area
        return bool(valid_gt_mask(gt_boxes)[gt_index])
