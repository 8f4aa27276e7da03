"""Progress bars, shown on a terminal only unless asked for otherwise."""

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
        iterable: What to iterate over; None for a bar that is advanced with ``update``.
        desc: Text in front of the bar.
        unit: What is counted. Bytes (``"B"``) are printed with a prefix, as in 1.2M.
        total: Expected count, if ``iterable`` does not have a length.
        show: Show the bar; None shows it where stderr is a terminal.
        leave: Keep the finished bar on the screen.

    Returns:
        The bar, an iterable and a context manager.

    Example:
        >>> from rotated_atss.io.progress import progress_bar
        >>> [number * 2 for number in progress_bar([1, 2, 3], show=False)]
        [2, 4, 6]
    """
    disable = None if show is None else not show  # tqdm looks for a terminal when this is None
    return tqdm(iterable, desc=desc, unit=unit, total=total, unit_scale=unit == "B", leave=leave, disable=disable)


def print_above_bar(line: str) -> None:
    """Print a line on stderr without breaking an active progress bar."""
    tqdm.write(line, file=sys.stderr)
