"""Progress bars, by default only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol


class ProgressBar(Protocol):
    """The part of ``tqdm`` that this package uses: an iterable and a context manager that counts finished work."""

    total: Any

    def update(self, n: float = 1) -> Any:
        """Add to the finished work."""

    def __iter__(self) -> Iterator[Any]: ...

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class _HiddenBar:
    """A bar that shows nothing. It does not import tqdm, which would take a tenth of the time of a short command."""

    def __init__(self, iterable: Iterable[Any], total: int | None) -> None:
        self._iterable, self.total = iterable, total

    def update(self, n: float = 1) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(self._iterable)

    def __enter__(self) -> _HiddenBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


def progress_bar(
    iterable: Iterable[Any] | None = None,
    *,
    desc: str | None = None,
    unit: str = "it",
    total: int | None = None,
    show: bool | None = None,
    leave: bool = True,
) -> ProgressBar:
    """Create a progress bar of tqdm, or one that shows nothing.

    Args:
        iterable: Items to iterate over; None for a bar that is advanced with ``update``.
        desc: Text before the bar.
        unit: Name of one item. Numbers of bytes (``"B"``) are printed with a prefix, such as 1.2M.
        total: Number of items, if ``iterable`` has no length.
        show: Show the bar; None shows it if stderr is a terminal.
        leave: Keep the finished bar on the screen.

    Returns:
        The bar, an iterable and a context manager.

    Example:
        >>> [number * 2 for number in progress_bar([1, 2, 3], show=False)]
        [2, 4, 6]
    """
    if not (sys.stderr.isatty() if show is None else show):
        return _HiddenBar(() if iterable is None else iterable, total)
    from tqdm import tqdm

    return tqdm(iterable, desc=desc, unit=unit, total=total, unit_scale=unit == "B", leave=leave)


def print_above_bar(line: str) -> None:
    """Print a line on stderr above the active progress bar.

    Example:
        >>> print_above_bar("P0001.png: not a readable image")
    """
    if "tqdm" not in sys.modules:  # then no bar is shown
        print(line, file=sys.stderr)
        return
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
