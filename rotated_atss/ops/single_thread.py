"""Operations on small tensors in one thread of torch."""

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

    More threads gain nothing on the small tensors of box geometry and label assignment, but every operation waits for
    cores that other processes use. The number of threads is a setting of the calling thread; a thread that calls torch
    for the first time during the block keeps one.

    Args:
        device: Device of the tensors. On others than the CPU the number of threads does not change.

    Example:
        >>> import torch
        >>> from rotated_atss.ops.single_thread import single_thread
        >>> with single_thread(torch.device("cpu")):
        ...     torch.get_num_threads()
        1
    """
    threads = 1 if device.type != "cpu" or torch.compiler.is_compiling() else torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def single_threaded(
    function: Callable[Parameters, Result], is_small: Callable[..., bool] = lambda *args, **kwargs: True
) -> Callable[Parameters, Result]:
    """Run a function in one thread (:func:`single_thread`) if its first argument is a tensor on the CPU.

    Args:
        function: The function.
        is_small: Gets the arguments; returns False where more threads gain something.

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
