"""IoU of oriented boxes in closed form, without convex hull, sorting or epsilon.

Transform box B into the frame of box A, where A is ``|x| <= a, |y| <= b``. Translating before rotating keeps float32
accurate far from the origin. By Green's theorem the area of the intersection is the integral of ``-clamp(y, -b, b) dx``
along those parts of B's four directed edges that lie in the slab ``|x| <= a``. On an edge y is linear, so the clamped
integrand is piecewise linear with at most two breakpoints, and the trapezoidal rule over three pieces is exact. The
computation consists of min, max and clamp, so it is vectorized and differentiable by autograd.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from rotated_atss.ops.backend import CHOICES, select_backend
from rotated_atss.ops.checks import check_tensors
from rotated_atss.ops.single_thread import single_thread

Columns = Sequence[Tensor]  # cx, cy, w, h, angle

MODES = ("iou", "iof")

# On the CPU, the four edges of 8000 pairs fit into the cache of a core and stay below the size at which torch starts
# threads. Threads cost more than they save here, a hundred times more on a machine with busy data loading workers.
_PAIRS_PER_CHUNK = {"cpu": 8000, "cuda": 1 << 20}
_CIRCLE_PAIRS_PER_CHUNK = 1 << 20  # pairs whose circumscribed circles are compared at once
_MAX_PAIRS_OF_ONE_THREAD = 1 << 20  # at ten times as many pairs, two threads are a quarter faster than one


def rotated_iou(
    boxes1: Tensor, boxes2: Tensor, *, aligned: bool = False, mode: str = "iou", backend: str | None = None
) -> Tensor:
    """Compute the IoU (or IoF) of oriented boxes.

    Args:
        boxes1: (N, 5) ``cx, cy, w, h, angle`` in pixels and radians, any angle version.
        boxes2: (M, 5); M = N if ``aligned``.
        aligned: Compare row by row instead of all pairs.
        mode: ``iou`` (intersection over union) or ``iof`` (intersection over the area of ``boxes1``).
        backend: ``torch`` (CPU and CUDA, differentiable) or ``triton`` (CUDA kernels; aligned IoU is differentiable
            once, the gradient of all pairs is computed by torch). None selects triton on CUDA if it works there,
            unless ``$ROTATED_ATSS_BACKEND`` is ``torch``.

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
        overlap = _aligned_in_chunks(boxes1, boxes2, mode) if aligned else _pairwise(boxes1, boxes2, mode)
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
    if backend not in (None, *CHOICES):
        raise ValueError(f"backend must be one of {', '.join(CHOICES)}, got {backend!r}")


def _triton_iou(boxes1: Tensor, boxes2: Tensor, aligned: bool, mode: str) -> Tensor:
    from rotated_atss.ops.kernels.gradient import AlignedOverlap
    from rotated_atss.ops.kernels.iou_kernels import pairwise_overlap

    if aligned:
        return AlignedOverlap.apply(boxes1, boxes2, mode)
    if torch.is_grad_enabled() and (boxes1.requires_grad or boxes2.requires_grad):
        return _pairwise(boxes1, boxes2, mode)  # the kernel of all pairs has no backward pass
    return pairwise_overlap(boxes1, boxes2, mode)


def _intersection(boxes1: Columns, boxes2: Columns, screened: bool) -> Tensor:
    _, _, w1, h1, _ = boxes1
    in_frame = _in_frame(boxes1, boxes2)  # of the broadcast shape
    if screened and w1.device.type == "cpu" and not any(column.requires_grad for column in in_frame):
        return _screened_area(in_frame, w1 / 2, h1 / 2, boxes2[2] * boxes2[3])
    return _area(in_frame, w1 / 2, h1 / 2)


