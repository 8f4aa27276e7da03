"""Convert exceptions from configs, builders and data loader processes to one-line errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rotated_atss.errors import UserError

# PyTorch's error message starts with this text if a data loader process was killed or exited.
_DEAD_WORKER_PREFIX = "DataLoader worker (pid"


def one_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the exception's type if the message is empty.

    Example:
        >>> one_line(KeyError("SDG is not in the optimizer registry"))
        'SDG is not in the optimizer registry'
    """
    has_key_message = isinstance(error, KeyError) and len(error.args) > 0
    message = error.args[0] if has_key_message else error  # str() of a KeyError would add quotes
    text = str(message).strip()
    return text.splitlines()[0] if text else type(error).__name__


@contextmanager
def report_build_errors(part: str, where: object = None) -> Iterator[None]:
    """Convert exceptions in this block, which builds a part of a config, to one-line errors.

    Args:
        part: Name of the part in the error: "cannot build <part>".
        where: File of the config, for the error.

    Raises:
        UserError: The part cannot be built.

    Example:
        >>> with report_build_errors("this model", where="config.py"):
        ...     raise TypeError("depth must be an integer")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: config.py: cannot build this model: depth must be an integer
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise UserError(f"cannot build {part}: {one_line(error)}", where=where) from error


def is_dead_worker(error: BaseException) -> bool:
    """Return whether a data loader raised an error because one of its processes died.

    Example:
        >>> is_dead_worker(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."))
        True
    """
    return str(error).startswith(_DEAD_WORKER_PREFIX)


@contextmanager
def strip_worker_traceback() -> Iterator[None]:
    """Convert errors of data loader processes to one-line errors by removing the traceback that PyTorch adds.

    Raises:
        UserError: A loader process raised a ``UserError``, a file does not exist, or a loader process died.

    Example:
        >>> with strip_worker_traceback():
        ...     raise UserError("Traceback ... rotated_atss.errors.UserError: P1.png: not a readable image")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: P1.png: not a readable image
    """
    try:
        yield
    except UserError as error:
        # PyTorch re-raises an error of a loader process. Its message is then the whole traceback of that process, which
        # ends in "rotated_atss.errors.UserError: message". An error of this process lacks this text and is not changed.
        prefix = f"{type(error).__module__}.{type(error).__qualname__}: "
        if prefix not in error.what:
            raise
        raise UserError(error.what.rpartition(prefix)[2]) from None
    except FileNotFoundError as error:
        # If a loader process raised the error, the message is a traceback, too. Otherwise, rpartition returns it whole.
        raise UserError(str(error).rpartition("FileNotFoundError: ")[2]) from error
    except RuntimeError as error:
        if not is_dead_worker(error):
            raise
        what = f"a data loader process died: {one_line(error).rstrip('. ')}"
        raise UserError(what, hint="possibly out of memory: use fewer --workers") from None
