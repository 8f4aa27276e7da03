"""Execution of jobs on the workers of an existing Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from distributed import Client, Future

Job = TypeVar("Job")
Result = TypeVar("Result")

CONNECT_TIMEOUT_S = 10.0
NO_WORKERS_TIMEOUT_S = 60.0  # time for workers to start or to return
# Each thread has one running job, and one job that waits on the worker so that it can start without a delay.
_JOBS_PER_THREAD = 2
_POLL_S = 5.0  # while no job ends, the workers are counted at this interval, to notice that all have been lost
_OPTION = "--scheduler"  # error messages name this option as the cause


def run_on_cluster(
    function: Callable[[Job], Result], jobs: Sequence[Job], order: Sequence[int], address: str
) -> Iterator[tuple[int, Result]]:
    """Run a function on every job on a Dask cluster and yield the results as they finish.

    If a worker dies, the scheduler repeats its jobs on other workers, including finished jobs whose results have not
    been fetched yet. A job can therefore run twice, and must write the same files each time.

    Args:
        function: A function of this package, which the workers import. The jobs and results must be picklable.
        jobs: Arguments of the calls. Paths in them must be absolute, on a file system that the workers share.
        order: Indices of the jobs, in the order in which they start.
        address: Address of the scheduler, such as ``tcp://host:8786``, or the path of the file that
            ``dask scheduler --scheduler-file`` has written.

    Yields:
        Index of a job and its result.

    Raises:
        UserError: A job raised a UserError, no scheduler or worker answers, or several workers died while they ran the
            same job. No further jobs are started.
    """
    import distributed

    waiting = list(reversed(order))  # indices of jobs that are not submitted yet; pop() returns the next one
    with connect(address) as client:
        running: dict[Future, int] = {}  # future -> index of its job
        try:
            while waiting or running:
                # Count at least one thread, so that jobs are submitted even if the cluster has no workers at the
                # moment. The scheduler keeps these jobs until new workers join.
                capacity = _JOBS_PER_THREAD * max(1, sum(client.nthreads().values()))
                while waiting and len(running) < capacity:
                    index = waiting.pop()
                    # pure=False: Dask must not reuse the result of an equal call, since jobs write files
                    running[client.submit(function, jobs[index], pure=False)] = index
                for future in _wait_for_some(client, list(running)):
                    yield running.pop(future), future.result()
        except distributed.scheduler.KilledWorker as error:
            hint = "possibly out of memory: give the workers more memory, or fewer threads"
            raise UserError(f"several workers died while they ran the same job: {error}", hint=hint) from None
        except (CancelledError, distributed.comm.CommClosedError) as error:  # a lost connection cancels the futures
            raise UserError(f"the connection to the scheduler was lost: {error}", where=_OPTION) from None
        finally:
            client.cancel(list(running))


@contextmanager
def connect(address: str) -> Iterator[Client]:
    """Connect to a Dask scheduler.

    Args:
        address: Address of the scheduler, or the path of a scheduler file.

    Raises:
        UserError: The extra ``distributed`` is not installed, or no scheduler answers.
    """
    try:
        import distributed
    except ModuleNotFoundError:
        hint = 'run: pip install "rotated-atss[distributed]"'
        raise UserError("distributed is not installed", where=_OPTION, hint=hint) from None
    scheduler: dict[str, Any] = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        client = distributed.Client(**scheduler, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError, distributed.TimeoutError) as error:
        hint = "start it with: dask scheduler"
        raise UserError(f"no Dask scheduler answers at {address}: {error}", where=_OPTION, hint=hint) from None
    with client:
        yield client


def check_cluster(address: str, paths: Sequence[str | Path]) -> int:
    """Check that every worker of a cluster can import this package and sees the given paths.

    Args:
        address: Address of the scheduler, or the path of a scheduler file.
        paths: Input files and folders, and folders for the output. All of them must exist.

    Returns:
        Number of workers.

    Raises:
        UserError: There is no worker, or a worker does not see a path or cannot import this version of the package.
    """
    from rotated_atss import __version__

    with connect(address) as client:
        import distributed

        try:
            client.wait_for_workers(1, timeout=NO_WORKERS_TIMEOUT_S)
        except (TimeoutError, distributed.TimeoutError):  # different types before Python 3.11
            raise UserError("the cluster has no workers", where=_OPTION, hint="start them with: dask worker") from None
        try:
            answers = client.run(describe_worker, [os.fspath(path) for path in paths])
        except ModuleNotFoundError as error:
            hint = "install rotated-atss in the environment of the workers"
            raise UserError(f"the workers cannot import {error.name}", where=_OPTION, hint=hint) from None
        except OSError as error:  # the worker has died in the meantime
            raise UserError(f"a worker does not answer: {error}", where=_OPTION, hint="run the command again") from None
    for worker, (version, missing_paths) in answers.items():
        if version != __version__:
            what = f"the worker {worker} has version {version} of rotated-atss, this program has {__version__}"
            raise UserError(what, where=_OPTION, hint="install the same version in both environments")
        if missing_paths:
            hint = "inputs and output must be on a file system that all workers share, under the same path"
            raise UserError(f"the worker {worker} does not see {missing_paths[0]}", where=_OPTION, hint=hint)
    return len(answers)


def describe_worker(paths: Sequence[str]) -> tuple[str, list[str]]:
    """Return the version of this package on a worker, and those of ``paths`` that do not exist on the worker.

    Example:
        >>> describe_worker(["/", "/no/such/folder"])[1]
        ['/no/such/folder']
    """
    from rotated_atss import __version__

    return __version__, [path for path in paths if not os.path.exists(path)]


def _wait_for_some(client: Client, futures: Sequence[Future]) -> list[Future]:
    """Wait until at least one future is done, and return all futures that are done.

    Raises:
        UserError: The cluster has had no workers for a minute.
    """
    import distributed

    without_workers_s = 0.0
    while True:
        try:
            with client.as_current():  # distributed.wait has no argument for the client; it uses the current one
                return list(distributed.wait(futures, timeout=_POLL_S, return_when="FIRST_COMPLETED").done)
        except (TimeoutError, distributed.TimeoutError):
            without_workers_s = 0.0 if client.nthreads() else without_workers_s + _POLL_S
        if without_workers_s >= NO_WORKERS_TIMEOUT_S:
            raise UserError("the cluster has lost all workers", where=_OPTION, hint="start workers and run it again")