def _in_frame(boxes1: Columns, boxes2: Columns) -> Sequence[Tensor]:
    """Return the second boxes in the frames of the first ones: six tensors of the broadcast shape.

    They are the center ``cx, cy``, half the width axis ``ux, uy`` and half the height axis ``vx, vy``.
    """
    (x1, y1, _, _, angle1), (x2, y2, w2, h2, angle2) = boxes1, boxes2
    dx, dy, cos, sin = x2 - x1, y2 - y1, angle1.cos(), angle1.sin()
    cx, cy = dx * cos + dy * sin, dy * cos - dx * sin
    relative = angle2 - angle1
    cos, sin, half_width, half_height = relative.cos(), relative.sin(), w2 / 2, h2 / 2
    return cx, cy, half_width * cos, half_width * sin, half_height * -sin, half_height * cos


def _screened_area(in_frame: Sequence[Tensor], a: Tensor, b: Tensor, area2: Tensor) -> Tensor:
    """Compute :func:`_area` only for pairs whose first box neither contains the second nor is separated from it."""
    cx, cy, ux, uy, vx, vy = (column.abs() for column in in_frame)
    ux += vx  # half extent of the second box along the frame's axes
    uy += vy
    inside = (cx + ux <= a) & (cy + uy <= b)
    apart = (cx - ux >= a) | (cy - uy >= b)
    area = torch.where(inside, area2, 0.0)
    # flat is a view: what is written to it is written to area
    flat, columns = area.view(-1), [column.expand_as(area).flatten() for column in (*in_frame, a, b)]
    for remaining in torch.nonzero(~(inside | apart).view(-1)).squeeze(1).split(_PAIRS_PER_CHUNK["cpu"]):
        *chosen, half_width, half_height = (column.index_select(0, remaining) for column in columns)
        flat.index_copy_(0, remaining, _area(chosen, half_width, half_height))
    return area


def _area(in_frame: Sequence[Tensor], a: Tensor, b: Tensor) -> Tensor:
    """Integrate the intersection of boxes from :func:`_in_frame` with the frame's box of half sides ``a, b``.

    The half sides broadcast to the shape S of the other tensors, which is that of the result.
    """
    cx, cy, ux, uy, vx, vy = in_frame
    # B's edges: two along +-u with midpoints c - v and c + v, two along +-v with midpoints c + u and c - u. All are
    # integrated along +u and +v; the differences below give the edges along -u and -v their sign.
    mx = torch.stack((cx - vx, cx + vx, cx + ux, cx - ux)).view(2, 2, *cx.shape)
    my = torch.stack((cy - vy, cy + vy, cy + uy, cy - uy)).view(2, 2, *cx.shape)
    ex, ey = torch.stack((ux, vx))[:, None], torch.stack((uy, vy))[:, None]
    edges = _edge_integrals(mx, my, ex, ey, a, b)
    # explicit order of additions: that of torch.sum depends on the tensor's size, so results would depend on the batch
    return (edges[0, 1] - edges[0, 0]) + (edges[1, 1] - edges[1, 0])


