"""IoU of oriented boxes in closed form, without convex hull, sorting or epsilon.

Transform box B into the frame of box A, where A is ``|x| <= a, |y| <= b``. Translating before rotating keeps float32
accurate far from the origin. At a given x with ``|x| <= a``, the intersection of the boxes extends from
``clamp(y, -b, b)`` on the lower edge of B (smaller y) at this x to ``clamp(y, -b, b)`` on its upper edge (larger y).
Therefore, integrate ``clamp(y, -b, b) dx`` over ``|x| <= a``, once along the upper edges of B and once along its lower
edges. The area of the intersection is the first integral minus the second one. On an edge, y is linear, so the clamped
integrand is piecewise linear with at most two breakpoints, and the trapezoidal rule over three pieces is exact. The
computation consists of min, max and clamp, so it is vectorized and differentiable by autograd.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from rotated_atss.ops.backend import BACKENDS, select_backend
from rotated_atss.ops.checks import check_tensors
from rotated_atss.ops.single_thread import single_thread

Columns = Sequence[Tensor]  # cx, cy, w, h, angle

MODES = ("iou", "iof")  # "overlap" in the functions below means the IoU or the IoF, depending on the mode

# On the CPU, the tensors of the four edges of 8000 pairs fit into the cache of a core, and they are below the size at
# which torch starts threads. Threads cost more time than they save for tensors of this size. If data loading workers
# keep the machine busy, they cost a hundred times more than they save.
_PAIRS_PER_CHUNK = {"cpu": 8000, "cuda": 1 << 20}
_CIRCLE_PAIRS_PER_CHUNK = 1 << 20  # pairs whose circumscribed circles are compared at once
# rotated_iou uses a single thread up to this number of pairs. Only the comparison of circumscribed circles gains from
# threads, and only with more pairs: with ten times as many, two threads are a quarter faster than one.
_MAX_PAIRS_OF_ONE_THREAD = 1 << 20


def rotated_iou(
    boxes1: Tensor, boxes2: Tensor, *, aligned: bool = False, mode: str = "iou", backend: str | None = None
) -> Tensor:
    """Compute the IoU (or IoF) of oriented boxes.

    Args:
        boxes1: (N, 5) ``cx, cy, w, h, angle`` in pixels and radians, any angle version.
        boxes2: (M, 5); M = N if ``aligned``.
        aligned: Compare row by row instead of all pairs.
        mode: ``iou`` (intersection over union) or ``iof`` (intersection over the area of ``boxes1``).
        backend: ``torch`` (CPU and CUDA, differentiable) or ``triton`` (CUDA kernels). With triton, the aligned IoU has
            a first derivative only, and the IoU of all pairs is computed by torch if it needs a gradient. None selects
            triton on CUDA if it works there, unless ``$ROTATED_ATSS_BACKEND`` is ``torch``.

    Returns:
        (N, M), or (N,) if ``aligned``: finite, in [0, 1], in the promoted dtype of the inputs. Half precision is
        computed in float32. Zero-area boxes and boxes with non-finite values overlap nothing.

    Raises:
        TypeError: ``boxes1`` or ``boxes2`` is not a tensor.
        ValueError: Shapes do not match, or the mode or the backend is unknown or unavailable.

    Example:
        >>> import math, torch
        >>> from rotated_atss.ops import rotated_iou
        >>> box = torch.tensor([[50.0, 40.0, 20.0, 10.0, 0.0]])
        >>> others = torch.tensor([[50.0, 40.0, 10.0, 20.0, math.pi / 2], [60.0, 40.0, 20.0, 10.0, 0.0]])
        >>> rotated_iou(box, others)
        tensor([[1.0000, 0.3333]])
    """
    _check(boxes1, boxes2, aligned, mode, backend)
    backend = select_backend(backend, boxes1, boxes2)
    dtype = torch.promote_types(boxes1.dtype, boxes2.dtype)
    if not dtype.is_floating_point:
        dtype = torch.float32
    compute_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    boxes1, boxes2 = boxes1.to(compute_dtype), boxes2.to(compute_dtype)
    if backend == "triton":
        return _triton_iou(boxes1, boxes2, aligned, mode).to(dtype)
    num_pairs = len(boxes1) if aligned else len(boxes1) * len(boxes2)
    with single_thread(boxes1.device) if num_pairs <= _MAX_PAIRS_OF_ONE_THREAD else nullcontext():
        overlap = _torch_aligned(boxes1, boxes2, mode) if aligned else _torch_pairwise(boxes1, boxes2, mode)
    return overlap.to(dtype)


def _check(boxes1: Tensor, boxes2: Tensor, aligned: bool, mode: str, backend: str | None) -> None:
    check_tensors(boxes1=boxes1, boxes2=boxes2)
    for name, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        if boxes.ndim != 2 or boxes.shape[1] != 5:
            raise ValueError(f"{name} must have shape (N, 5), got {tuple(boxes.shape)}")
    if aligned and len(boxes1) != len(boxes2):
        raise ValueError(f"aligned boxes1 and boxes2 must have equal lengths, got {len(boxes1)} and {len(boxes2)}")
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if backend not in (None, *BACKENDS):
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")


def _triton_iou(boxes1: Tensor, boxes2: Tensor, aligned: bool, mode: str) -> Tensor:
    from rotated_atss.ops.kernels.gradient import AlignedOverlap
    from rotated_atss.ops.kernels.iou_kernels import pairwise_overlap

    if aligned:
        return AlignedOverlap.apply(boxes1, boxes2, mode)
    if torch.is_grad_enabled() and (boxes1.requires_grad or boxes2.requires_grad):
        return _torch_pairwise(boxes1, boxes2, mode)  # the kernel of all pairs has no backward pass
    return pairwise_overlap(boxes1, boxes2, mode)


def _intersection_area(boxes1: Columns, boxes2: Columns, screened: bool) -> Tensor:
    """Compute the intersection areas, in the broadcast shape; see :func:`overlap_of_columns` for ``screened``."""
    _, _, w1, h1, _ = boxes1
    local_boxes = _to_local_frame(boxes1, boxes2)
    # Pairs are screened only on the CPU, because the selection of pairs on CUDA would have to wait for the device. They
    # are not screened if gradients are needed: where sides coincide, the gradient of a screened area differs from the
    # gradient of the integral.
    if screened and w1.device.type == "cpu" and not any(column.requires_grad for column in local_boxes):
        return _screen_and_integrate(local_boxes, w1 / 2, h1 / 2, boxes2[2] * boxes2[3])
    return _integrate_area(local_boxes, w1 / 2, h1 / 2)


def _to_local_frame(boxes1: Columns, boxes2: Columns) -> Sequence[Tensor]:
    """Transform the second boxes into the frames of the first ones.

    Returns:
        Six tensors of the broadcast shape: center ``cx, cy``, half the width axis ``ux, uy`` and half the height axis
        ``vx, vy``.
    """
    (x1, y1, _, _, angle1), (x2, y2, w2, h2, angle2) = boxes1, boxes2
    dx, dy, cos1, sin1 = x2 - x1, y2 - y1, angle1.cos(), angle1.sin()
    cx, cy = dx * cos1 + dy * sin1, dy * cos1 - dx * sin1
    relative = angle2 - angle1
    cos, sin, half_width, half_height = relative.cos(), relative.sin(), w2 / 2, h2 / 2
    return cx, cy, half_width * cos, half_width * sin, half_height * -sin, half_height * cos


def _screen_and_integrate(local_boxes: Sequence[Tensor], a: Tensor, b: Tensor, area2: Tensor) -> Tensor:
    """Compute the same areas as :func:`_integrate_area`, but integrate only pairs that two quick tests do not decide.

    The area is ``area2`` if the first box contains the second one, and 0 if the extents of the two boxes along one of
    the first box's axes do not overlap.
    """
    cx, cy, ux, uy, vx, vy = (column.abs() for column in local_boxes)
    extent_x, extent_y = ux.add_(vx), uy.add_(vy)  # half extents of the second box along the axes of the first
    contained = (cx + extent_x <= a) & (cy + extent_y <= b)
    separated = (cx - extent_x >= a) | (cy - extent_y >= b)
    area = torch.where(contained, area2, 0.0)
    flat_area = area.view(-1)  # shares its memory with area, so that the loop also fills area
    flat_columns = [column.expand_as(area).flatten() for column in (*local_boxes, a, b)]
    for indices in torch.nonzero(~(contained | separated).view(-1)).squeeze(1).split(_PAIRS_PER_CHUNK["cpu"]):
        *chunk, chunk_a, chunk_b = (column.index_select(0, indices) for column in flat_columns)
        flat_area.index_copy_(0, indices, _integrate_area(chunk, chunk_a, chunk_b))
    return area


def _integrate_area(local_boxes: Sequence[Tensor], a: Tensor, b: Tensor) -> Tensor:
    """Compute the areas that boxes from :func:`_to_local_frame` share with the box ``|x| <= a, |y| <= b``.

    ``a`` and ``b`` broadcast to the shape S of the other tensors. The result has shape S.
    """
    cx, cy, ux, uy, vx, vy = local_boxes
    # The second box has two edges parallel to u with midpoints c - v and c + v, and two parallel to v with midpoints
    # c + u and c - u. They are integrated in the directions u and v. If u points along +x, then c - v is the midpoint
    # of a lower edge and c + v that of an upper edge. If u points along -x, they are exchanged, but dx is negative. So
    # the difference of the two integrals is upper minus lower in both cases; likewise for v.
    mx = torch.stack((cx - vx, cx + vx, cx + ux, cx - ux)).view(2, 2, *cx.shape)
    my = torch.stack((cy - vy, cy + vy, cy + uy, cy - uy)).view(2, 2, *cx.shape)
    ex, ey = torch.stack((ux, vx))[:, None], torch.stack((uy, vy))[:, None]
    integrals = _edge_integrals(mx, my, ex, ey, a, b)
    # The order of additions of torch.sum depends on the size of the tensor. With it, the IoU of a pair would depend on
    # the number of pairs in the batch.
    return (integrals[0, 1] - integrals[0, 0]) + (integrals[1, 1] - integrals[1, 0])


def _edge_integrals(mx: Tensor, my: Tensor, ex: Tensor, ey: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Integrate ``clamp(y, -b, b) dx`` along the edges ``m + t e``, -1 <= t <= 1, restricted to ``|x| <= a``.

    The midpoints ``mx, my`` have shape (2, 2, S), and the half edges ``ex, ey`` have shape (2, 1, S), where S stands
    for any number of dimensions. The half sides ``a, b`` of the first box broadcast to S.
    """
    one = torch.ones((), dtype=mx.dtype, device=mx.device)
    negligible = torch.finfo(mx.dtype).tiny ** 0.5  # products with the inverse of a smaller value may overflow
    # on a vertical edge, ex is about 0 and any inverse is suitable, because the result is multiplied by ex
    inverse_ex = 1 / torch.where(ex.abs() < negligible, one, ex)
    middle, reach = -mx * inverse_ex, a * inverse_ex.abs()  # |x| <= a for t in middle +- reach
    t0, t1 = (middle - reach).clamp(-1, 1), (middle + reach).clamp(-1, 1)
    # on a horizontal edge, ey is about 0 and any inverse is suitable, because s0 and s1 do not matter if y0 = y1
    inverse_ey = 1 / torch.where(ey.abs() < negligible, one, ey)
    middle, reach = -my * inverse_ey, b * inverse_ey.abs()  # |y| <= b for t in middle +- reach
    s0, s1 = (middle - reach).clamp(t0, t1), (middle + reach).clamp(t0, t1)

    # the clamped y is y0 from t0 to s0, linear from s0 to s1, and y1 from s1 to t1; its integral equals that of a step
    # function that jumps from y0 to y1 halfway between s0 and s1
    jump = (s0 + s1) / 2
    y0, y1 = (my + t0 * ey).clamp(-b, b), (my + t1 * ey).clamp(-b, b)
    return ex * (y0 * (jump - t0) + y1 * (t1 - jump))


