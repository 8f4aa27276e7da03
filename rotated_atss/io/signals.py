"""Deferral of signals that end a process, until its work can be saved and continued later."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from signal import Signals
from types import FrameType
from typing import Any

# Slurm sends SIGTERM, or the signal of its option --signal. Windows has no SIGUSR1.
DEFERRED_SIGNALS = ("SIGTERM", "SIGUSR1")


class TerminatedError(BaseException):
    """Exception that ends a process after a deferred signal.

    Args:
        number: The signal.
        note: What the process has done since the signal, for the message.

    Example:
        >>> print(TerminatedError(signal.SIGTERM, "a.pth is written"))
        terminated by SIGTERM: a.pth is written
    """

    def __init__(self, number: Signals, note: str = "") -> None:
        super().__init__(f"terminated by {number.name}" + (f": {note}" if note else ""))
        self.signal, self.note = number, note

    @property
    def exit_code(self) -> int:
        """Exit code of the process: 128 plus the number of the signal."""
        return 128 + self.signal


@dataclass
class StopRequest:
    """Record of whether a deferred signal has arrived.

    Attributes:
        signal: The signal; None until it arrives.
    """

    signal: Signals | None = None
    _timer: threading.Timer | None = field(default=None, repr=False)

    def record(self, number: Signals, grace_s: float | None = None) -> None:
        """Record the signal.

        Args:
            number: The signal.
            grace_s: Seconds after which the process ends without cleanup, unless :meth:`cancel_time_limit` is called
                before. None sets no limit.
        """
        self.signal = number
        if grace_s is not None:
            self._timer = threading.Timer(grace_s, _exit_without_cleanup, [number, grace_s])
            self._timer.daemon = True
            self._timer.start()

    def cancel_time_limit(self) -> None:
        """Cancel the time limit, because the work has reached a point at which it can be saved."""
        if self._timer is not None:
            self._timer.cancel()


def _exit_without_cleanup(number: Signals, grace_s: float) -> None:
    """End the process from a timer thread, because its main thread may wait forever for another process."""
    error = TerminatedError(number, f"the work could not be saved within {grace_s:g} s")
    print(error, file=sys.stderr, flush=True)
    os._exit(error.exit_code)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing, as a signal handler."""


@contextmanager
def defer_signals(names: Sequence[str] = DEFERRED_SIGNALS, grace_s: float | None = None) -> Iterator[StopRequest]:
    """Record signals that arrive while the block runs, instead of ending the process.

    A second signal ends the process at once. Only the main thread can handle signals; in other threads, this function
    has no effect.

    Args:
        names: Names of the signals; those that the platform lacks are left out.
        grace_s: As for :meth:`StopRequest.record`.

    Example:
        >>> with defer_signals(["SIGTERM"]) as stop:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     stop.signal.name
        'SIGTERM'
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    process_id = os.getpid()
    previous_handlers: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process_id:  # a forked process, which has inherited this handler; its parent ends it
            return
        for deferred in previous_handlers:
            signal.signal(deferred, signal.SIG_DFL)  # a second signal ends the process
        # A signal to the whole process group also ends data loading processes. torch's handler of SIGCHLD is replaced,
        # because it would then raise an error at any point of the work. For SIG_DFL, Python would print a traceback if
        # a SIGCHLD has already arrived.
        if hasattr(signal, "SIGCHLD"):
            signal.signal(signal.SIGCHLD, _ignore)
        stop.record(Signals(number), grace_s)

    for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
        previous_handlers[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        stop.cancel_time_limit()
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
