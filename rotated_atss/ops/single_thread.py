"""Run CPU operations on small tensors in one thread."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@contextmanager
def single_thread(device: torch.device) -> Iterator[None]:
    """Run the CPU operations of this block in one thread.

    Several threads are no faster than one on the small tensors of box geometry and label assignment, and each operation
    would have to wait for cores that other processes use.

    torch keeps a number of threads for each Python thread, so the block does not affect other Python threads. There is
    one exception: if a Python thread calls torch for the first time during the block, its number of threads remains 1
    after the block.

    Args:
        device: Device of the tensors. The number of threads changes only for the CPU.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.single_thread import single_thread
        >>> with single_thread(torch.device("cpu")):
        ...     torch.get_num_threads()
        1
    """
    # torch.compile cannot trace calls that read or set the number of threads
    if device.type != "cpu" or torch.compiler.is_compiling() or torch.get_num_threads() == 1:
        yield
        return
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def single_threaded(
    function: Callable[Parameters, Result], is_small: Callable[..., bool] = lambda *args, **kwargs: True
) -> Callable[Parameters, Result]:
    """Decorate a function to run in one thread (:func:`single_thread`) if its arguments are small and on the CPU.

    Args:
        function: Function whose first argument is a tensor; its device counts. If a caller passes this argument by
            keyword, the number of threads is not changed.
        is_small: Function that receives the same arguments and returns whether they are so small that several threads
            are no faster than one. By default, arguments of any size count as small.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.single_thread import single_threaded
        >>> single_threaded(lambda boxes: torch.get_num_threads())(torch.zeros(1))
        1
    """

    @functools.wraps(function)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        if not args or not isinstance(args[0], Tensor) or not is_small(*args, **kwargs):
            return function(*args, **kwargs)
        with single_thread(args[0].device):
            return function(*args, **kwargs)

    return run
