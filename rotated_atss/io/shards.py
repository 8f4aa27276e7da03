"""Divide the items of a command among several runs, called shards (``--shard I/N``), that write into one folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rotated_atss.errors import UserError
from rotated_atss.io.run_lock import run_lock

Item = TypeVar("Item")

SHARDS_WAIT_S = 600.0  # A shard waits at most this long while another shard prepares or moves the shared folder.


@dataclass(frozen=True)
class Shard:
    """One of several runs that divide the items of a command among themselves.

    Attributes:
        index: Number of this run, counted from 1.
        count: Number of runs in total.

    Raises:
        UserError: ``index`` is not from 1 to ``count``.

    Example:
        >>> Shard.parse("3/8")
        Shard(index=3, count=8)
        >>> Shard(2, 3).select("abcdefg")
        'be'
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise _shard_error(str(self))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def file_label(self) -> str:
        """Text such as ``3-of-8``, which makes the file names of this shard distinct."""
        return f"{self.index}-of-{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse ``I/N``."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal()):
            raise _shard_error(text)
        return cls(int(index), int(count))

    def select(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return the items of this shard: every ``count``-th item, starting with item number ``index``."""
        return items[self.index - 1 :: self.count]


def lock_path(out: Path, command: str) -> Path:
    """Return the path of a command's common lock file in its output folder (:func:`common_lock`).

    Example:
        >>> lock_path(Path("tiles"), "split").as_posix()
        'tiles/.split.lock'
    """
    return out / f".{command}.lock"


@contextmanager
def shard_lock(out: Path, command: str, shard: Shard | None) -> Iterator[None]:
    """Hold the lock of a shard while the block runs, so that no second run of the same shard starts.

    Different shards may run at the same time, but not together with a run of all items:

    - A run of all items raises an error if a shard is running. Otherwise, it holds the common lock until the run ends.
    - A shard that starts during a run of all items waits in :func:`common_lock`, and fails after
      :data:`SHARDS_WAIT_S`.

    Args:
        out: The output folder.
        command: Name of the command.
        shard: The shard; None for a run of all items.

    Raises:
        UserError: Another run holds a lock, or a lock cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with shard_lock(Path(folder), "split", Shard(1, 2)):
        ...         [path.name for path in Path(folder).iterdir()]
        ['.split.1-of-2.lock']
    """
    if shard is not None:
        with run_lock(out / f".{command}.{shard.file_label}.lock"):
            yield
        return
    with run_lock(lock_path(out, command)):
        for path in sorted(out.glob(f".{command}.*-of-*.lock")):
            with run_lock(path):  # raises an error if the shard still runs
                pass
        yield


def common_lock(out: Path, command: str, shard: Shard | None) -> AbstractContextManager[None]:
    """Return a context manager that holds the common lock of all shards.

    A shard must hold this lock while it changes files that other shards also use. A run of all items already holds the
    lock (:func:`shard_lock`). For such a run, the context manager does nothing.

    Args:
        out: The output folder.
        command: Name of the command.
        shard: The shard; None for a run of all items.

    Raises:
        UserError: Another run still holds the lock after :data:`SHARDS_WAIT_S`, or the lock file cannot be written.

    Example:
        >>> with common_lock(Path("tiles"), "split", None):
        ...     pass
    """
    return nullcontext() if shard is None else run_lock(lock_path(out, command), SHARDS_WAIT_S)


def _shard_error(text: str) -> UserError:
    return UserError(f"a shard must be I/N with I from 1 to N, got {text}", hint="give for example --shard 1/8")
