"""CPU threads on shared machines: the wait policy of OpenMP and the number of torch's threads.

torch splits a large operation over the threads of OpenMP, and the operation ends when the last of them does. By
default threads that wait keep their core busy ("spin"). If another process needs that core, each operation waits for
the scheduler, and a training step takes several times as long as with one thread.

Entry points (the command line, ``tools/``) call :func:`set_wait_policy` before torch is imported and
:func:`follow_cpu_load` once; loops over batches call :func:`update_threads`, which does nothing in other programs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, MutableMapping

# Variables with which the user has chosen how OpenMP's threads wait.
_WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# GNU OpenMP reads the first, LLVM's and Intel's (macOS, Windows) the second. The spin bridges the pause between two
# operations: with a hundredth of it a training step on an idle machine took a fifth longer. On a busy machine the
# number of threads follows the load, and one thread waits for no other.
_WAIT_POLICY = {"GOMP_SPINCOUNT": "200000", "KMP_BLOCKTIME": "0"}

_SECONDS_PER_MEASUREMENT = 1.0
# 1.6 spare cores start a second thread; below 1.45 it ends. The distance keeps short loads from changing the number.
_ROUND_UP_FROM, _ROUND_DOWN_BELOW = 0.6, 0.45


def set_wait_policy(environment: MutableMapping[str, str] | None = None) -> bool:
    """Limit the time for which OpenMP's threads keep a core busy while they wait, unless the user has chosen a policy.

    Has no effect once torch is imported. Child processes inherit the policy.

    Args:
        environment: Environment variables to change; None changes those of this process.

    Returns:
        Whether the policy was set.

    Example:
        >>> environment = {}
        >>> set_wait_policy(environment), sorted(environment)
        (True, ['GOMP_SPINCOUNT', 'KMP_BLOCKTIME'])
        >>> set_wait_policy({"OMP_WAIT_POLICY": "ACTIVE"})
        False
    """
    if environment is None:
        if "torch" in sys.modules:
            return False
        environment = os.environ
    if any(name in environment for name in _WAIT_VARIABLES):
        return False
    environment.update(_WAIT_POLICY)
    return True


class SpareCores:
    """Measure how many of this process's CPU cores other processes leave to it.

    Args:
        clock: Returns ``(seconds, idle, own)``: wall time, and the idle time of the cores and the CPU time of this
            process, in seconds since some moment. None reads Linux's ``/proc/stat``.

    Example:
        >>> samples = iter([(0.0, 10.0, 5.0), (2.0, 10.5, 6.0)])
        >>> SpareCores(lambda: next(samples)).measure()
        0.75
    """

    def __init__(self, clock: Callable[[], tuple[float, float, float]] | None = None) -> None:
        self._clock = clock or _sample
        self._last = self._clock()

    def measure(self) -> float:
        """Return the mean number of cores that were idle or used by this process since the last call.

        Raises:
            OSError: The operating system does not report the load (only Linux does).
        """
        sample, last = self._clock(), self._last
        seconds, idle, own = (now - before for now, before in zip(sample, last))
        self._last = sample
        return (idle + own) / max(seconds, 1e-9)


def _sample() -> tuple[float, float, float]:
    cores = {f"cpu{core}" for core in os.sched_getaffinity(0)} if hasattr(os, "sched_getaffinity") else set()
    idle = 0
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            name, *ticks = line.split()
            if name in cores:
                idle += int(ticks[3]) + int(ticks[4])  # idle and waiting for disks
    return time.monotonic(), idle / os.sysconf("SC_CLK_TCK"), time.process_time()


class ThreadControl:
    """Choose the number of torch's threads from the cores that other processes leave free.

    Args:
        max_threads: Number of threads on an idle machine.
        measure: Returns the number of spare cores since its last call.
        seconds: Time between two measurements.

    Example:
        >>> control = ThreadControl(4, measure=lambda: 2.7, seconds=0)
        >>> control.update(), control.update()
        (3, None)
    """

    def __init__(
        self, max_threads: int, measure: Callable[[], float], seconds: float = _SECONDS_PER_MEASUREMENT
    ) -> None:
        self.max_threads = self.threads = max_threads
        self._measure, self._seconds, self._begin = measure, seconds, time.monotonic()

    def update(self) -> int | None:
        """Return the new number of threads, or None if it does not change."""
        now = time.monotonic()
        if now - self._begin < self._seconds:
            return None
        self._begin = now
        spare = self._measure()
        lowest, highest = int(spare + 1 - _ROUND_UP_FROM), int(spare + 1 - _ROUND_DOWN_BELOW)
        threads = min(self.max_threads, max(1, lowest, min(self.threads, highest)))
        if threads == self.threads:
            return None
        self.threads = threads
        return threads


_spare_cores: SpareCores | None = None
_control: ThreadControl | None = None


def follow_cpu_load() -> bool:
    """Let :func:`update_threads` adapt the number of torch's threads in this process from now on.

    Does nothing if ``OMP_NUM_THREADS`` or ``MKL_NUM_THREADS`` is set, or if the operating system does not report the
    load of each core.

    Returns:
        Whether the load is measured.

    Example::

        follow_cpu_load()
    """
    global _spare_cores, _control
    if "OMP_NUM_THREADS" in os.environ or "MKL_NUM_THREADS" in os.environ:
        return False
    try:
        _spare_cores, _control = SpareCores(), None
    except (OSError, AttributeError, ValueError, IndexError):
        return False
    return True


def keep_threads() -> None:
    """Stop adapting: results that must be reproducible bit by bit depend on the number of threads.

    Example:
        >>> keep_threads()
        >>> update_threads()
    """
    global _spare_cores
    _spare_cores = None


def update_threads() -> str | None:
    """Adapt the number of torch's threads to the load of the machine, at most once per second.

    Returns:
        A line that describes a change, or None.

    Example:
        >>> update_threads()  # None: only entry points follow the load
    """
    global _control
    if _spare_cores is None:
        return None
    import torch

    if _control is None:
        _control = ThreadControl(torch.get_num_threads(), _spare_cores.measure)
    before, threads = _control.threads, _control.update()
    if threads is None:
        return None
    torch.set_num_threads(threads)
    if threads < before:
        return f"other processes use the CPU: {threads} of {_control.max_threads} threads"
    return f"the CPU is free again: {threads} of {_control.max_threads} threads"
