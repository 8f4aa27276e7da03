"""Overlap of oriented boxes in closed form: no hull, no sort, no tolerance.

Put box B's corners into box A's frame (centre first, then turn: that keeps float32 exact far from the origin), where
A is ``|x| <= a, |y| <= b``. By Green's theorem the area of the intersection is the integral of ``-clamp(y, -b, b)
dx`` along those parts of B's four directed edges that lie in the slab ``|x| <= a``. On an edge y is linear, so the
clamped integrand is piecewise linear with at most two breakpoints and the trapezoid rule over three pieces is exact.
Only min, max and clamp: it vectorises, and autograd goes through it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rotated_atss.ops.backend import select_backend
from rotated_atss.ops.checks import check_tensors

Columns = Sequence[Tensor]  # cx, cy, w, h, angle

BACKENDS = ("torch", "triton", "mmcv")
MODES = ("iou", "iof")

# On the CPU 4 x 8000 numbers stay in a core's cache and just below the size at which torch wakes its threads: those
# cost more than they give here, and on a machine that is busy (data loading workers) a hundred times more.
_PAIRS_PER_CHUNK = {"cpu": 8000, "cuda": 1 << 20}
_SCREEN_PER_CHUNK = 1 << 20


def rotated_iou(
    boxes1: Tensor, boxes2: Tensor, *, aligned: bool = False, mode: str = "iou", backend: str | None = None
) -> Tensor:
    """Intersection over union, or over the first box, of oriented boxes.

    Args:
        boxes1: (N, 5) ``cx, cy, w, h, angle`` in pixels and radians, any angle version.
        boxes2: (M, 5); M = N when ``aligned``.
        aligned: Compare row by row instead of all with all.
        mode: ``iou``, or ``iof``: the share of ``boxes1`` that ``boxes2`` covers.
        backend: ``torch`` (this file; CPU and CUDA, differentiable), ``triton`` (the same as kernels for CUDA; aligned
            differentiable once, a gradient of all with all goes by torch) or ``mmcv`` (its compiled op, for
            comparison). By default triton on CUDA where it works, unless ``$ROTATED_ATSS_BACKEND`` is ``torch``.

    Returns:
        (N, M), or (N,) when ``aligned``: finite, in [0, 1], in the promoted dtype of the inputs. Half precision is
        computed in float32 and returned as given. Boxes without area, or with numbers that are not finite, overlap
        nothing.

    Raises:
        TypeError: Boxes that are no tensors.
        ValueError: Wrong shapes, mode or backend, or a backend that cannot run on the boxes' device.
    """
    _check(boxes1, boxes2, aligned, mode, backend)
    backend = select_backend(backend, boxes1, boxes2)
    dtype = torch.promote_types(boxes1.dtype, boxes2.dtype)
    if not dtype.is_floating_point:
        dtype = torch.float32
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    boxes1, boxes2 = boxes1.to(wide), boxes2.to(wide)
    if backend == "mmcv":
        return _mmcv_iou(boxes1, boxes2, aligned, mode).to(dtype)
    if backend == "triton":
        return _triton_iou(boxes1, boxes2, aligned, mode).to(dtype)
    overlap = _aligned_in_chunks(boxes1, boxes2, mode) if aligned else _pairwise(boxes1, boxes2, mode)
    return overlap.to(dtype)


def _check(boxes1: Tensor, boxes2: Tensor, aligned: bool, mode: str, backend: str | None) -> None:
    check_tensors(boxes1=boxes1, boxes2=boxes2)
    for name, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        if boxes.ndim != 2 or boxes.shape[1] != 5:
            raise ValueError(f"{name} must have shape (N, 5), not {tuple(boxes.shape)}")
    if aligned and len(boxes1) != len(boxes2):
        raise ValueError(f"aligned boxes must be equally many, not {len(boxes1)} and {len(boxes2)}")
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}: choose one of {', '.join(MODES)}")
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}: choose one of {', '.join(BACKENDS)}")


def _mmcv_iou(boxes1: Tensor, boxes2: Tensor, aligned: bool, mode: str) -> Tensor:
    from mmcv.ops import box_iou_rotated

    return box_iou_rotated(boxes1, boxes2, mode=mode, aligned=aligned)


def _triton_iou(boxes1: Tensor, boxes2: Tensor, aligned: bool, mode: str) -> Tensor:
    from rotated_atss.ops.kernels.gradient import AlignedOverlap
    from rotated_atss.ops.kernels.iou_kernels import pairwise_overlap

    if aligned:
        return AlignedOverlap.apply(boxes1, boxes2, mode)
    if torch.is_grad_enabled() and (boxes1.requires_grad or boxes2.requires_grad):
        return _pairwise(boxes1, boxes2, mode)
    return pairwise_overlap(boxes1, boxes2, mode)


def intersection_area(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Areas of the intersections of aligned boxes in square pixels, by the closed form.

    Args:
        boxes1: (N, 5) float32 or float64.
        boxes2: (N, 5), the same dtype.

    Returns:
        (N,), not clamped; meaningless for boxes of negative size.
    """
    return _intersection(boxes1.unbind(1), boxes2.unbind(1), screened=False)


