"""Progress bars, which are shown only if stderr is a terminal, unless the caller decides otherwise."""

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
    """A bar that shows nothing. It avoids the import of tqdm, which takes a tenth of a short command's run time."""

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
    """Create a progress bar with tqdm, or a bar that shows nothing (see ``show``).

    Args:
        iterable: Items to iterate over; None for a bar that is advanced with ``update``.
        desc: Text before the bar.
        unit: Name of one item. With ``"B"`` (bytes), numbers are abbreviated, for example to 1.2M.
        total: Number of items, if ``iterable`` has no length.
        show: Whether to show the bar. None shows it only if stderr is a terminal.
        leave: Keep the finished bar on the screen.

    Returns:
        The bar, an iterable and a context manager.

    Example:
        >>> [number * 2 for number in progress_bar([1, 2, 3], show=False)]
        [2, 4, 6]
    """
    if show is None:
        show = sys.stderr.isatty()
    if not show:
        return _HiddenBar(() if iterable is None else iterable, total)
    from tqdm import tqdm

    return tqdm(iterable, desc=desc, unit=unit, total=total, unit_scale=unit == "B", leave=leave)


def print_above_bar(line: str) -> None:
    """Print a line on stderr above the active progress bar.

    Example:
        >>> print_above_bar("P0001.png: not a readable image")
    """
    if "tqdm" not in sys.modules:  # No bar can be active, because progress_bar imports tqdm before it shows a bar.
        print(line, file=sys.stderr)
        return
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
