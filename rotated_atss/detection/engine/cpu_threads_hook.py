"""Hook that adapts the number of CPU threads to the load of the machine."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from rotated_atss.io.cpu_threads import update_threads


class CpuThreadsHook(Hook):
    """Use fewer threads while other processes use the CPU; see :mod:`rotated_atss.io.cpu_threads`.

    The hook has an effect only in programs that have called :func:`rotated_atss.io.cpu_threads.follow_cpu_load`, such
    as the command line.
    """

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = "train"
    ) -> None:
        """Update the number of threads after an iteration and log a change."""
        message = update_threads()
        if message:
            runner.logger.info(message)