def _intersection(boxes1: Columns, boxes2: Columns, screened: bool) -> Tensor:
    _, _, w1, h1, _ = boxes1
    placed = _in_frame(boxes1, boxes2)
    if screened and w1.device.type == "cpu" and not any(each.requires_grad for each in placed):
        return _integrated_where_needed(placed, w1 / 2, h1 / 2, boxes2[2] * boxes2[3])
    return _integrated(placed, w1 / 2, h1 / 2)


def _in_frame(boxes1: Columns, boxes2: Columns) -> Sequence[Tensor]:
    """Six tensors: centre of each second box in the first one's frame, half its width axis, half its height axis."""
    (x1, y1, _, _, angle1), (x2, y2, w2, h2, angle2) = boxes1, boxes2
    dx, dy, cos, sin = x2 - x1, y2 - y1, angle1.cos(), angle1.sin()
    cx, cy = dx * cos + dy * sin, dy * cos - dx * sin
    turn = angle2 - angle1
    cos, sin, half_width, half_height = turn.cos(), turn.sin(), w2 / 2, h2 / 2
    return cx, cy, half_width * cos, half_width * sin, half_height * -sin, half_height * cos


def _integrated_where_needed(placed: Sequence[Tensor], a: Tensor, b: Tensor, area2: Tensor) -> Tensor:
    """:func:`_integrated`, but a second box that lies in the first one has its own area, and one that lies beside it
    along an axis of the first none.
    """
    cx, cy, ux, uy, vx, vy = (each.abs() for each in placed)
    ux += vx  # how far the second box reaches along the frame's axes
    uy += vy
    inside = (cx + ux <= a) & (cy + uy <= b)
    apart = (cx - ux >= a) | (cy - uy >= b)
    area = torch.where(inside, area2, 0.0)
    flat, needed = area.view(-1), [each.expand_as(area).flatten() for each in (*placed, a, b)]
    for open_ in torch.nonzero(~(inside | apart).view(-1)).squeeze(1).split(_PAIRS_PER_CHUNK["cpu"]):
        *chosen, half_width, half_height = (each.index_select(0, open_) for each in needed)
        flat.index_copy_(0, open_, _integrated(chosen, half_width, half_height))
    return area


def _integrated(placed: Sequence[Tensor], a: Tensor, b: Tensor) -> Tensor:
    """(N,) the area that boxes placed by :func:`_in_frame` share with the frame's box of half sides ``a, b``."""
    cx, cy, ux, uy, vx, vy = placed
    # B's edges in pairs: two along +-u with midpoints c - v and c + v, two along +-v with midpoints c + u and c - u
    mx = torch.stack((cx - vx, cx + vx, cx + ux, cx - ux)).view(2, 2, -1)
    my = torch.stack((cy - vy, cy + vy, cy + uy, cy - uy)).view(2, 2, -1)
    ex, ey = torch.stack((ux, vx))[:, None], torch.stack((uy, vy))[:, None]
    along = _edge_integrals(mx, my, ex, ey, a, b)
    # added by hand: torch's sum picks its order by the tensor's size, and a pair's area must not depend on how many it
    # came with
    return (along[0, 1] - along[0, 0]) + (along[1, 1] - along[1, 0])


