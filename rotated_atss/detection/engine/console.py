"""Print messages of this package and warnings on the console; MMEngine's messages go to the log file only."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mmcv
import mmdet
import mmengine

from rotated_atss.errors import printable
from rotated_atss.io.status_line import StatusLine, emphasize

# Keyword arguments of logger.info for messages that are written to the log file only.
FILE_ONLY = {"extra": {"file_only": True}}

# Warnings of MMEngine, MMCV and MMDetection that contain one of these strings are not printed. MLflow's warning
# asks for a server even if a local database is used.
_SUPPRESSED_WARNINGS = ("deprecated", "make sure that the mlflow server is running")
_FRAMEWORK_DIRS = tuple(str(Path(package.__file__).parent) for package in (mmengine, mmcv, mmdet) if package.__file__)


@dataclass
class _ConsoleSettings:
    """Settings of a :func:`configure_console` block, and the handlers created in it."""

    is_quiet: bool = False
    consoles: list[ConsoleHandler] = field(default_factory=list)


_settings: ContextVar[_ConsoleSettings | None] = ContextVar("console_settings", default=None)


@contextmanager
def configure_console(quiet: bool) -> Iterator[None]:
    """Set whether runs in this block print messages. When the block ends, the last progress line stays on the screen.

    Args:
        quiet: Print only warnings.

    Example:
        >>> with configure_console(quiet=True):
        ...     ConsoleHandler().write("device: cpu")
    """
    settings = _ConsoleSettings(quiet)
    token = _settings.set(settings)
    try:
        yield
    finally:
        _settings.reset(token)
        for console in settings.consoles:
            console.status.keep()


class ConsoleHandler(logging.Handler):
    """Print log messages on stdout and warnings on stderr, above a status line that is updated in place.

    Messages of MMEngine, MMDetection and mmcv are not printed. Neither are their deprecation warnings, which a user of
    the command line cannot fix.

    Args:
        level: Level below which nothing is printed.

    Example:
        >>> ConsoleHandler().write("device: cpu")
        device: cpu
    """

    def __init__(self, level: int = logging.INFO) -> None:
        super().__init__(level)
        settings = _settings.get() or _ConsoleSettings()
        settings.consoles.append(self)
        self.is_quiet = settings.is_quiet or level > logging.INFO  # logging applies the level, but write() does not
        self.shows_messages = True  # set to False during a validation run, which prints only its result
        self.status = StatusLine(show=False if self.is_quiet else None)  # None means to show it only on a terminal

    @property
    def stream(self) -> Any:
        """Stream of the messages. MMEngine's MLflow backend reads this attribute of every handler."""
        return sys.stdout

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record if it concerns the user."""
        try:
            if record.levelno >= logging.WARNING:
                if not _is_suppressed_warning(record):
                    self._warn(record.getMessage())
            elif self.shows_messages and not _is_file_only(record):
                self.write(record.getMessage())
        except Exception:  # a broken stream must not end the run; logging.StreamHandler catches all exceptions, too
            self.handleError(record)

    def write(self, text: str) -> None:
        """Print lines on stdout, unless the console is quiet."""
        if not self.is_quiet:
            self.status.clear()
            print(text, flush=True)

    def _warn(self, text: str) -> None:
        self.status.clear()
        print(f"{emphasize('warning:', sys.stderr)} {printable(text)}", file=sys.stderr, flush=True)


def install_console(logger: logging.Logger) -> ConsoleHandler:
    """Replace the printing handlers of a logger by one :class:`ConsoleHandler`; handlers that write files stay.

    Args:
        logger: A logger of MMEngine.

    Returns:
        The new handler, with all filters of the old handlers and the lowest of their levels.

    Example:
        >>> logger = logging.Logger("demo")
        >>> logger.addHandler(logging.StreamHandler())
        >>> _ = install_console(logger)
        >>> logger.info("device: cpu")
        device: cpu
    """
    # If two runs of the same config begin in the same second, they share one logger of MMEngine. For the second run,
    # the logger already has a ConsoleHandler.
    printing_types = (logging.StreamHandler, ConsoleHandler)
    # Exact types, because isinstance would include FileHandler, a subclass of StreamHandler.
    printing_handlers = [handler for handler in logger.handlers if type(handler) in printing_types]
    # In each process except the main process, MMEngine sets the level of the handler to ERROR.
    lowest_level = min((handler.level for handler in printing_handlers), default=logging.ERROR)
    level = lowest_level or logging.INFO  # the level NOTSET is 0 and would print debug messages
    console = ConsoleHandler(level)
    for handler in printing_handlers:
        console.filters.extend(handler.filters)
        logger.handlers.remove(handler)
    logger.handlers.insert(0, console)
    return console


def _is_file_only(record: logging.LogRecord) -> bool:
    return getattr(record, "file_only", False) or record.pathname.startswith(_FRAMEWORK_DIRS)


def _is_suppressed_warning(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return record.pathname.startswith(_FRAMEWORK_DIRS) and any(part in message for part in _SUPPRESSED_WARNINGS)
