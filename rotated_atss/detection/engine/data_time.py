"""Hook that warns if the device spends most of the training time waiting for data."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from rotated_atss.errors import count_of
from rotated_atss.io.processes import available_cores

ITERATIONS_PER_CHECK = 50  # a check is made after this many iterations, with their mean times
MAX_LOADING_SHARE = 0.5  # the hook warns if waiting for data takes a larger share of the training time


class DataTimeHook(Hook):
    """Log one line, once per run, if the device waits for data more than half of the time.

    The first :data:`ITERATIONS_PER_CHECK` iterations are ignored, because the loader processes start during this time.
    The first check is made after twice as many iterations.
    """

    priority = "LOW"  # runs after MMEngine's IterTimerHook has measured the times

    def __init__(self) -> None:
        self._iterations, self._is_reported = 0, False

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Compare loading time and total time, once per :data:`ITERATIONS_PER_CHECK` iterations."""
        self._iterations += 1
        is_check_due = self._iterations % ITERATIONS_PER_CHECK == 0 and self._iterations > ITERATIONS_PER_CHECK
        scalars = runner.message_hub.log_scalars
        has_times = "train/time" in scalars  # a config can remove the hook that measures them
        if self._is_reported or not is_check_due or not has_times:
            return
        seconds = float(scalars["train/time"].mean(ITERATIONS_PER_CHECK))
        loading_seconds = float(scalars["train/data_time"].mean(ITERATIONS_PER_CHECK))
        line = describe_waiting(loading_seconds, seconds, runner.train_dataloader.num_workers, available_cores())
        if line is not None:
            self._is_reported = True
            runner.logger.warning(line)


def describe_waiting(loading_seconds: float, seconds: float, workers: int, cores: int) -> str | None:
    """Return a line with advice if the device waits for data most of the time, else None.

    Args:
        loading_seconds: Seconds per iteration in which the device waits for data.
        seconds: Seconds per iteration.
        workers: Number of data loader processes of this training process.
        cores: Number of CPU cores available to this training process.

    Example:
        >>> print(describe_waiting(loading_seconds=0.3, seconds=0.4, workers=2, cores=8))
        75% of the time is spent waiting for data, with 2 loader processes on 8 cores: use more --workers
        >>> describe_waiting(loading_seconds=0.1, seconds=0.4, workers=2, cores=8) is None
        True
    """
    if loading_seconds <= MAX_LOADING_SHARE * seconds:
        return None
    advice = "use more --workers" if workers < cores else "pip install 'rotated-atss[fast]', or use smaller images"
    processes = f"with {count_of(workers, 'loader process')}" if workers else "without loader processes"
    share = loading_seconds / seconds
    return f"{share:.0%} of the time is spent waiting for data, {processes} on {count_of(cores, 'core')}: {advice}"
