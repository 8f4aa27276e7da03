"""Process pools that limit the memory of concurrent jobs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_any
from typing import TypeVar

from rotated_atss.errors import UserError
from rotated_atss.io.cluster import run_on_cluster

Job = TypeVar("Job")
Result = TypeVar("Result")

MAX_MEMORY_BYTES = 8 << 30
"""Default limit of the estimated memory of all jobs that run at the same time."""


def available_cores() -> int:
    """Return the number of CPU cores available to this process.

    Example:
        >>> available_cores() >= 1
        True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    job_bytes: Sequence[int],
    max_memory_bytes: int = MAX_MEMORY_BYTES,
    scheduler: str | None = None,
) -> Iterator[tuple[int, Result]]:
    """Run a function on every job in worker processes, or on a Dask cluster, and yield the results as they finish.

    Jobs start in order of descending memory: large jobs take longest, and should not run alone at the end.

    Args:
        function: The function to call. The function, the jobs and the results must be picklable.
        jobs: Arguments of the calls.
        workers: Number of processes. With one worker or one job, the function runs in this process.
        job_bytes: Estimated memory per job, in bytes.
        max_memory_bytes: Limit of the sum of ``job_bytes`` of concurrent jobs; a job above the limit runs alone.
        scheduler: Address of a Dask scheduler. If given, its workers run the jobs, and ``workers`` and
            ``max_memory_bytes`` have no effect (:func:`rotated_atss.io.cluster.run_on_cluster`).

    Yields:
        Index of a job and its result.

    Raises:
        UserError: A job raised a UserError, or a worker process died. No further jobs are started.

    Example:
        >>> sorted(run_jobs(abs, [-1, -2, -3], workers=1, job_bytes=[1, 1, 1]))
        [(0, 1), (1, 2), (2, 3)]
    """
    # The indices of the jobs that have not started, in the order in which they will start.
    waiting = sorted(range(len(jobs)), key=lambda index: -job_bytes[index])
    if scheduler is not None:
        yield from run_on_cluster(function, jobs, waiting, scheduler)
        return
    if workers == 1 or len(jobs) <= 1:
        for index in waiting:
            yield index, function(jobs[index])
        return
    pool = _create_pool(min(workers, len(jobs)))
    running: dict[Future[Result], int] = {}  # future -> index of its job
    try:
        while waiting or running:
            # Submit one job more than there are workers, so that a worker that finishes a job has the next one at once.
            while (
                waiting
                and len(running) <= workers
                and _fits_into_memory(waiting[0], running.values(), job_bytes, max_memory_bytes)
            ):
                index = waiting.pop(0)
                running[_submit(pool, function, jobs[index])] = index
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool:
        raise UserError("a worker process died", hint="possibly out of memory: try fewer --workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fits_into_memory(index: int, running: Collection[int], job_bytes: Sequence[int], max_memory_bytes: int) -> bool:
    """Return whether a job may start, given the memory of the running jobs. If none is running, any job may start.

    ``index`` and ``running`` are indices into ``job_bytes``.
    """
    used_bytes = sum(job_bytes[running_index] for running_index in running)
    return not running or used_bytes + job_bytes[index] <= max_memory_bytes


def _submit(pool: ProcessPoolExecutor, function: Callable[[Job], Result], job: Job) -> Future[Result]:
    # pool.submit starts worker processes. Python 3.12 and later warn when a process with several threads is forked. The
    # other threads of this process are idle threads of BLAS libraries, so the warning is suppressed.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
        return pool.submit(function, job)


def _create_pool(workers: int) -> ProcessPoolExecutor:
    # Forking takes milliseconds, starting a new interpreter half a second. Forking is unsafe on macOS, and Windows does
    # not support it.
    method = "fork" if sys.platform == "linux" else "spawn"
    return ProcessPoolExecutor(workers, multiprocessing.get_context(method), _initialize_worker)


def _initialize_worker() -> None:
    # Each process runs OpenCV on one thread, because the processes together already use all cores. If OpenCV is not
    # imported yet, the environment variable is sufficient. If it is, its thread pool did not survive the fork and must
    # be switched off with setNumThreads(0).
    os.environ["OPENCV_FOR_THREADS_NUM"] = "1"
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # on Ctrl-C workers exit at once, without a traceback per process
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Exit when the parent is killed, instead of waiting for jobs forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])  # ready when the parent has ended
        os._exit(1)
