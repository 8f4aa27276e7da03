"""CPU threads on shared machines: the wait policy of OpenMP and the number of torch's threads.

torch divides a large operation among OpenMP threads; the operation ends when its last thread does. By default, threads
that have nothing to do keep their core busy while they wait ("spin"). If another process needs that core, each
operation waits until the operating system runs all of its threads, and a training step takes several times as long as
with one thread.

Entry points (the command line, ``tools/``) call :func:`set_wait_policy` before torch is imported and
:func:`follow_cpu_load` once. Loops over batches call :func:`update_threads`, which does nothing in programs that have
not called :func:`follow_cpu_load`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence

# Environment variables by which a user chooses how OpenMP threads wait.
_WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# GNU OpenMP reads GOMP_SPINCOUNT, the loop iterations for which an idle thread spins before it sleeps. 200,000
# iterations last for the short time between two operations of torch; with 2,000, a training step on an idle machine
# took 20% longer. The OpenMP of LLVM and Intel (macOS, Windows) reads KMP_BLOCKTIME, the milliseconds for which an idle
# thread spins. With 0, it sleeps at once. Other values of KMP_BLOCKTIME have not been measured.
_WAIT_POLICY = {"GOMP_SPINCOUNT": "200000", "KMP_BLOCKTIME": "0"}

# Environment variables by which a user chooses the number of BLAS threads.
_BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")

_MEASUREMENT_INTERVAL_S = 1.0
# Fractions of a core at which the number of threads changes. For example, a second thread is added at 1.6 spare cores
# and removed below 1.45. Between these limits the number stays as it is, so that it does not follow every small change
# of the load.
_ROUND_UP_FROM, _ROUND_DOWN_BELOW = 0.6, 0.45


def set_wait_policy(environment: MutableMapping[str, str] | None = None) -> bool:
    """Limit the time for which OpenMP threads keep a core busy while they wait, unless the user has chosen a policy.

    Call this before torch is imported; afterwards it has no effect. Child processes inherit the policy.

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
    return _set_unless_chosen(_WAIT_POLICY, _WAIT_VARIABLES, "torch", environment)


def limit_blas_threads(environment: MutableMapping[str, str] | None = None) -> bool:
    """Limit NumPy's BLAS to one thread, unless the user has chosen a number.

    This is for commands that multiply no large matrices. They do not need more threads, and starting these would take a
    fifth of the CPU time of a short command. Call this before NumPy is imported; afterwards it has no effect. Child
    processes inherit the limit.

    Args:
        environment: Environment variables to change; None changes those of this process.

    Returns:
        Whether the limit was set.

    Example:
        >>> environment = {}
        >>> limit_blas_threads(environment), environment
        (True, {'OPENBLAS_NUM_THREADS': '1'})
        >>> limit_blas_threads({"OMP_NUM_THREADS": "4"})
        False
    """
    return _set_unless_chosen({"OPENBLAS_NUM_THREADS": "1"}, _BLAS_VARIABLES, "numpy", environment)


def _set_unless_chosen(
    values: Mapping[str, str], user_variables: Sequence[str], package: str, environment: MutableMapping[str, str] | None
) -> bool:
    """Set environment variables that a package reads at its import, and return whether they were set.

    Args:
        values: Values by name of the variable.
        user_variables: Variables by which a user makes the same choice; if one of them is set, nothing is changed.
        package: Name of the package.
        environment: Environment variables to change. None changes those of this process, unless the package has been
            imported already.
    """
    if environment is None:
        if package in sys.modules:
            return False
        environment = os.environ
    if any(name in environment for name in user_variables):
        return False
    environment.update(values)
    return True


class SpareCores:
    """Measure how many CPU cores other processes leave for this process.

    Args:
        read_times: Function that returns ``(wall, idle, used)`` in seconds, each since a fixed time in the past: wall
            time, the sum of the idle times of the cores, and CPU time of this process. None reads ``/proc/stat``, which
            exists on Linux only.

    Example:
        >>> times = iter([(0.0, 10.0, 5.0), (2.0, 10.5, 6.0)])
        >>> SpareCores(lambda: next(times)).measure()  # (0.5 s idle + 1 s used) / 2 s
        0.75
    """

    def __init__(self, read_times: Callable[[], tuple[float, float, float]] | None = None) -> None:
        self._read_times = read_times or _read_times_from_proc
        self._last_times = self._read_times()

    def measure(self) -> float:
        """Return the mean number of cores that were idle or used by this process since the last call.

        Raises:
            OSError: The operating system does not report the load (only Linux does).
        """
        times = self._read_times()
        wall, idle, used = (now - before for now, before in zip(times, self._last_times))
        self._last_times = times
        return (idle + used) / max(wall, 1e-9)  # wall is 0 if the clock has not advanced since the last call


