"""Find the pairs of priors and ground-truth boxes whose circumscribed horizontal boxes overlap (broad phase).

Neighboring priors of similar size are grouped into blocks. Each ground-truth box is compared with the bounding boxes of
all blocks, and then only with the priors in blocks whose bounding box it overlaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rotated_atss.assign.box_formats import to_hbb

_BLOCK_SIZE = 64  # priors per block
# Maximum number of elements of the tensors that are computed at once. torch uses several threads for large tensors. The
# maximum for the CPU was chosen so that it does not, because on a busy machine threads cost ten times what they save.
_ELEMENTS_PER_CHUNK = {"cpu": 30_000, "cuda": 1 << 22}
_ELEMENTS_PER_CHUNK_ON_OTHER_DEVICES = 1 << 16


def overlapping_box_pairs(priors: Tensor, gt_boxes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Find the pairs whose circumscribed horizontal boxes overlap or touch, in chunks.

    Args:
        priors: (A, 5) ``cx, cy, w, h, angle`` in pixels and radians, or (A, 4) ``x1, y1, x2, y2`` in pixels. A
            zero-area box represents a point.
        gt_boxes: (G, 5) or (G, 4). The format can differ from the format of the priors.

    Yields:
        For each chunk of P pairs, the (P,) int64 indices of the priors and the (P,) int64 indices of the ground-truth
        boxes, sorted by ground-truth box. All pairs of a ground-truth box are in the same chunk. Boxes with non-finite
        values overlap nothing.

    Example:
        >>> import torch
        >>> from rotated_atss.assign.overlapping_pairs import overlapping_box_pairs
        >>> priors = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [5, 5, 15, 15]])
        >>> list(overlapping_box_pairs(priors, torch.tensor([[8.0, 8, 12, 12]])))
        [(tensor([0, 2]), tensor([0, 0]))]
    """
    if not len(priors) or not len(gt_boxes):
        return
    prior_columns, prior_index = _sort_into_blocks(to_hbb(priors))
    x1, y1, x2, y2 = prior_columns  # each (B, 64), for B blocks of priors
    block_columns = (x1.amin(1), y1.amin(1), x2.amax(1), y2.amax(1))  # (B,) each, the bounding boxes of the blocks
    num_blocks = len(prior_index)
    max_elements = _ELEMENTS_PER_CHUNK.get(priors.device.type, _ELEMENTS_PER_CHUNK_ON_OTHER_DEVICES)
    gt_hbbs = _expand_by_rounding_error(to_hbb(gt_boxes))
    gts_per_group = max(1, max_elements // num_blocks)
    first_gt = 0  # index of the first ground-truth box of the group
    for gt_group in gt_hbbs.split(gts_per_group):
        gt_columns = gt_group.unbind(1)
        overlaps_block = _boxes_overlap([column[:, None] for column in gt_columns], block_columns)  # (gts in group, B)
        # Pairs of a ground-truth box and a block that overlap. Ground-truth boxes are numbered from 0 in each group.
        gt_of_block_pair, block_of_block_pair = torch.nonzero(overlaps_block, as_tuple=True)
        for block_pairs in _split_by_gt(gt_of_block_pair, max(1, max_elements // _BLOCK_SIZE)):
            gt_in_group, block = gt_of_block_pair[block_pairs], block_of_block_pair[block_pairs]
            overlaps_prior = _boxes_overlap(  # one row per pair of a ground-truth box and a block, one column per prior
                [column[block] for column in prior_columns], [column[gt_in_group, None] for column in gt_columns]
            )
            row, position_in_block = torch.nonzero(overlaps_prior, as_tuple=True)
            yield prior_index[block[row], position_in_block], gt_in_group[row] + first_gt
        first_gt += len(gt_group)


def _boxes_overlap(boxes1: Sequence[Tensor], boxes2: Sequence[Tensor]) -> Tensor:
    """Test whether boxes, given as broadcastable columns ``x1, y1, x2, y2``, overlap or touch."""
    (left1, top1, right1, bottom1), (left2, top2, right2, bottom2) = boxes1, boxes2
    return (left1 <= right2) & (left2 <= right1) & (top1 <= bottom2) & (top2 <= bottom1)


def _split_by_gt(gt_index: Tensor, max_length: int) -> Iterator[slice]:
    """Split sorted (N,) indices into slices of at most ``max_length`` without separating equal indices.

    If one index occurs more than ``max_length`` times, its slice is longer.
    """
    start = end = 0  # of the current slice
    ends_of_boxes = (
        torch.bincount(gt_index).cumsum(0).tolist()
    )  # the indices of a box end where those of the next begin
    for end_of_box in ends_of_boxes:
        # If the slice would be too long with this box, it ends before the box, unless it is still empty.
        if end_of_box - start > max_length and end > start:
            yield slice(start, end)
            start = end
        end = end_of_box
    if end > start:
        yield slice(start, end)


def _expand_by_rounding_error(hbbs: Tensor) -> Tensor:
    """Enlarge boxes by the rounding error of float32, so that no overlapping pair is missed.

    The margin is 1e-6 of the largest coordinate of the box, about 16 times the relative rounding error. Boxes with
    non-finite values become empty.
    """
    margin = hbbs.abs().amax(1, keepdim=True) * 1e-6
    return _replace_nonfinite(torch.cat((hbbs[:, :2] - margin, hbbs[:, 2:] + margin), 1))


def _replace_nonfinite(hbbs: Tensor) -> Tensor:
    """Replace each box with non-finite values by an empty box."""
    return torch.where(hbbs.isfinite().all(1, keepdim=True), hbbs, _empty_box(hbbs))


def _empty_box(like: Tensor) -> Tensor:
    """Return a (4,) box that overlaps nothing, with the dtype and device of ``like``."""
    return like.new_tensor((torch.inf, torch.inf, -torch.inf, -torch.inf))


def _sort_into_blocks(hbbs: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """Sort boxes by size and position, and split the sorted boxes into B blocks of 64 boxes.

    The size is the longer side, rounded down to a power of two. The position is the row and column of the box center in
    a grid of square cells whose side is this size.

    Returns:
        Columns ``x1, y1, x2, y2``, each (B, 64), and the (B, 64) indices of the boxes. The last block is padded with
        empty boxes, which overlap nothing, so that their index 0 is never used.
    """
    # Sides that are NaN become 1, and infinite sides the maximum.
    longer_side = (hbbs[:, 2:] - hbbs[:, :2]).amax(1).nan_to_num(1).clamp(1, 2.0**20)
    size_exponent = longer_side.log2().floor()
    cell_side = size_exponent.exp2()[:, None]
    cell = ((hbbs[:, :2] + hbbs[:, 2:]) / 2 / cell_side).nan_to_num().clamp(-1e6, 1e6).floor().long()  # column, row
    # Sort by size, then row, then column. Row and column are between -1e6 and 1e6. The row is multiplied by 2^22, so a
    # difference of 1 in the row outweighs any difference of columns. The same holds for the size and the rows.
    sort_key = (size_exponent.long() << 44) + (cell[:, 1] << 22) + cell[:, 0]
    index = sort_key.argsort(stable=True)
    num_padding = -len(index) % _BLOCK_SIZE
    padded = torch.cat((_replace_nonfinite(hbbs)[index], _empty_box(hbbs).expand(num_padding, 4)))
    index = torch.cat((index, index.new_zeros(num_padding))).view(-1, _BLOCK_SIZE)
    return tuple(column.reshape(-1, _BLOCK_SIZE).contiguous() for column in padded.unbind(1)), index
