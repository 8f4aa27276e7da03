"""Update a status line in place on a terminal, and print colored text on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any

MIN_SECONDS = 0.1  # shortest time between two updates
_YELLOW, _RESET = "\x1b[33m", "\x1b[0m"


class StatusLine:
    """The last line of stderr, updated in place if stderr is a terminal.

    Args:
        show: Whether to show the line. None shows it only if stderr is a terminal.

    Example:
        >>> line = StatusLine(show=False)
        >>> line.update("epoch 1/12")
        >>> line.is_shown
        False
    """

    def __init__(self, show: bool | None = None) -> None:
        self.is_shown = is_terminal(sys.stderr) if show is None else show
        self._length = 0  # number of characters that the line shows
        self._last_update = 0.0  # time of the last update

    def update(self, text: str, force: bool = False) -> None:
        """Replace the text of the line. A call less than :data:`MIN_SECONDS` after the last update has no effect.

        Args:
            text: Text without control characters. It is cut off at the width of the terminal.
            force: Replace the text even if the last update was less than :data:`MIN_SECONDS` ago.
        """
        now = time.monotonic()
        if not self.is_shown or (not force and now - self._last_update < MIN_SECONDS):
            return
        text = text[: shutil.get_terminal_size().columns - 1]  # Some terminals wrap a line that has the full width.
        self._write(f"\r{text}{' ' * (self._length - len(text))}")
        self._length, self._last_update = len(text), now

    def clear(self) -> None:
        """Remove the line, so that other text can be printed."""
        if self._length:
            self._write(f"\r{' ' * self._length}\r")
            self._length, self._last_update = 0, 0.0

    def keep(self) -> None:
        """Leave the line on the screen, so that the next update starts a new line."""
        if self._length:
            self._write("\n")
            self._length, self._last_update = 0, 0.0

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal that can update a line.

    Example:
        >>> import io
        >>> is_terminal(io.StringIO())
        False
    """
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def terminal_width(stream: Any) -> int | None:
    """Return the number of characters per line of a terminal; None if the stream is not a terminal.

    The environment variable ``COLUMNS`` takes precedence over the size of the terminal.

    Example:
        >>> import io
        >>> terminal_width(io.StringIO()) is None
        True
    """
    return shutil.get_terminal_size().columns if is_terminal(stream) else None


def emphasize(text: str, stream: Any) -> str:
    """Color a string yellow if the stream is a terminal and ``NO_COLOR`` is not set.

    The environment variable ``NO_COLOR`` is defined at https://no-color.org. Any value other than the empty string
    disables colors.

    Example:
        >>> import io
        >>> emphasize("warning:", io.StringIO())
        'warning:'
    """
    has_colors = is_terminal(stream) and not os.environ.get("NO_COLOR")
    return f"{_YELLOW}{text}{_RESET}" if has_colors else text
