"""Class-wise greedy non-maximum suppression of oriented boxes.

Boxes of different classes are never compared. torchvision's ``batched_nms`` shifts the boxes of each class apart
instead; this module does not, because large coordinates lose precision.
"""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor

from rotated_atss.ops.backend import BACKENDS, select_backend
from rotated_atss.ops.box_pairs import overlapping_hbb_pairs
from rotated_atss.ops.boxes import obb_to_hbb
from rotated_atss.ops.checks import check_tensors
from rotated_atss.ops.cpu_if_no_float64 import cpu_if_no_float64
from rotated_atss.ops.greedy_suppression import decide_in_rounds, greedy_keep
from rotated_atss.ops.iou import rotated_iou
from rotated_atss.ops.single_thread import single_threaded

_MAX_BOXES_TRITON = 32_768  # the kernels store one bit per ordered pair of boxes, 134 MB for this number of boxes


@overload
def rotated_nms(boxes: Tensor, scores: Tensor, iou_threshold: float, /, *, backend: str | None = None) -> Tensor: ...


@overload
def rotated_nms(boxes: Tensor, scores: Tensor, *, iou_threshold: float, backend: str | None = None) -> Tensor: ...


@overload
def rotated_nms(
    boxes: Tensor, scores: Tensor, labels: Tensor | None, iou_threshold: float, *, backend: str | None = None
) -> Tensor: ...


@single_threaded
def rotated_nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor | float | None = None,
    iou_threshold: float | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    """Perform non-maximum suppression (NMS) on oriented boxes by their rotated IoU, within each class.

    A box is removed if its IoU with a higher-scoring kept box of the same class exceeds ``iou_threshold``.

    The order of the arguments follows torchvision: ``rotated_nms(boxes, scores, iou_threshold)`` corresponds to
    ``nms``, and ``rotated_nms(boxes, scores, labels, iou_threshold)`` to ``batched_nms``.

    Args:
        boxes: (N, 5) ``cx, cy, w, h, angle`` in pixels and radians; coordinates can be negative. Half precision is
            computed in float32. Zero-area boxes and boxes with non-finite values overlap nothing, so they are kept
            and suppress nothing.
        scores: (N,). Boxes with equal scores rank in input order, and boxes with score NaN rank last.
        labels: (N,) integers. Boxes of different classes never suppress each other. None treats all boxes as one class.
        iou_threshold: Boxes whose IoU with a higher-scoring kept box **exceeds** this value are suppressed.
        backend: ``torch`` or ``triton``. None selects triton on CUDA if it works there, unless
            ``$ROTATED_ATSS_BACKEND`` is ``torch``. More than 32,768 boxes are always computed by torch.

    Returns:
        (K,) int64 indices of the kept boxes in descending order of score.

    Raises:
        TypeError: An argument is not a tensor, or there is no threshold.
        ValueError: Shapes do not match, the threshold lies outside [0, 1], or the backend is unknown or unavailable.

    Example:
        >>> import torch
        >>> from rotated_atss.ops import rotated_nms
        >>> boxes = torch.tensor([[50.0, 40, 30, 10, 0.3], [51, 40, 30, 10, 0.3], [50, 40, 10, 30, 0.3]])
        >>> scores, labels = torch.tensor([0.8, 0.9, 0.7]), torch.tensor([0, 1, 0])
        >>> rotated_nms(boxes, scores, 0.5)
        tensor([1, 2])
        >>> rotated_nms(boxes, scores, labels, 0.5)
        tensor([1, 0, 2])
    """
    if isinstance(labels, (int, float)):  # called as rotated_nms(boxes, scores, iou_threshold)
        if iou_threshold is not None:
            raise TypeError(f"labels must be a torch.Tensor, got {labels}. Pass one label per box, or no labels.")
        labels, iou_threshold = None, labels
    if iou_threshold is None:
        raise TypeError("iou_threshold must be a number, got None. Call rotated_nms(boxes, scores, iou_threshold).")
    order, keep = rotated_nms_mask(boxes, scores, labels, iou_threshold, backend=backend)
    return order[keep]


