"""Expansion of index ranges of different lengths, for NumPy arrays and torch tensors.

The searches for overlapping boxes use it. They sort the boxes along one axis. Box i can then overlap only the boxes
from ``starts[i]`` to ``stops[i]`` (exclusive) of the sorted list, and these ranges are expanded into pairs. The search
for overlapping polygons uses NumPy arrays because it must not load torch. Rotated NMS uses CPU and CUDA tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import numpy as np

Array = TypeVar("Array", bound=Any)  # np.ndarray or torch.Tensor


def expand_ranges(starts: Array, stops: Array, max_pairs: int) -> Iterator[tuple[Array, Array]]:
    """Yield all pairs (row, column) with ``starts[row] <= column < stops[row]``, in chunks.

    Args:
        starts: (N,) int64, NumPy array or torch tensor.
        stops: (N,) int64 of the same kind. Ranges with ``stop <= start`` are empty.
        max_pairs: Maximum number of pairs per chunk. A row with more pairs forms its own chunk.

    Yields:
        Rows and columns, (P,) int64 each, ordered by row, then column.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.ragged import expand_ranges
        >>> [(r.tolist(), c.tolist()) for r, c in expand_ranges(np.array([4, 7, 0]), np.array([6, 7, 1]), 100)]
        [([0, 0, 2], [4, 5, 0])]
    """
    arange, repeat = _arange_and_repeat(starts)
    counts = (stops - starts).clip(0)
    ends = counts.cumsum(0)
    for low, high in chunk_bounds(ends, max_pairs):
        chunk_counts = counts[low:high]
        rows = repeat(arange(low, high), chunk_counts)
        pairs_before_chunk = int(ends[low - 1]) if low else 0
        # The pairs of a row begin at position first_pair[row] in the chunk. The column at this position is starts[row],
        # and it increases by 1 per position; the difference of column and position is constant within the row.
        first_pair = ends[low:high] - chunk_counts - pairs_before_chunk
        columns = arange(0, len(rows)) + repeat(starts[low:high] - first_pair, chunk_counts)
        yield rows, columns


def chunk_bounds(ends: Array, max_size: int) -> Iterator[tuple[int, int]]:
    """Divide consecutive items into chunks of bounded total size.

    Args:
        ends: (N,) cumulative sums of the items' sizes, NumPy array or torch tensor.
        max_size: Maximum total size of a chunk. A larger item forms its own chunk.

    Yields:
        ``(start, stop)`` for each chunk: the indices of its first item and of the item after its last one.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.ragged import chunk_bounds
        >>> list(chunk_bounds(np.cumsum([3, 3, 9, 1]), 6))
        [(0, 2), (2, 3), (3, 4)]
    """
    search = np.searchsorted if isinstance(ends, np.ndarray) else _torch().searchsorted
    low = 0
    while low < len(ends):
        size_before = int(ends[low - 1]) if low else 0
        high = max(low + 1, int(search(ends, size_before + max_size, side="right")))
        yield low, high
        low = high


def _arange_and_repeat(array: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return ``arange`` and ``repeat`` of NumPy or of torch, for the kind and device of an array."""
    if isinstance(array, np.ndarray):
        return np.arange, np.repeat
    torch = _torch()
    return partial(torch.arange, device=array.device), torch.repeat_interleave


def _torch() -> Any:
    import torch

    return torch
