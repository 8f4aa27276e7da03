"""Compute the IoU threshold of ATSS: the mean plus the standard deviation of the IoUs of an object's candidates.

The code implements lines 7 to 10 of Algorithm 1 of the ATSS paper (Zhang et al., arXiv 1912.02424).
"""

from __future__ import annotations

from torch import Tensor

from rotated_atss.assign.box_formats import candidate_iou
from rotated_atss.ops.cpu_if_no_float64 import cpu_if_no_float64

# Maximum number of (box, candidate) pairs per chunk. On the CPU, chunks of this size have negligible overhead. A
# typical tile has few boxes, so its only chunk is small enough for torch to use one thread.
_PAIRS_PER_CHUNK = {"cpu": 128_000, "cuda": 1 << 22}
_PAIRS_PER_CHUNK_ON_OTHER_DEVICES = 1 << 16


def count_candidates_above_threshold(priors: Tensor, gt_boxes: Tensor, candidates: Tensor) -> Tensor:
    """Count the candidates of each ground-truth box whose IoU is at least the threshold of the box.

    Unlike the positives of ATSS, the counted candidates can have their centers outside the box.

    Args:
        priors: (A, 5) or (A, 4).
        gt_boxes: (G, 5) or (G, 4).
        candidates: (G, K) int64 indices of priors; -1 where a box has fewer than K candidates.

    Returns:
        (G,) int64, number of candidates at or above the threshold.

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

    Args:
        priors: (A, 5) or (A, 4).
        gt_boxes: (G, 5) or (G, 4).
        candidates: (G, K) int64 indices of priors; -1 where a box has fewer than K candidates.

    Returns:
        ``iou`` (G, K), meaningless where ``candidates`` is -1, and ``threshold`` (G,).

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
    """Divide ground-truth boxes into chunks with a bounded number of candidates per chunk.

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
    max_pairs = _PAIRS_PER_CHUNK.get(device_type, _PAIRS_PER_CHUNK_ON_OTHER_DEVICES)
    boxes_per_chunk = max(1, max_pairs // max(1, num_candidates))
    return [slice(start, start + boxes_per_chunk) for start in range(0, max(1, num_gts), boxes_per_chunk)]


@cpu_if_no_float64
def adaptive_threshold(iou: Tensor, is_candidate: Tensor) -> Tensor:
    """Compute the IoU threshold of each ground-truth box.

    The threshold is the mean plus the unbiased standard deviation of the IoUs of the box with its candidates (lines 8
    to 10 of Algorithm 1).

    Args:
        iou: (G, K) IoU of each box with its candidates.
        is_candidate: (G, K) bool, False for values of ``iou`` to leave out.

    Returns:
        (G,) thresholds. They are computed in float64, so that the order of the candidates does not matter. With a
        single candidate, the threshold is the IoU of this candidate.

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
