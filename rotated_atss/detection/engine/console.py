"""What a run prints: messages of this package, and warnings. MMEngine's messages go to the log file only."""

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

FILE_ONLY = {"extra": {"file_only": True}}  # keyword arguments of a call such as logger.info, for the log file only

# Warnings of MMEngine, MMCV and MMDetection that contain one of these texts are not printed. The second one asks for a
# server even if a local database is used.
_NOTICES = ("deprecated", "make sure that the mlflow server is running")
_FRAMEWORK = tuple(str(Path(package.__file__).parent) for package in (mmengine, mmcv, mmdet) if package.__file__)


@dataclass
class _Run:
    """Settings of a block of :func:`console_of_run`, and the handlers created in it."""

    is_quiet: bool = False
    consoles: list[ConsoleHandler] = field(default_factory=list)


_run: ContextVar[_Run | None] = ContextVar("run", default=None)


@contextmanager
def console_of_run(quiet: bool) -> Iterator[None]:
    """Set whether the runs in this block print messages. At the end, keep the last progress line on the screen.

    Args:
        quiet: Print only warnings.

    Example:
        >>> with console_of_run(quiet=True):
        ...     ConsoleHandler().write("device: cpu")
    """
    run = _Run(quiet)
    token = _run.set(run)
    try:
        yield
    finally:
        _run.reset(token)
        for console in run.consoles:
            console.status.keep()


class ConsoleHandler(logging.Handler):
    """Print log messages above a line that is updated in place: messages on stdout, warnings on stderr.

    Messages of MMEngine, MMDetection and mmcv are not printed, and neither are their warnings of deprecated functions,
    which a user of the command line cannot fix.

    Args:
        level: Level below which nothing is printed.

    Example:
        >>> ConsoleHandler().write("device: cpu")
        device: cpu
    """

    def __init__(self, level: int = logging.INFO) -> None:
        super().__init__(level)
        run = _run.get() or _Run()
        run.consoles.append(self)
        self.is_quiet = run.is_quiet or level > logging.INFO
        self.shows_messages = True  # False during a validation, of which one line is printed
        self.status = StatusLine(show=False if self.is_quiet else None)

    @property
    def stream(self) -> Any:
        """Stream of the messages. MMEngine's MLflow backend reads this attribute of every handler."""
        return sys.stdout

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record if it concerns the user."""
        try:
            if record.levelno >= logging.WARNING and not _is_upstream_notice(record):
                self._warn(record.getMessage())
            elif self.shows_messages and not _is_for_file(record):
                self.write(record.getMessage())
        except Exception:  # as in logging.StreamHandler: a broken stream does not end the run
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
    """Replace the handlers of a logger that print by a :class:`ConsoleHandler`; handlers that write files stay.

    Args:
        logger: A logger of MMEngine.

    Returns:
        The new handler, with the lowest level and all filters of the old ones.

    Example:
        >>> logger = logging.Logger("demo")
        >>> logger.addHandler(logging.StreamHandler())
        >>> _ = install_console(logger)
        >>> logger.info("device: cpu")
        device: cpu
    """
    # Two runs of a config that begin in the same second share one logger of MMEngine, which then has a ConsoleHandler.
    kinds = (logging.StreamHandler, ConsoleHandler)
    printing = [handler for handler in logger.handlers if type(handler) in kinds]
    lowest = min((handler.level for handler in printing), default=logging.ERROR)
    console = ConsoleHandler(lowest or logging.INFO)  # the level NOTSET is 0 and would print debug messages
    for handler in printing:
        console.filters.extend(handler.filters)
        logger.handlers.remove(handler)
    logger.handlers.insert(0, console)
    return console


def _is_for_file(record: logging.LogRecord) -> bool:
    return getattr(record, "file_only", False) or record.pathname.startswith(_FRAMEWORK)


def _is_upstream_notice(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return record.pathname.startswith(_FRAMEWORK) and any(part in message for part in _NOTICES)
