"""Which priors can overlap which objects, without asking all of them: priors are put in blocks of neighbours of like
size, and only a block whose bounds meet an object is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rotated_atss.assign.box_forms import horizontal

_BLOCK = 64
# On the CPU what one step computes stays below the size at which torch wakes its threads: on a busy machine those
# cost ten times what they give.
_NUMBERS_PER_STEP = {"cpu": 30_000, "cuda": 1 << 22}


def overlapping_box_pairs(priors: Tensor, objects: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The pairs whose circumscribed horizontal boxes meet or touch, in chunks.

    Args:
        priors: (A, 5) or (A, 4), any boxes; also points as boxes without area.
        objects: (G, 5) or (G, 4).

    Yields:
        (P,) indices of priors and (P,) of objects, ordered by object; all pairs of an object come in one chunk, and
        the chunks in the order of the objects. Boxes with numbers that are not finite meet nothing.
    """
    if not len(priors) or not len(objects):
        return
    bounds, index = _blocks(horizontal(priors))  # 4 times (B, 64), (B, 64)
    x1, y1, x2, y2 = bounds
    outer = (x1.amin(1), y1.amin(1), x2.amax(1), y2.amax(1))
    step = _NUMBERS_PER_STEP.get(priors.device.type, 1 << 16)
    first = 0
    for part in _widened(horizontal(objects)).split(max(1, step // len(index))):
        columns = part.unbind(1)
        row, block = torch.nonzero(_meet([c[:, None] for c in columns], outer), as_tuple=True)
        for run in _runs(row, max(1, step // _BLOCK)):
            of, at = row[run], block[run]
            hit, place = torch.nonzero(_meet([b[at] for b in bounds], [c[of, None] for c in columns]), as_tuple=True)
            yield index[at[hit], place], of[hit] + first
        first += len(part)


def _meet(boxes1: Sequence[Tensor], boxes2: Sequence[Tensor]) -> Tensor:
    """Bool of broadcast corners x1, y1, x2, y2, each a tensor."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = boxes1, boxes2
    return (x1 <= u2) & (u1 <= x2) & (y1 <= v2) & (v1 <= y2)


def _runs(row: Tensor, longest: int) -> Iterator[slice]:
    """Cut sorted ``row`` into slices of at most ``longest`` where that needs no cut within a row."""
    start = end = 0
    for stop in torch.bincount(row).cumsum(0).tolist():
        if stop - start > longest and end > start:
            yield slice(start, end)
            start = end
        end = stop
    if end > start:
        yield slice(start, end)


def _widened(hbbs: Tensor) -> Tensor:
    """A hair larger, for rounding must not lose a pair."""
    hair = hbbs.abs().amax(1, keepdim=True) * 1e-6
    return _only_finite(torch.cat((hbbs[:, :2] - hair, hbbs[:, 2:] + hair), 1))


def _only_finite(hbbs: Tensor) -> Tensor:
    """Boxes with other numbers become one that meets nothing."""
    return torch.where(hbbs.isfinite().all(1, keepdim=True), hbbs, _nothing(hbbs))


def _nothing(like: Tensor) -> Tensor:
    return like.new_tensor((torch.inf, torch.inf, -torch.inf, -torch.inf))


def _blocks(hbbs: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """Corners x1, y1, x2, y2, each (B, 64), and indices (B, 64) of boxes ordered by size, then row, then column of
    cells of that size; the last block is filled with boxes that meet nothing.
    """
    side = (hbbs[:, 2:] - hbbs[:, :2]).amax(1).nan_to_num(1).clamp(1, 2.0**20)
    octave = side.log2().floor()
    cell = ((hbbs[:, :2] + hbbs[:, 2:]) / 2 / octave.exp2()[:, None]).nan_to_num().clamp(-1e6, 1e6).floor().long()
    # 21 bits a coordinate
    index = ((octave.long() << 44) + (cell[:, 1] << 22) + cell[:, 0]).argsort(stable=True)
    spare = -len(index) % _BLOCK
    padded = torch.cat((_only_finite(hbbs)[index], _nothing(hbbs).expand(spare, 4)))
    index = torch.cat((index, index.new_zeros(spare))).view(-1, _BLOCK)
    return tuple(column.reshape(-1, _BLOCK).contiguous() for column in padded.unbind(1)), index