def _read_times_from_proc() -> tuple[float, float, float]:
    """Return the wall time, the idle time of the cores that this process can use, and its own CPU time, in seconds."""
    cores = {f"cpu{core}" for core in os.sched_getaffinity(0)} if hasattr(os, "sched_getaffinity") else set()
    idle_ticks = 0
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            name, *ticks = line.split()
            if name in cores:
                idle_ticks += int(ticks[3]) + int(ticks[4])  # columns idle and iowait
    return time.monotonic(), idle_ticks / os.sysconf("SC_CLK_TCK"), time.process_time()


class ThreadControl:
    """Choose the number of torch's threads from the cores that other processes leave free.

    Args:
        max_threads: Number of threads on an idle machine.
        measure: Function that returns the mean number of spare cores since its last call.
        interval_s: Shortest time between two measurements, in seconds.

    Example:
        >>> control = ThreadControl(4, measure=lambda: 2.7, interval_s=0)
        >>> control.update(), control.update()
        (3, None)
    """

    def __init__(
        self, max_threads: int, measure: Callable[[], float], interval_s: float = _MEASUREMENT_INTERVAL_S
    ) -> None:
        self.max_threads = self.threads = max_threads
        self._measure, self._interval_s, self._last_time = measure, interval_s, time.monotonic()

    def update(self) -> int | None:
        """Measure the spare cores, unless the last measurement is too recent.

        Returns:
            The new number of threads; None if it does not change.
        """
        now = time.monotonic()
        if now - self._last_time < self._interval_s:
            return None
        self._last_time = now
        spare_cores = self._measure()
        # int(x + 1 - f) rounds x up if its fraction is at least f, and down otherwise.
        lower_limit = int(spare_cores + 1 - _ROUND_UP_FROM)
        upper_limit = int(spare_cores + 1 - _ROUND_DOWN_BELOW)
        # The current number of threads is kept if it lies between the limits.
        threads = min(max(self.threads, lower_limit), upper_limit)
        threads = min(self.max_threads, max(1, threads))
        if threads == self.threads:
            return None
        self.threads = threads
        return threads


_spare_cores: SpareCores | None = None  # None as long as the number of threads does not follow the load
_control: ThreadControl | None = None  # created by the first call of update_threads, which imports torch


def follow_cpu_load() -> bool:
    """Let :func:`update_threads` adapt the number of torch's threads in this process from now on.

    This has no effect if ``OMP_NUM_THREADS`` or ``MKL_NUM_THREADS`` is set, or if the operating system does not report
    the load of each core.

    Returns:
        Whether the number of threads will follow the load.

    Example::

        follow_cpu_load()
    """
    global _spare_cores, _control
    if "OMP_NUM_THREADS" in os.environ or "MKL_NUM_THREADS" in os.environ:
        return False
    try:
        _spare_cores, _control = SpareCores(), None
    except (OSError, AttributeError, ValueError, IndexError):  # /proc/stat does not exist or has an unknown form
        return False
    return True


def stop_following_cpu_load() -> None:
    """Stop adapting the number of threads, for reproducible training.

    The last bits of floating-point results depend on the number of threads.

    Example:
        >>> stop_following_cpu_load()
        >>> update_threads()
    """
    global _spare_cores
    _spare_cores = None


def update_threads() -> str | None:
    """Adapt the number of torch's threads to the load of the machine, at most once per second.

    Returns:
        A line for the user that describes the change; None if the number has not changed.

    Example:
        >>> update_threads()  # None: only entry points follow the load
    """
    global _control
    if _spare_cores is None:
        return None
    import torch

    if _control is None:
        _control = ThreadControl(torch.get_num_threads(), _spare_cores.measure)
    before = _control.threads
    threads = _control.update()
    if threads is None:
        return None
    torch.set_num_threads(threads)
    if threads < before:
        return f"other processes use the CPU: {threads} of {_control.max_threads} threads"
    return f"the CPU is free again: {threads} of {_control.max_threads} threads"
