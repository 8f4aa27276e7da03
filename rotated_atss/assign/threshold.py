"""IoU threshold of ATSS: mean plus standard deviation of the IoUs of an object's candidates.

Lines 7 to 10 of Algorithm 1 of the ATSS paper (Zhang et al., arXiv 1912.02424).
"""

from __future__ import annotations

from torch import Tensor

from rotated_atss.assign.box_formats import candidate_iou
from rotated_atss.ops.cpu_if_no_float64 import cpu_if_no_float64

# (box, candidate) pairs. On the CPU, chunks of this size have negligible overhead. torch would process a full chunk in
# several threads, but the boxes of a usual tile fill so small a part of a chunk that torch uses one.
_PAIRS_PER_CHUNK = {"cpu": 128_000, "cuda": 1 << 22}


def count_candidates_above_threshold(priors: Tensor, gt_boxes: Tensor, candidates: Tensor) -> Tensor:
    """Count the candidates of each ground-truth box whose IoU reaches the box's threshold.

    Unlike the positives of ATSS, their centers can lie outside the box.

    Args:
        priors: (A, 5) or (A, 4).
        gt_boxes: (G, 5) or (G, 4).
        candidates: (G, K) int64 indices of priors; -1 where a box has fewer than K candidates.

    Returns:
        (G,) int64.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import count_candidates_above_threshold
        >>> priors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 20], [40, 0, 50, 10], [60, 0, 70, 10]])
        >>> count_candidates_above_threshold(priors, torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[0, 1, 2, 3]]))
        tensor([1])
    """
    iou, threshold = iou_and_threshold(priors, gt_boxes, candidates)
    return ((iou >= threshold[:, None]) & (candidates >= 0)).sum(1)


def iou_and_threshold(priors: Tensor, gt_boxes: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the IoU of each ground-truth box with its candidates, and the threshold of the box.

    Lines 7 to 10 of Algorithm 1.

    Args:
        priors: (A, 5) or (A, 4).
        gt_boxes: (G, 5) or (G, 4).
        candidates: (G, K) int64 indices of priors; -1 where a box has fewer than K candidates.

    Returns:
        ``iou`` (G, K), meaningless where there is no candidate, and ``threshold`` (G,).

    Example:
        >>> import torch
        >>> from rotated_atss.assign.threshold import iou_and_threshold
        >>> priors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 20], [40, 0, 50, 10]])
        >>> iou_and_threshold(priors, torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[0, 1, 2]]))
        (tensor([[1.0000, 0.5000, 0.0000]]), tensor([1.]))
    """
    iou = candidate_iou(priors, gt_boxes, candidates.clamp(min=0))  # line 7, D_g
    return iou, adaptive_threshold(iou, candidates >= 0)


def box_chunks(num_gts: int, num_candidates: int, device_type: str) -> list[slice]:
    """Divide ground-truth boxes into chunks with a bounded number of candidates.

    Args:
        num_gts: Number G of ground-truth boxes.
        num_candidates: Candidates per box.
        device_type: ``cpu``, ``cuda`` or another type of a torch device.

    Returns:
        Slices that cover all boxes, at least one slice. The last slice may extend beyond G.

    Example:
        >>> from rotated_atss.assign.threshold import box_chunks
        >>> box_chunks(5000, 45, "cpu")
        [slice(0, 2844, None), slice(2844, 5688, None)]
    """
    step = max(1, _PAIRS_PER_CHUNK.get(device_type, 1 << 16) // max(1, num_candidates))
    return [slice(start, start + step) for start in range(0, max(1, num_gts), step)]


@cpu_if_no_float64
def adaptive_threshold(iou: Tensor, is_candidate: Tensor) -> Tensor:
    """Compute the IoU threshold of each ground-truth box: mean plus unbiased standard deviation of its candidates.

    Lines 8 to 10 of Algorithm 1.

    Args:
        iou: (G, K) IoUs.
        is_candidate: (G, K) bool; False where ``iou`` has no value to include.

    Returns:
        (G,), accumulated in float64 so that the order of the candidates does not matter. With a single candidate, the
        threshold is the IoU of that candidate.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import adaptive_threshold
        >>> adaptive_threshold(torch.tensor([[0.5, 0.25, 0.75, 0.0]]), torch.tensor([[True, True, True, False]]))
        tensor([0.7500])
    """
    iou64, weight = iou.double(), is_candidate.double()
    num_candidates = weight.sum(1)
    mean = (iou64 * weight).sum(1) / num_candidates.clamp(min=1)  # line 8, m_g
    squared_deviation = (iou64 - mean[:, None]).square_() * weight
    variance = squared_deviation.sum(1) / (num_candidates - 1).clamp(min=1)  # line 9, v_g squared
    return (mean + variance.sqrt()).to(iou)  # line 10, t_g
