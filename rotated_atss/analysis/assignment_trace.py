"""Trace ATSS (Algorithm 1 of Zhang et al., arXiv 1912.02424) for one ground-truth box: candidates, IoUs, threshold.

The trace calls the same functions as :func:`rotated_atss.assign.atss_assign`, on the same chunks of boxes. The
trace and the assignment therefore round in the same way, and agree on ties and on IoUs close to the threshold.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rotated_atss.assign import CENTER_MARGIN_PX, PriorLayout, atss_assign, find_grids
from rotated_atss.assign.box_formats import centers, detach_and_upcast, points_in_indexed_boxes
from rotated_atss.assign.candidate_selection import select_candidates
from rotated_atss.assign.ignore_mask import compute_ignore_mask
from rotated_atss.assign.threshold import box_chunks, iou_and_threshold
from rotated_atss.assign.validation import valid_gt_mask

# The outcomes of a candidate. A lost candidate passes the threshold and the center test, but another object has a
# higher IoU with it.
POSITIVE, BELOW_THRESHOLD, CENTER_OUTSIDE = "positive", "below threshold", "center outside"
LOST = "lost to another object"
INVALID = "object without area"


@dataclass(frozen=True)
class AssignmentTrace:
    """Intermediate values of ATSS for one ground-truth box with K candidates.

    Candidates are sorted by level, and within a level by distance.

    Attributes:
        gt_index: Index of the box.
        topk: Number k of candidate locations per level.
        priors_per_location: Number of priors that share a center; all of them are candidates.
        num_levels: Number of levels that have priors.
        prior_index: (K,) int64, index of the prior.
        level: (K,) int64, index of the level of the prior.
        prior_centers: (K, 2) pixels.
        distance: (K,) distance between the centers of box and prior, pixels.
        iou: (K,) IoU of box and prior.
        mean: Mean of the IoUs.
        deviation: Unbiased standard deviation of the IoUs.
        threshold: Threshold of the assignment: mean plus standard deviation, computed in the dtype of the IoUs.
            ``mean + deviation`` can differ slightly, because these two are computed in float64.
        above_threshold: (K,) bool, whether the IoU is at least the threshold.
        center_inside: (K,) bool, whether the center of the prior lies in the box, at least ``center_margin`` pixels
            from its edges.
        assigned_to: (K,) int64, index of the box to which the prior is finally assigned; -1 for none.
        is_valid: Whether the box has an area; a box without area gets no positives.
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
        """Whether each candidate becomes a positive of the box, (K,) bool."""
        return self.assigned_to == self.gt_index

    @property
    def is_lost(self) -> Tensor:
        """Whether each candidate passes the threshold and the center test, but is assigned to another box, (K,) bool.

        The other box has a higher IoU with the prior or, if the IoUs are equal, a lower index.
        """
        selected = self.above_threshold & self.center_inside & self.is_valid
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
        return [_outcome(*conditions) for conditions in zip(*columns)]