def overlap_of_columns(boxes1: Columns, boxes2: Columns, mode: str = "iou", *, screened: bool = False) -> Tensor:
    """Compute :func:`rotated_iou` of boxes given as columns whose shapes broadcast, without chunking.

    Args:
        boxes1: ``cx, cy, w, h, angle``, one tensor each, float32 or float64.
        boxes2: The same five columns. Their shapes must broadcast with the shapes in ``boxes1``.
        mode: ``iou`` or ``iof``.
        screened: On the CPU, skip the integrals of pairs whose first box contains the second one, or whose extents
            along an axis of the first box do not overlap. This is faster if more than half of the integrals are
            skipped, as in label assignment, and a third slower if none is skipped. Results differ only by rounding.

    Returns:
        Tensor of the broadcast shape.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.iou import overlap_of_columns
        >>> boxes = torch.tensor([[50.0, 40.0, 20.0, 10.0, 0.0], [60.0, 40.0, 20.0, 10.0, 0.0]])
        >>> overlap_of_columns(boxes[:1].unbind(1), boxes.unbind(1))
        tensor([1.0000, 0.3333])
    """
    (_, _, w1, h1, _), (_, _, w2, h2, _) = boxes1, boxes2
    area1, area2 = w1 * h1, w2 * h2
    inter = torch.minimum(_intersection_area(boxes1, boxes2, screened), torch.minimum(area1, area2))
    # Disjoint boxes must have an IoU of exactly 0 (NMS at threshold 0 relies on it), so areas within the rounding error
    # become 0. The integrals clamp y to h1 / 2, so the error grows with h1 times the longest of the other sides. The
    # measured error is at most 1.1 eps times this product.
    longest = torch.maximum(w1, torch.maximum(w2, h2))
    significant = inter > longest * h1 * (2 * torch.finfo(inter.dtype).eps)
    has_area = torch.minimum(torch.minimum(w1, h1), torch.minimum(w2, h2)) > 0
    denominator = area1 if mode == "iof" else area1 + area2 - inter
    valid = significant & has_area & (denominator > 0)
    overlap = (inter / torch.where(valid, denominator, 1.0)).clamp(0, 1)
    return torch.where(valid, overlap, 0.0).nan_to_num(0.0)


