"""Thread pools for NumPy code. Threads run such code in parallel, because NumPy releases the GIL on large arrays."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int = 1,
    on_done: Callable[[Item], object] | None = None,
) -> list[Result]:
    """Call a function on every item in a thread pool and return the results in the order of the items.

    Args:
        function: The function to call; it must not depend on the order of its calls.
        items: Arguments of the calls.
        workers: Number of threads. With one worker or one item, the function runs in the calling thread.
        on_done: A function that is called in the calling thread with each finished item.

    Raises:
        Exception: The exception of the first item, in the order of ``items``, for which ``function`` fails.

    Example:
        >>> map_in_threads(lambda item: item * item, [1, 2, 3], workers=2)
        [1, 4, 9]
    """
    on_done = on_done or (lambda item: None)
    if workers <= 1 or len(items) <= 1:
        results = []
        for item in items:
            results.append(function(item))
            on_done(item)
        return results
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(function, item): item for item in items}
        try:
            for future in as_completed(futures):
                if future.exception() is not None:
                    break
                on_done(futures[future])
            return [future.result() for future in futures]  # raises the exception of a failed call
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def map_batches_in_threads(
    function: Callable[[Item], Result], batches: Iterable[Sequence[Item]], workers: int = 1
) -> list[Result]:
    """Call a function on every item of several batches in a thread pool and return the results in order.

    While the calls on one batch run, the next batch is produced. At most two batches are in memory at a time.

    Args:
        function: The function to call; it must not depend on the order of its calls.
        batches: Arguments of the calls. The iterator runs in the calling thread.
        workers: Number of threads. With one worker, the function runs in the calling thread, and only one batch is in
            memory at a time.

    Raises:
        Exception: The first exception of ``function`` or ``batches``. No further calls are started.

    Example:
        >>> map_batches_in_threads(lambda item: item * item, ([start, start + 1] for start in (1, 3)), workers=2)
        [1, 4, 9, 16]
    """
    results: list[Result] = []
    if workers <= 1:
        for batch in batches:
            results += [function(item) for item in batch]
            del batch  # frees the memory of this batch before the next batch is produced
        return results
    with ThreadPoolExecutor(workers) as pool:
        running: list[Future[Result]] = []
        try:
            for batch in batches:
                started = [pool.submit(function, item) for item in batch]
                # Drop the reference to this batch before the next batch is produced. The pool keeps each item until
                # its call has finished.
                del batch
                results += [future.result() for future in running]
                running = started
            return results + [future.result() for future in running]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