def _edge_integrals(mx: Tensor, my: Tensor, ex: Tensor, ey: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Integrate ``clamp(y, -b, b) dx`` over the part with ``|x| <= a`` of the edges ``m + t e``, -1 <= t <= 1.

    Midpoints ``mx, my`` are (2, 2, S), half edges ``ex, ey`` (2, 1, S), for a shape S of any number of dimensions. Half
    sides ``a, b`` of the frame's box broadcast to S.
    """
    one = torch.ones((), dtype=mx.dtype, device=mx.device)
    negligible = torch.finfo(mx.dtype).tiny ** 0.5  # products with the inverse of a smaller number may overflow
    inverse = 1 / torch.where(ex.abs() < negligible, one, ex)  # a vertical edge contributes 0 because of ex below
    middle, reach = -mx * inverse, a * inverse.abs()  # |x| <= a for t in middle +- reach
    t0, t1 = (middle - reach).clamp(-1, 1), (middle + reach).clamp(-1, 1)
    inverse = 1 / torch.where(ey.abs() < negligible, one, ey)  # a horizontal edge has no breakpoints
    middle, reach = -my * inverse, b * inverse.abs()  # |y| <= b for t in middle +- reach
    s0, s1 = (middle - reach).clamp(t0, t1), (middle + reach).clamp(t0, t1)

    # the clamped y is constant before s0 and after s1 and linear between: each end value extends to the midpoint
    middle = (s0 + s1) / 2
    y0, y1 = (my + t0 * ey).clamp(-b, b), (my + t1 * ey).clamp(-b, b)
    return ex * (y0 * (middle - t0) + y1 * (t1 - middle))


def _aligned(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    return overlap_of_columns(boxes1.unbind(1), boxes2.unbind(1), mode)


def overlap_of_columns(boxes1: Columns, boxes2: Columns, mode: str = "iou", *, screened: bool = False) -> Tensor:
    """Compute :func:`rotated_iou` of boxes given as columns whose shapes broadcast, without chunking.

    Args:
        boxes1: ``cx, cy, w, h, angle``, one tensor each, float32 or float64.
        boxes2: As ``boxes1``, of shapes that broadcast with it.
        mode: ``iou`` or ``iof``.
        screened: On the CPU, first find the pairs whose first box contains the second one or is separated from it. This
            is faster if they are more than half of the pairs, as in label assignment, and a third slower if there are
            none. Results differ only by rounding.

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
    inter = torch.minimum(_intersection(boxes1, boxes2, screened), torch.minimum(area1, area2))
    # Disjoint boxes must have an IoU of exactly 0 (NMS at threshold 0 relies on it), so areas within the rounding error
    # become 0. It was measured as 1.1 eps times the first box's height times the longest side.
    longest = torch.maximum(w1, torch.maximum(w2, h2))
    significant = inter > longest * h1 * (2 * torch.finfo(inter.dtype).eps)
    has_area = torch.minimum(torch.minimum(w1, h1), torch.minimum(w2, h2)) > 0
    whole = area1 if mode == "iof" else area1 + area2 - inter
    valid = significant & has_area & (whole > 0)
    overlap = (inter / torch.where(valid, whole, 1.0)).clamp(0, 1)
    return torch.where(valid, overlap, 0.0).nan_to_num(0.0)


def _aligned_in_chunks(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    step = _PAIRS_PER_CHUNK.get(boxes1.device.type, 1 << 16)  # the default is for other devices, such as mps
    if len(boxes1) <= step:
        return _aligned(boxes1, boxes2, mode)
    return torch.cat([_aligned(b1, b2, mode) for b1, b2 in zip(boxes1.split(step), boxes2.split(step))])


def _pairwise(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    """Compute all pairs (N, M), evaluating the closed form only where the circumscribed circles overlap.

    The temporaries are bounded by the chunk size.
    """
    if not len(boxes1) or not len(boxes2):
        return boxes1.new_zeros((len(boxes1), len(boxes2)))
    rows_per_chunk = max(1, _CIRCLE_PAIRS_PER_CHUNK // len(boxes2))
    parts = []
    for part in boxes1.split(rows_per_chunk):
        i, j = _overlapping_circles(part.detach(), boxes2.detach())
        overlap = boxes1.new_zeros((len(part), len(boxes2)))
        parts.append(overlap.index_put((i, j), _aligned_in_chunks(part[i], boxes2[j], mode)) if len(i) else overlap)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _overlapping_circles(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """Find the pairs whose circumscribed circles overlap, with a margin for rounding."""
    radius1, radius2 = boxes1[:, 2:4].norm(dim=1) / 2, boxes2[:, 2:4].norm(dim=1) / 2
    distance = (boxes1[:, None, 0] - boxes2[:, 0]).square_()
    distance += (boxes1[:, None, 1] - boxes2[:, 1]).square_()
    reach = (radius1[:, None] + radius2).mul_(1 + 1e-5).square_()  # far above the rounding error of float32, 6e-8
    i, j = torch.nonzero(distance <= reach, as_tuple=True)
    return i, j
