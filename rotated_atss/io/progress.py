"""Progress bars, by default only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(
    iterable: Iterable[Any] | None = None,
    *,
    desc: str | None = None,
    unit: str = "it",
    total: int | None = None,
    show: bool | None = None,
    leave: bool = True,
) -> tqdm:
    """Create a tqdm progress bar.

    Args:
        iterable: Items to iterate over; None for a bar that is advanced with ``update``.
        desc: Text before the bar.
        unit: Name of one item. Bytes (``"B"``) are printed with a prefix, as in 1.2M.
        total: Number of items, if ``iterable`` has no length.
        show: Show the bar; None shows it if stderr is a terminal.
        leave: Keep the finished bar on the screen.

    Returns:
        The bar, an iterable and a context manager.

    Example:
        >>> [number * 2 for number in progress_bar([1, 2, 3], show=False)]
        [2, 4, 6]
    """
    disable = None if show is None else not show  # tqdm's None means: disable without a terminal
    return tqdm(iterable, desc=desc, unit=unit, total=total, unit_scale=unit == "B", leave=leave, disable=disable)


def print_above_bar(line: str) -> None:
    """Print a line on stderr above the active progress bar.

    Example:
        >>> print_above_bar("P0001.png: not a readable image")
    """
    tqdm.write(line, file=sys.stderr)
