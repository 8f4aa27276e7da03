"""Timing of functions: medians of repeated runs, alternating runs of two implementations, time by part."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
Run = Callable[[], object]


def summary(times: Sequence[float]) -> dict[str, Any]:
    """Reduce seconds to median, minimum, maximum and number of runs."""
    median, fastest, slowest = (round(value, 6) for value in (statistics.median(times), min(times), max(times)))
    return {"median": median, "min": fastest, "max": slowest, "runs": len(times)}


def time_one(run: Run, repeats: int, *, warmup: int = 1, sync: Run | None = None) -> dict[str, Any]:
    """Time ``repeats`` runs after ``warmup`` unmeasured ones."""
    return time_pair(run, None, repeats, warmup=warmup, sync=sync)["rotated_atss"]


def time_pair(
    run: Run,
    baseline: Run | None,
    repeats: int,
    *,
    warmup: int = 1,
    baseline_repeats: int | None = None,
    baseline_warmup: int | None = None,
    sync: Run | None = None,
    before: Run | None = None,
) -> dict[str, Any]:
    """Time this package and a baseline in alternating runs, so that other load on the machine affects both.

    Args:
        run: The implementation of this package.
        baseline: The implementation to compare with, or None.
        repeats: Measured runs.
        warmup: Unmeasured runs of each before the measurement.
        baseline_repeats: Measured runs of the baseline; defaults to ``repeats``.
        baseline_warmup: Unmeasured runs of the baseline; defaults to ``warmup``.
        sync: Called before every reading of the clock; waits for an asynchronous device.
        before: Called before every run, not timed.

    Returns:
        ``rotated_atss`` and ``baseline`` (see :func:`summary`) and ``speedup``, the ratio of the medians; without a
        baseline only ``rotated_atss``.
    """
    runs: dict[str, tuple[Run, int, int]] = {"rotated_atss": (run, repeats, warmup)}
    if baseline is not None:
        baseline_repeats = repeats if baseline_repeats is None else baseline_repeats
        runs["baseline"] = baseline, baseline_repeats, warmup if baseline_warmup is None else baseline_warmup
    calls = {name: partial(seconds_of, each, sync, before) for name, (each, _, _) in runs.items()}
    for name, (_, _, number) in runs.items():
        for _ in range(number):
            calls[name]()
    times = alternate(calls, {name: number for name, (_, number, _) in runs.items()})
    result: dict[str, Any] = {name: summary(each) for name, each in times.items()}
    if baseline is not None:
        result["speedup"] = round(result["baseline"]["median"] / result["rotated_atss"]["median"], 2)
    return result


def alternate(runs: Mapping[str, Callable[[], T]], repeats: Mapping[str, int]) -> dict[str, list[T]]:
    """Call each function ``repeats[name]`` times, alternating, and collect the results by name."""
    results: dict[str, list[T]] = {name: [] for name in runs}
    for turn in range(max(repeats[name] for name in runs)):
        for name, run in runs.items():
            if turn < repeats[name]:
                results[name].append(run())
    return results


def settle_allocator() -> None:
    """Make glibc keep freed memory, as it does in every process that has run a network.

    After one freed block of 30 MB glibc stops returning smaller ones to the system. Otherwise a process that holds few
    megabytes pays page faults for every temporary: 9 of 32 ms in the assignment of 5,000 boxes.
    """
    bytearray(30 << 20)


class Stopwatch:
    """Accumulates seconds by part of a program; the time of a nested part does not count in the outer one.

    Args:
        sync: Called before every reading of the clock; waits for an asynchronous device.
    """

    def __init__(self, sync: Run | None = None) -> None:
        self.sync = sync
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._nested = 0.0  # seconds of the parts inside the present one

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block as the part ``name``."""
        started, outer = self._now(), self._nested
        self._nested = 0.0
        yield
        passed = self._now() - started
        self.seconds[name] += passed - self._nested
        self._nested = outer + passed

    def wrap(self, owner: object, method: str, name: str) -> None:
        """Time every call of ``owner.method`` as the part ``name``."""
        inner = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return inner(*args, **kwargs)

        setattr(owner, method, timed)

    def _now(self) -> float:
        if self.sync:
            self.sync()
        return time.perf_counter()


def seconds_of(run: Run, sync: Run | None = None, before: Run | None = None) -> float:
    """Time one run; see :func:`time_pair`."""
    if before:
        before()
    if sync:
        sync()
    started = time.perf_counter()
    run()
    if sync:
        sync()
    return time.perf_counter() - started