def _torch_aligned(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    """Compute the overlap (N,) of boxes (N, 5) row by row, in chunks."""
    chunk_size = _PAIRS_PER_CHUNK.get(boxes1.device.type, 1 << 16)  # the default is for other devices, such as mps
    overlaps = [
        overlap_of_columns(chunk1.unbind(1), chunk2.unbind(1), mode)
        for chunk1, chunk2 in zip(boxes1.split(chunk_size), boxes2.split(chunk_size))
    ]
    return overlaps[0] if len(overlaps) == 1 else torch.cat(overlaps)


def _torch_pairwise(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    """Compute the overlap (N, M) of all pairs in chunks.

    The closed form is evaluated only for pairs whose circumscribed circles overlap.
    """
    if not len(boxes1) or not len(boxes2):
        return boxes1.new_zeros((len(boxes1), len(boxes2)))
    rows_per_chunk = max(1, _CIRCLE_PAIRS_PER_CHUNK // len(boxes2))
    overlaps = []
    for chunk in boxes1.split(rows_per_chunk):
        i, j = _find_overlapping_circles(chunk.detach(), boxes2.detach())
        overlap = boxes1.new_zeros((len(chunk), len(boxes2)))
        if len(i):
            overlap = overlap.index_put((i, j), _torch_aligned(chunk[i], boxes2[j], mode))
        overlaps.append(overlap)
    return overlaps[0] if len(overlaps) == 1 else torch.cat(overlaps)


def _find_overlapping_circles(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """Return the index pairs (P,), (P,) of boxes whose circumscribed circles overlap, with a margin for rounding."""
    radius1, radius2 = boxes1[:, 2:4].norm(dim=1) / 2, boxes2[:, 2:4].norm(dim=1) / 2
    squared_distance = (boxes1[:, None, 0] - boxes2[:, 0]).square_()
    squared_distance += (boxes1[:, None, 1] - boxes2[:, 1]).square_()
    # the margin of 1e-5 is far above the rounding error of float32, 6e-8
    squared_reach = (radius1[:, None] + radius2).mul_(1 + 1e-5).square_()
    i, j = torch.nonzero(squared_distance <= squared_reach, as_tuple=True)
    return i, j