@cpu_if_no_float64
@single_threaded
def rotated_nms_mask(
    boxes: Tensor, scores: Tensor, labels: Tensor | None, iou_threshold: float, *, backend: str | None = None
) -> tuple[Tensor, Tensor]:
    """Perform :func:`rotated_nms` and return a mask of the kept boxes.

    The sizes of the outputs do not depend on the number of kept boxes. The triton backend therefore never has to wait
    for this number on the host.

    Arguments and errors are the same as for :func:`rotated_nms`, but ``labels`` and ``iou_threshold`` are required;
    ``labels`` can be None.

    Returns:
        order: (N,) int64 indices of all boxes in descending order of score.
        keep: (N,) bool, which of the boxes in ``order`` are kept.

    Example:
        >>> import torch
        >>> from rotated_atss.ops import rotated_nms_mask
        >>> boxes = torch.tensor([[50.0, 40, 30, 10, 0.3], [51, 40, 30, 10, 0.3], [50, 40, 10, 30, 0.3]])
        >>> rotated_nms_mask(boxes, torch.tensor([0.8, 0.9, 0.7]), torch.zeros(3), 0.5)
        (tensor([1, 0, 2]), tensor([ True, False,  True]))
    """
    check_tensors(boxes=boxes, scores=scores, labels=labels)
    if labels is None:
        labels = torch.zeros_like(scores, dtype=torch.int64)
    _check(boxes, scores, labels, iou_threshold, backend)
    backend = select_backend(backend, boxes, scores, labels)
    boxes, scores = boxes.detach(), scores.detach()
    order = rank_by_score(scores)
    if len(boxes) < 2:
        return order, torch.ones_like(order, dtype=torch.bool)
    if boxes.dtype != torch.float64:
        boxes = boxes.float()
    if backend == "triton" and len(boxes) <= _MAX_BOXES_TRITON:
        from rotated_atss.ops.kernels.nms_kernels import compute_keep_mask

        return order, compute_keep_mask(boxes, labels, order, iou_threshold)
    pairs = suppressing_pairs(boxes[order], labels[order], iou_threshold, backend)
    return order, greedy_mask(len(boxes), *pairs)


def _check(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float, backend: str | None) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 5 or scores.shape != (len(boxes),) or labels.shape != (len(boxes),):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (boxes, scores, labels))
        raise ValueError(f"boxes, scores and labels must have shapes (N, 5), (N,), (N,), got {shapes}")
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold must lie in [0, 1], got {iou_threshold}")
    if backend not in (None, *BACKENDS):
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")


def rank_by_score(scores: Tensor) -> Tensor:
    """Return the indices (N,) that sort scores in descending order.

    Equal scores keep their input order, and NaN comes last.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.nms import rank_by_score
        >>> rank_by_score(torch.tensor([0.1, float("nan"), 0.9, 0.1]))
        tensor([2, 0, 3, 1])
    """
    # nan_to_num replaces NaN by -inf, and -inf by the lowest finite number, so that a score of -inf ranks before NaN
    return scores.double().nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)


def suppressing_pairs(
    boxes: Tensor, labels: Tensor, iou_threshold: float, backend: str | None = None
) -> tuple[Tensor, Tensor]:
    """Find the pairs of boxes of one class whose IoU exceeds a threshold.

    Args:
        boxes: (N, 5) in descending order of score, float32 or float64.
        labels: (N,) integers.
        iou_threshold: Lower bound of the IoU (exclusive).
        backend: Backend with which :func:`rotated_atss.ops.iou.rotated_iou` computes the IoU.

    Returns:
        suppressors: (P,) int64 indices of the higher-scoring boxes.
        suppressed: (P,) int64 indices of the lower-scoring boxes.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.nms import suppressing_pairs
        >>> boxes = torch.tensor([[50.0, 40, 30, 10, 0.3], [51, 40, 30, 10, 0.3], [50, 40, 10, 30, 0.3]])
        >>> suppressing_pairs(boxes, torch.zeros(3), 0.5)
        (tensor([0]), tensor([1]))
    """
    suppressors, suppressed = [], []
    for first, second in overlapping_hbb_pairs(obb_to_hbb(boxes), labels):
        above = rotated_iou(boxes[first], boxes[second], aligned=True, backend=backend) > iou_threshold
        first, second = first[above], second[above]
        suppressors.append(torch.minimum(first, second))  # the lower index has the higher score
        suppressed.append(torch.maximum(first, second))
    empty = torch.zeros(0, dtype=torch.int64, device=boxes.device)
    return torch.cat([empty, *suppressors]), torch.cat([empty, *suppressed])


def greedy_mask(count: int, suppressors: Tensor, suppressed: Tensor) -> Tensor:
    """Return which boxes greedy suppression keeps, for torch tensors on any device.

    The pairs are those of :func:`suppressing_pairs`.

    Args:
        count: Number of boxes N.
        suppressors: (P,) int64.
        suppressed: (P,) int64.

    Returns:
        (N,) bool on the device of the pairs.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.nms import greedy_mask
        >>> greedy_mask(3, torch.tensor([0, 1]), torch.tensor([1, 2]))
        tensor([ True, False,  True])
    """
    if suppressors.device.type == "cpu":
        return torch.from_numpy(greedy_keep(count, suppressors.numpy(), suppressed.numpy()))
    undecided = torch.ones(count, dtype=torch.bool, device=suppressors.device)
    kept, undecided, *_ = decide_in_rounds(undecided, suppressors, suppressed, max_rounds=count)
    return kept | undecided  # no pairs are left after `count` rounds, so undecided boxes have no suppressor