def _edge_integrals(mx: Tensor, my: Tensor, ex: Tensor, ey: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Integral of ``clamp(y, -b, b) dx`` over the part with ``|x| <= a`` of the edges ``m + t e``, t from -1 to 1.

    Args:
        mx, my: (2, 2, N) midpoints.
        ex, ey: (2, 1, N) half edges.
        a, b: (N,) half sides of the frame's box.
    """
    one = torch.ones((), dtype=mx.dtype, device=mx.device)
    inverse = 1 / torch.where(ex == 0, one, ex)  # a vertical edge contributes nothing: its ex below is 0
    middle, reach = -mx * inverse, a * inverse.abs()
    t0, t1 = (middle - reach).clamp(-1, 1), (middle + reach).clamp(-1, 1)
    inverse = 1 / torch.where(ey == 0, one, ey)  # a horizontal edge has no breakpoint: any split of it is exact
    middle, reach = -my * inverse, b * inverse.abs()
    s0, s1 = (middle - reach).clamp(t0, t1), (middle + reach).clamp(t0, t1)

    # the clamped y is constant before s0 and after s1, so that each of its two values counts as far as half-way between
    half_way = (s0 + s1) / 2
    y0, y1 = (my + t0 * ey).clamp(-b, b), (my + t1 * ey).clamp(-b, b)
    return ex * (y0 * (half_way - t0) + y1 * (t1 - half_way))


def _aligned(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    return overlap_of_columns(boxes1.unbind(1), boxes2.unbind(1), mode)


def overlap_of_columns(boxes1: Columns, boxes2: Columns, mode: str = "iou", *, screened: bool = False) -> Tensor:
    """:func:`rotated_iou` of boxes given column by column, in float32 or float64; shapes that broadcast spare copies
    where one box meets many. All at once: chunks are the caller's business.

    ``screened`` looks on the CPU for boxes within or beside each other first: it pays where those are more than half of
    the pairs, as of those that assignment compares, and costs a third more where there are none. The results are the
    same but for rounding.
    """
    (_, _, w1, h1, _), (_, _, w2, h2, _) = boxes1, boxes2
    area1, area2 = w1 * h1, w2 * h2
    inter = torch.minimum(_intersection(boxes1, boxes2, screened), torch.minimum(area1, area2))
    # the sum's rounding, measured at 1.1 eps of the first box's height times the longest side: below it nothing is
    # known, and boxes apart must overlap by exactly 0 (NMS at threshold 0 relies on it)
    longest = torch.maximum(w1, torch.maximum(w2, h2))
    known = inter > longest * h1 * (2 * torch.finfo(inter.dtype).eps)
    sized = torch.minimum(torch.minimum(w1, h1), torch.minimum(w2, h2)) > 0
    whole = area1 if mode == "iof" else area1 + area2 - inter
    valid = known & sized & (whole > 0)
    overlap = (inter / torch.where(valid, whole, 1.0)).clamp(0, 1)
    return torch.where(valid, overlap, 0.0).nan_to_num(0.0)


def _aligned_in_chunks(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    step = _PAIRS_PER_CHUNK.get(boxes1.device.type, 1 << 16)
    if len(boxes1) <= step:
        return _aligned(boxes1, boxes2, mode)
    return torch.cat([_aligned(b1, b2, mode) for b1, b2 in zip(boxes1.split(step), boxes2.split(step))])


def _pairwise(boxes1: Tensor, boxes2: Tensor, mode: str) -> Tensor:
    """All with all: enclosing circles rule out most pairs, the exact form sees the rest. Memory: the result and a
    chunk.
    """
    if not len(boxes1) or not len(boxes2):
        return boxes1.new_zeros((len(boxes1), len(boxes2)))
    rows = max(1, _SCREEN_PER_CHUNK // len(boxes2))
    parts = []
    for part in boxes1.split(rows):
        i, j = _touching_circles(part.detach(), boxes2.detach())
        overlap = boxes1.new_zeros((len(part), len(boxes2)))
        parts.append(overlap.index_put((i, j), _aligned_in_chunks(part[i], boxes2[j], mode)) if len(i) else overlap)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _touching_circles(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the pairs whose circumscribed circles meet; a little slack, for rounding must not lose a pair."""
    radius1, radius2 = boxes1[:, 2:4].norm(dim=1) / 2, boxes2[:, 2:4].norm(dim=1) / 2
    distance = (boxes1[:, None, 0] - boxes2[:, 0]).square_()
    distance += (boxes1[:, None, 1] - boxes2[:, 1]).square_()
    reach = (radius1[:, None] + radius2).mul_(1 + 1e-5).square_()
    i, j = torch.nonzero(distance <= reach, as_tuple=True)
    return i, j
