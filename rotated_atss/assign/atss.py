"""Adaptive Training Sample Selection (ATSS; Zhang et al., arXiv 1912.02424, Algorithm 1).

Oriented and horizontal boxes are supported. The IoU of a ground-truth box is computed only with its candidates, which
are the k nearest priors per level. If the prior centers of every level form a regular grid, the candidates are computed
from the grid parameters, without reading the other priors.

Ties are broken identically on every run and device:

- Of several priors at the same distance, the one with the lowest index counts as the nearest.
- Of several ground-truth boxes with the same IoU, the one with the lowest index gets the prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from rotated_atss.assign.box_formats import (
    CENTER_MARGIN_PX,
    centers,
    detach_and_upcast,
    points_in_indexed_boxes,
)
from rotated_atss.assign.candidate_selection import select_candidates
from rotated_atss.assign.conflicts import BACKGROUND, IGNORE, resolve_conflicts
from rotated_atss.assign.grids import Grid
from rotated_atss.assign.ignore_mask import compute_ignore_mask
from rotated_atss.assign.prior_layout import PriorLayout
from rotated_atss.assign.threshold import box_chunks, iou_and_threshold
from rotated_atss.assign.validation import check_at_least_one, check_box_formats, check_level_sizes, valid_gt_mask
from rotated_atss.ops.single_thread import single_threaded

# Above this number of (prior, box) pairs, several threads are faster. For example, two threads take a third less time
# for 100 boxes on an image of 1024 x 1024 px without grids, which are 2.2 million pairs.
_MAX_PAIRS_OF_ONE_THREAD = 1 << 17


def atss_assign(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    *,
    topk: int = 9,
    priors_per_location: int = 1,
    grids: Sequence[Grid | tuple] | None = None,
    gt_boxes_ignore: Tensor | None = None,
    ignore_iof_threshold: float = 0.5,
    center_margin: float = CENTER_MARGIN_PX,
) -> tuple[Tensor, Tensor]:
    """Assign ground-truth boxes to priors with ATSS.

    The candidates of a ground-truth box are the ``topk`` nearest priors of each level. A candidate is positive if its
    IoU with the box is at least the mean plus the standard deviation of the IoUs of all candidates of the box, and if
    the candidate's center lies in the box. If a prior is positive for several boxes, it is assigned to the box with the
    highest IoU.

    Args:
        priors: (A, 5) ``cx, cy, w, h, angle`` in pixels and radians, or (A, 4) ``x1, y1, x2, y2`` in pixels. All
            priors of the first level come first, then those of the next level.
        level_sizes: Number of priors per level; their sum is A.
        gt_boxes: (G, 5) or (G, 4), in the format of the priors. Zero-area boxes and boxes with non-finite values are
            assigned to no prior; on the CPU, a warning reports their number.
        topk: Candidate locations per level, k of the paper.
        priors_per_location: Priors that share a center; a level has ``topk * priors_per_location`` candidates.
        grids: One :class:`Grid` or tuple ``(height, width, stride, x0, y0)`` per level. Give grids only if the prior
            centers of every level form a regular grid, row by row; :func:`find_grids` finds the grids. Grids do not
            change the result, but make the time independent of A. The sizes of the grids are checked, but not the prior
            centers. If there are ignored boxes, or more than 200 candidates per level, grids are not used, and all
            priors are searched.
        gt_boxes_ignore: (I, 5) or (I, 4) ignored boxes. A prior with more than ``ignore_iof_threshold`` of its area in
            an ignored box is neither positive nor negative.
        ignore_iof_threshold: Threshold in [0, 1] for ``gt_boxes_ignore``. With a negative value, ``gt_boxes_ignore``
            has no effect.
        center_margin: The center of a positive must lie inside its box, more than this number of pixels from every
            side.

    Returns:
        ``gt_index`` (A,) int64: per prior, the index of the assigned ground-truth box, or :data:`BACKGROUND` (-1), or
        :data:`IGNORE` (-2). ``iou`` (A,): the IoU of the prior with the assigned box, 0 for priors without a box.

    Raises:
        TypeError: Boxes are not tensors.
        ValueError: Shapes or sizes do not match.

    Example:
        One level of 4 x 4 square priors with stride 8, a square box and a rotated one.

        >>> import torch
        >>> from rotated_atss.assign import atss_assign
        >>> priors = torch.tensor([[x, y, 16, 16, 0] for y in (4.0, 12, 20, 28) for x in (4.0, 12, 20, 28)])
        >>> gt_boxes = torch.tensor([[8.0, 8, 20, 20, 0], [24, 24, 20, 10, 0.6]])
        >>> gt_index, iou = atss_assign(priors, [16], gt_boxes, topk=9)
        >>> gt_index.view(4, 4)
        tensor([[ 0,  0, -1, -1],
                [ 0,  0, -1, -1],
                [-1, -1,  1, -1],
                [-1, -1, -1,  1]])
    """
    gt_index, iou = atss_assign_batch(
        priors, level_sizes, [gt_boxes], topk=topk, priors_per_location=priors_per_location, grids=grids,
        gt_boxes_ignore_list=[gt_boxes_ignore], ignore_iof_threshold=ignore_iof_threshold,
        center_margin=center_margin,
    )  # fmt: skip
    return gt_index[0], iou[0]


def _is_small(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes_list: Sequence[Tensor],
    *,
    grids: Sequence[Grid | tuple] | None = None,
    **_: object,
) -> bool:
    """Return whether one thread is the best choice for these arguments of :func:`atss_assign_batch`."""
    num_pairs = len(priors) * sum(len(boxes) for boxes in gt_boxes_list)
    # With grids, any input counts as small, because the time does not depend on the number of priors.
    return grids is not None or num_pairs <= _MAX_PAIRS_OF_ONE_THREAD


@partial(single_threaded, is_small=_is_small)
def atss_assign_batch(
    priors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes_list: Sequence[Tensor],
    *,
    topk: int = 9,
    priors_per_location: int = 1,
    grids: Sequence[Grid | tuple] | None = None,
    valid_hw: Sequence[Sequence[tuple[int, int]]] | None = None,
    gt_boxes_ignore_list: Sequence[Tensor | None] | None = None,
    ignore_iof_threshold: float = 0.5,
    center_margin: float = CENTER_MARGIN_PX,
) -> tuple[Tensor, Tensor]:
    """Assign ground-truth boxes to priors with ATSS for a batch of images that share their priors.

    With grids and without ignored boxes, the images are processed together, and the host does not wait for CUDA.

    Args:
        priors: (A, 5) or (A, 4).
        level_sizes: Number of priors per level.
        gt_boxes_list: (G, 5) or (G, 4) boxes of each of the B images.
        topk: As for :func:`atss_assign`.
        priors_per_location: As for :func:`atss_assign`.
        grids: As for :func:`atss_assign`.
        valid_hw: Per image and level, the number of ``(rows, columns)`` of the grid that lie inside the image. All
            other cells are padding of the batch, and their priors are ignored. Requires ``grids``.
        gt_boxes_ignore_list: Ignored boxes of each image, or None.
        ignore_iof_threshold: As for :func:`atss_assign`.
        center_margin: As for :func:`atss_assign`.

    Returns:
        ``gt_index`` (B, A) int64 and ``iou`` (B, A). Row b is what :func:`atss_assign` returns for image b, so the
        indices count the boxes of this image.

    Raises:
        TypeError: Boxes are not tensors.
        ValueError: Shapes or sizes do not match.

    Example:
        >>> import torch
        >>> from rotated_atss.assign import atss_assign_batch
        >>> priors = torch.tensor([[4.0, 4, 16, 16, 0], [12, 4, 16, 16, 0], [20, 4, 16, 16, 0]])
        >>> images = [torch.tensor([[5.0, 4, 16, 12, 0.1]]), torch.zeros(0, 5)]
        >>> gt_index, iou = atss_assign_batch(priors, [3], images, grids=[(1, 3, 8.0, 4.0, 4.0)])
        >>> gt_index
        tensor([[ 0, -1, -1],
                [-1, -1, -1]])
    """
    num_images = len(gt_boxes_list)
    ignore_list = list(gt_boxes_ignore_list or [None] * num_images)
    if not gt_boxes_list:
        raise ValueError("gt_boxes_list must contain the boxes of at least one image, got an empty list")
    if len(ignore_list) != num_images:
        raise ValueError(f"gt_boxes_ignore_list must have one entry per image ({num_images}), got {len(ignore_list)}")
    for gt_boxes, gt_boxes_ignore in zip(gt_boxes_list, ignore_list):
        check_box_formats(priors, gt_boxes=gt_boxes, gt_boxes_ignore=gt_boxes_ignore)
    check_level_sizes(priors, level_sizes)
    check_at_least_one(topk=topk, priors_per_location=priors_per_location)
    layout = PriorLayout.create(level_sizes, grids, valid_hw, num_images)
    priors, *gt_boxes_list = detach_and_upcast(priors, *gt_boxes_list)
    ignore_masks = [compute_ignore_mask(priors, boxes, ignore_iof_threshold) for boxes in ignore_list]
    gt_boxes, image_index, index_in_image = _concatenate_gt_boxes(gt_boxes_list)
    # A slot is the place of one prior of one image in the flat result (B * A,): image after image, prior after prior.
    num_slots = num_images * len(priors)
    if len(gt_boxes) and len(priors):
        num_candidates = topk * priors_per_location
        candidates = select_candidates(  # lines 2 to 6 of Algorithm 1
            centers(priors), layout, centers(gt_boxes), image_index, num_candidates, ignore_masks
        )
        pairs = _select_positives(priors, gt_boxes, candidates, valid_gt_mask(gt_boxes), center_margin)  # lines 7 to 15
        slot = image_index[pairs.box_index] * len(priors) + pairs.prior_index
        gt_index, iou = resolve_conflicts(  # also sets all other priors to negative, as line 17 does
            num_slots, slot, index_in_image[pairs.box_index], pairs.iou, pairs.is_positive
        )
    else:
        gt_index = torch.full((num_slots,), BACKGROUND, dtype=torch.int64, device=priors.device)
        iou = priors.new_zeros(num_slots)
    gt_index, iou = gt_index.view(num_images, len(priors)), iou.view(num_images, len(priors))
    for image, ignore_mask in enumerate(ignore_masks):
        mask_with_padding = layout.ignore_mask_with_padding(image, ignore_mask, priors.device)
        if mask_with_padding is not None:
            gt_index[image].masked_fill_(mask_with_padding, IGNORE)
    return gt_index, iou


def _concatenate_gt_boxes(gt_boxes_list: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Concatenate the boxes of all images.

    Returns:
        A tuple of the boxes (G, 5) or (G, 4), the image index of each box (G,), and the index of each box among the
        boxes of its image (G,).
    """
    num_gts = torch.tensor([len(gt_boxes) for gt_boxes in gt_boxes_list])
    first_gt = num_gts.cumsum(0) - num_gts  # per image, the index of its first box
    image_index = torch.arange(len(num_gts)).repeat_interleave(num_gts)
    index_in_image = torch.arange(len(image_index)) - first_gt[image_index]
    device = gt_boxes_list[0].device
    # non_blocking: a blocking copy would wait until CUDA has finished all earlier work
    image_index, index_in_image = (index.to(device, non_blocking=True) for index in (image_index, index_in_image))
    return torch.cat(list(gt_boxes_list)), image_index, index_in_image


