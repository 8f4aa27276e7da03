"""What a run prints: its own messages and warnings. MMEngine's messages go to the log file only."""

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

FILE_ONLY = {"extra": {"file_only": True}}  # arguments of a logger's call, for a message of the log file only

# Parts of warnings that are not printed. MMEngine's second one asks for a server even if a local database is used.
_NOTICES = ("deprecated", "make sure that the mlflow server is running")
_FRAMEWORK = tuple(str(Path(package.__file__).parent) for package in (mmengine, mmcv, mmdet) if package.__file__)


@dataclass
class _Run:
    is_quiet: bool = False
    consoles: list[ConsoleHandler] = field(default_factory=list)


_run: ContextVar[_Run | None] = ContextVar("run", default=None)


@contextmanager
def console_of_run(quiet: bool) -> Iterator[None]:
    """Set what the runs of this block print, and end a line that is updated in place when the block ends.

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
    """Print log messages: those of this package on stdout, warnings on stderr, above a line that is updated in place.

    Of MMEngine, MMDetection and mmcv only warnings are printed, except for those about deprecated functions, against
    which a user of the command line can do nothing.

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
        self.shows_messages = True  # False in a validation, whose result is one line
        self.status = StatusLine(show=False if self.is_quiet else None)

    @property
    def stream(self) -> Any:
        """The stream of messages, which MLflow's backend in MMEngine asks every handler for."""
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
    """Replace the handlers of a logger that print by a :class:`ConsoleHandler`; those that write files stay.

    Args:
        logger: A logger of MMEngine.

    Returns:
        The new handler, with the level and the filters of the old one.

    Example:
        >>> logger = logging.Logger("demo")
        >>> logger.addHandler(logging.StreamHandler())
        >>> _ = install_console(logger)
        >>> logger.info("device: cpu")
        device: cpu
    """
    # Two runs of a config that begin in the same second share one of MMEngine's loggers: it has a ConsoleHandler then.
    kinds = (logging.StreamHandler, ConsoleHandler)
    printing = [handler for handler in logger.handlers if type(handler) in kinds]
    lowest = min((handler.level for handler in printing), default=logging.ERROR)
    console = ConsoleHandler(lowest or logging.INFO)  # NOTSET is 0
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