def _outcome(is_positive: bool, above_threshold: bool, center_inside: bool) -> str:
    if is_positive:
        return POSITIVE
    if not above_threshold:
        return BELOW_THRESHOLD
    return LOST if center_inside else CENTER_OUTSIDE


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
        gt_boxes: (G, 5) or (G, 4), all boxes of the image, since the boxes compete for priors.
        gt_index: Index of the box to trace.
        topk: Number of candidate locations per level. This argument and the ones below have the same meaning as in
            :func:`rotated_atss.assign.atss_assign`.
        priors_per_location: Number of priors that share a center.
        gt_boxes_ignore: (I, 5) or (I, 4) boxes of regions that training ignores.
        ignore_iof_threshold: A prior whose IoF with an ignored region exceeds this value cannot be a candidate.
        center_margin: Distance in pixels by which the center of a positive must be inside its box.

    Raises:
        TypeError: Boxes are not tensors.
        ValueError: Shapes or sizes do not match, or ``gt_index`` is out of range.

    Example:
        >>> import torch
        >>> from rotated_atss.analysis.assignment_trace import trace_atss
        >>> priors = torch.tensor([[x, 4, 16, 16, 0] for x in (4.0, 12, 20, 28)])
        >>> gt_boxes = torch.tensor([[13.0, 4, 16, 12, 0.1]])
        >>> trace = trace_atss(priors, level_sizes=[4], gt_boxes=gt_boxes, gt_index=0, topk=3)
        >>> trace.prior_index.tolist(), [round(value, 2) for value in trace.iou.tolist()]
        ([1, 2, 0], [0.67, 0.32, 0.23])
        >>> round(trace.threshold, 2), trace.outcomes()
        (0.64, ['positive', 'below threshold', 'below threshold'])
    """
    if not 0 <= gt_index < len(gt_boxes):
        raise ValueError(f"gt_index must be 0 to {len(gt_boxes) - 1}, got {gt_index}")
    # prior centers that form a grid make the search for candidates faster
    grids = find_grids(priors, level_sizes)
    assigned, _ = atss_assign(
        priors, level_sizes, gt_boxes, topk=topk, priors_per_location=priors_per_location, grids=grids,
        gt_boxes_ignore=gt_boxes_ignore, ignore_iof_threshold=ignore_iof_threshold, center_margin=center_margin,
    )  # fmt: skip
    priors, gt_boxes = detach_and_upcast(priors, gt_boxes)
    ignore_mask = compute_ignore_mask(priors, gt_boxes_ignore, ignore_iof_threshold)
    layout = PriorLayout.create(level_sizes, grids, valid_hw=None, num_images=1)
    prior_index, iou, threshold = _select_for_box(
        priors, layout, gt_boxes, gt_index, topk * priors_per_location, ignore_mask
    )
    # Mean and deviation are only displayed, so they may be rounded differently from the threshold.
    iou64 = iou.cpu().double()
    columns = _describe_candidates(priors, level_sizes, gt_boxes, gt_index, prior_index, center_margin)
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


def _select_for_box(
    priors: Tensor,
    layout: PriorLayout,
    gt_boxes: Tensor,
    gt_index: int,
    candidates_per_level: int,
    ignore_mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Select the candidates of a box, and compute their IoUs and the threshold (lines 3 to 10 of Algorithm 1).

    Priors in ``ignore_mask``, (A,) bool, cannot be candidates.

    Returns:
        prior_index: (K,) int64.
        iou: (K,) IoU of each candidate.
        threshold: () threshold of the box.
    """
    # select_candidates expects a batch. With one image, all boxes have image index 0, and there is one mask.
    image_index = torch.zeros(len(gt_boxes), dtype=torch.int64, device=priors.device)
    candidates = select_candidates(
        centers(priors), layout, centers(gt_boxes), image_index, candidates_per_level, [ignore_mask]
    )
    # Process the box in the same chunk as atss_assign does, so that IoUs and threshold have the same rounding errors.
    chunks = box_chunks(len(gt_boxes), candidates.shape[1], priors.device.type)
    chunk = next(chunk for chunk in chunks if chunk.start <= gt_index < chunk.stop)
    iou, threshold = iou_and_threshold(priors, gt_boxes[chunk], candidates[chunk])
    row = gt_index - chunk.start
    # a level with fewer priors than ``candidates_per_level`` is padded with -1
    exists = candidates[gt_index] >= 0
    return candidates[gt_index][exists], iou[row][exists], threshold[row]


def _describe_candidates(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    gt_index: int,
    prior_index: Tensor,
    center_margin: float,
) -> dict[str, Tensor]:
    """Return the attributes of the trace that describe each candidate and do not depend on IoUs, keyed by name."""
    prior_centers = centers(priors[prior_index])
    # per level, the index after its last prior
    level_ends = torch.tensor(list(level_sizes), device=priors.device).cumsum(0)
    offset = (prior_centers - centers(gt_boxes[gt_index : gt_index + 1])).double()
    box_index = torch.full_like(prior_index, gt_index)
    return dict(
        prior_index=prior_index,
        level=torch.searchsorted(level_ends, prior_index, right=True),
        prior_centers=prior_centers,
        distance=offset.square().sum(1).sqrt(),
        center_inside=points_in_indexed_boxes(prior_centers, gt_boxes, box_index, center_margin),
    )


def _is_valid(gt_boxes: Tensor, gt_index: int) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # atss_assign has already warned about boxes without area
        return bool(valid_gt_mask(gt_boxes)[gt_index])