class _Pairs(NamedTuple):
    """(candidate prior, ground-truth box) pairs; every field has shape (N,)."""

    prior_index: Tensor
    box_index: Tensor  # into the concatenated boxes of all images
    iou: Tensor
    is_positive: Tensor  # bool


def _select_positives(
    priors: Tensor, gt_boxes: Tensor, candidates: Tensor, valid_gt: Tensor, center_margin: float
) -> _Pairs:
    """Determine which of the (G, K) candidates are positive (lines 7 to 15 of Algorithm 1), in chunks of boxes.

    The result always contains all positive pairs, but on the CPU it lacks the pairs below the threshold.
    """
    pairs_of_chunks = []
    for chunk in box_chunks(len(gt_boxes), candidates.shape[1], priors.device.type):
        pairs = _select_positives_of_chunk(priors, gt_boxes[chunk], candidates[chunk], valid_gt[chunk], center_margin)
        pairs_of_chunks.append(pairs._replace(box_index=pairs.box_index + chunk.start))
    return _Pairs(*(torch.cat(column) for column in zip(*pairs_of_chunks)))


def _select_positives_of_chunk(
    priors: Tensor, gt_boxes: Tensor, candidates: Tensor, valid_gt: Tensor, center_margin: float
) -> _Pairs:
    """Determine which candidates (g, K) of a chunk of boxes (g, 5) or (g, 4) are positive.

    The box indices in the result start at 0 in each chunk.
    """
    iou, threshold = iou_and_threshold(priors, gt_boxes, candidates)
    is_positive = iou >= threshold[:, None]  # line 12, "IoU(c, g) >= t_g"
    is_positive &= candidates >= 0  # -1 is a placeholder in levels with too few valid priors
    is_positive &= valid_gt[:, None]
    box_index = torch.arange(len(gt_boxes), device=candidates.device)[:, None].expand_as(candidates)
    columns = (candidates, box_index, iou, is_positive)
    prior_index, box_index, iou, is_positive = (column.flatten() for column in columns)
    if is_positive.device.type == "cpu":
        # Drop the candidates below the threshold, about four out of five, to save time below. On CUDA they are kept,
        # because nonzero would wait for the GPU.
        above_threshold = torch.nonzero(is_positive).squeeze(1)
        columns = (prior_index, box_index, iou, is_positive)
        prior_index, box_index, iou, is_positive = (column.index_select(0, above_threshold) for column in columns)
    prior_index = prior_index.clamp(min=0)  # on CUDA, -1 is still included, and its is_positive is False
    prior_centers = centers(priors.index_select(0, prior_index))
    # line 12, "center of c in g"
    is_inside = points_in_indexed_boxes(prior_centers, gt_boxes, box_index, center_margin)
    return _Pairs(prior_index, box_index, iou, is_positive & is_inside)
