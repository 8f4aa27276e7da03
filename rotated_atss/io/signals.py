"""Defer the signals that would end a process, so that it can first save its work and a later run can continue it."""

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

# Slurm sends SIGTERM to a job that must end. With Slurm's option --signal, the job first gets another signal, often
# SIGUSR1. Windows has no SIGUSR1.
DEFERRED_SIGNALS = ("SIGTERM", "SIGUSR1")


class TerminatedError(BaseException):
    """Exception that ends a process after a deferred signal.

    Args:
        number: The signal.
        note: What the process has done since the signal arrived. This text is a part of the message.

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
    """State of a deferred signal: whether it has arrived, and the time limit for saving the work.

    Attributes:
        signal: The signal, or None if it has not arrived.
    """

    signal: Signals | None = None
    _timer: threading.Timer | None = field(default=None, repr=False)

    def record(self, number: Signals, grace_s: float | None = None) -> None:
        """Record that the signal has arrived.

        Args:
            number: The signal.
            grace_s: Time limit in seconds. When it has passed, the process ends without cleanup, unless
                :meth:`cancel_time_limit` was called. None sets no limit.
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
    """Handle a signal by doing nothing."""


@contextmanager
def defer_signals(names: Sequence[str] = DEFERRED_SIGNALS, grace_s: float | None = None) -> Iterator[StopRequest]:
    """Record the first signal that arrives while the block runs, so that it does not end the process.

    A second signal ends the process at once. Only the main thread can handle signals; in other threads, this function
    has no effect.

    Args:
        names: Names of the signals to defer. Names that the platform does not have are ignored.
        grace_s: Seconds between the signal and the end of the process (:meth:`StopRequest.record`).

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
        # Forked processes inherit this handler. They ignore the signal, because their parent ends them.
        if os.getpid() != process_id:
            return
        for deferred in previous_handlers:
            signal.signal(deferred, signal.SIG_DFL)  # a second signal ends the process
        # If the signal was sent to the whole process group, it also ends the data loading processes, and this process
        # receives SIGCHLD. torch's handler of SIGCHLD would raise an error, which could interrupt the work at any
        # point. Therefore, the handler is replaced by a function that does nothing. SIG_DFL cannot be used, because
        # Python prints a traceback if a SIGCHLD has already arrived when the handler is set to SIG_DFL.
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
