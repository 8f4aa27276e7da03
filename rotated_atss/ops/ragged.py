"""Expansion of index ranges of different lengths, for NumPy arrays and torch tensors.

Polygon operations use NumPy alone and never load torch; rotated NMS runs on CPU and CUDA tensors. Both sweep over
sorted boxes and expand "row i overlaps columns start[i] to stop[i]" into pairs.
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
        max_pairs: Size of a chunk. A row with more pairs forms a chunk alone.

    Yields:
        Rows and columns, (P,) int64 each, ordered by row, then column.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.ragged import expand_ranges
        >>> [(r.tolist(), c.tolist()) for r, c in expand_ranges(np.array([4, 7, 0]), np.array([6, 7, 1]), 100)]
        [([0, 0, 2], [4, 5, 0])]
    """
    arange, repeat = _functions_for(starts)
    counts = (stops - starts).clip(0)
    ends = counts.cumsum(0)
    for low, high in chunk_bounds(ends, max_pairs):
        part = counts[low:high]
        rows = repeat(arange(low, high), part)
        first = ends[low:high] - part - (int(ends[low - 1]) if low else 0)  # of a row's pairs in the chunk
        yield rows, arange(0, len(rows)) + repeat(starts[low:high] - first, part)


def chunk_bounds(ends: Array, max_size: int) -> Iterator[tuple[int, int]]:
    """Cut consecutive items into chunks of a bounded total size.

    Args:
        ends: (N,) cumulative sums of the items' sizes, NumPy array or torch tensor.
        max_size: Total size of a chunk. A larger item forms a chunk alone.

    Yields:
        First and last (exclusive) item of each chunk.

    Example:
        >>> import numpy as np
        >>> from rotated_atss.ops.ragged import chunk_bounds
        >>> list(chunk_bounds(np.cumsum([3, 3, 9, 1]), 6))
        [(0, 2), (2, 3), (3, 4)]
    """
    search = np.searchsorted if isinstance(ends, np.ndarray) else _torch().searchsorted
    low = 0
    while low < len(ends):
        done = int(ends[low - 1]) if low else 0
        high = max(low + 1, int(search(ends, done + max_size, side="right")))
        yield low, high
        low = high


def _functions_for(array: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return ``arange`` and ``repeat`` for the kind and device of an array."""
    if isinstance(array, np.ndarray):
        return np.arange, np.repeat
    torch = _torch()
    return partial(torch.arange, device=array.device), torch.repeat_interleave


def _torch() -> Any:
    import torch

    return torch
