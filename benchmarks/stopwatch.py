"""Where the time of a step goes: seconds by name, of blocks and of methods."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up seconds a part; a part inside another counts in both.

    Args:
        sync: Called before every reading of the clock, for a device that works asynchronously.
    """

    def __init__(self, sync: Callable[[], object] | None = None) -> None:
        self.sync = sync
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def clear(self) -> None:
        self.seconds.clear()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = self._now()
        yield
        self.seconds[name] += self._now() - started

    def wrap(self, owner: object, method: str, name: str) -> None:
        """Time every call of ``owner.method`` as the part ``name``."""
        inner = getattr(owner, method)

        def timed(*args, **kwargs):
            with self.part(name):
                return inner(*args, **kwargs)

        setattr(owner, method, timed)

    def _now(self) -> float:
        if self.sync:
            self.sync()
        return time.perf_counter()
