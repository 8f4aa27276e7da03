"""Jobs over worker processes, few enough at once for the memory."""

from __future__ import annotations

import ctypes
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

Job = TypeVar("Job")
Result = TypeVar("Result")

MAX_MEMORY_BYTES = 8 << 30
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's numbers of what mallopt sets
_MAX_KEPT = 256 << 20  # bytes a worker


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    job_bytes: Sequence[int],
    max_memory_bytes: int = MAX_MEMORY_BYTES,
) -> Iterator[tuple[int, Result]]:
    """Run ``function`` on every job; yield (index of the job, result) in the order in which they finish.

    Args:
        function: Pickled, as jobs and results are; one worker runs it in this process.
        workers: Processes.
        job_bytes: Memory a job will take. Jobs run together only while their sum stays within ``max_memory_bytes``
            (one always runs), the largest first, so that none of them is left alone at the end.

    Raises:
        UserError: A job raised it, or a worker process died. No further job is started then.
    """
    order = sorted(range(len(jobs)), key=lambda index: -job_bytes[index])
    if workers == 1 or len(jobs) <= 1:
        yield from ((index, function(jobs[index])) for index in order)
        return
    pool = _pool(min(workers, len(jobs)))
    running: dict[Future[Result], int] = {}  # future -> index of its job
    try:
        while order or running:
            while order and len(running) <= workers and _fits(order[0], running.values(), job_bytes, max_memory_bytes):
                index = order.pop(0)
                running[_submit(pool, function, jobs[index])] = index
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool:
        raise UserError("a worker process died", hint="out of memory, perhaps: try fewer --workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fits(index: int, running: Collection[int], job_bytes: Sequence[int], max_memory_bytes: int) -> bool:
    taken = sum(job_bytes[other] for other in running)
    return not running or taken + job_bytes[index] <= max_memory_bytes


def _submit(pool: ProcessPoolExecutor, function: Callable[[Job], Result], job: Job) -> Future[Result]:
    with warnings.catch_warnings():  # Python 3.12 warns of every fork beside the idle threads of a BLAS
        warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
        return pool.submit(function, job)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Forking takes milliseconds where a fresh interpreter takes half a second.
    method = "fork" if sys.platform == "linux" else "spawn"
    return ProcessPoolExecutor(workers, multiprocessing.get_context(method), _start_worker)


def _start_worker() -> None:
    os.environ["OPENCV_FOR_THREADS_NUM"] = "1"  # processes are the parallel part
    if "cv2" in sys.modules:  # who merges text needs none; and the thread pool of a forked OpenCV is dead
        sys.modules["cv2"].setNumThreads(0)
    _keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process: end at once, without a traceback each
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _keep_freed_memory() -> None:
    """Let glibc keep what images have freed for the next one. By default it hands arrays of their size back at once,
    and to get them anew, page by page, took a fifth of the time of splitting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    mallopt(_MMAP_THRESHOLD, 32 << 20)  # the largest that it takes
    mallopt(_TRIM_THRESHOLD, _MAX_KEPT)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for jobs forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)
