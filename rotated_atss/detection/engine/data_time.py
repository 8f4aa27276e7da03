"""Hook that warns if the device spends most of the training time waiting for data."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from rotated_atss.io.processes import available_cores

WINDOW = 50  # iterations over which times are averaged
MAX_LOADING_SHARE = 0.5  # the hook warns if waiting for data takes a larger share of the training time


class DataTimeHook(Hook):
    """Log one line, once per run, if the device waits for data more than half of the time.

    The first :data:`WINDOW` iterations, during which loader processes start, do not count.
    """

    priority = "LOW"  # runs after MMEngine's IterTimerHook has measured the times

    def __init__(self) -> None:
        self._iterations, self._is_reported = 0, False

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Compare the times of the latest iterations, every :data:`WINDOW` iterations."""
        self._iterations += 1
        is_window_end = self._iterations % WINDOW == 0 and self._iterations > WINDOW  # the first window does not count
        scalars = runner.message_hub.log_scalars
        if self._is_reported or not is_window_end or "train/time" not in scalars:
            return
        seconds, loading_seconds = (float(scalars[f"train/{name}"].mean(WINDOW)) for name in ("time", "data_time"))
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
    processes = "without loader processes" if not workers else f"with {workers} loader processes"
    share = loading_seconds / seconds
    return f"{share:.0%} of the time is spent waiting for data, {processes} on {cores} cores: {advice}"
