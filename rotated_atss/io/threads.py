"""The same function on many items in threads: numpy lets other threads run while it works on large arrays."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int = 1,
    on_done: Callable[[Item], object] | None = None,
) -> list[Result]:
    """``[function(item) for item in items]``.

    Args:
        function: Called in ``workers`` threads; must not depend on the order of its calls.
        on_done: Called in this thread with each item when it is through.

    Raises:
        Whatever ``function`` raised for the first item that failed.
    """
    on_done = on_done or (lambda item: None)
    if workers <= 1 or len(items) <= 1:
        return [_then(on_done, item, function(item)) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(function, item): item for item in items}
        try:
            for future in as_completed(futures):
                if future.exception() is not None:
                    break
                on_done(futures[future])
            return [future.result() for future in futures]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _then(on_done: Callable[[Item], object], item: Item, result: Result) -> Result:
    on_done(item)
    return result
