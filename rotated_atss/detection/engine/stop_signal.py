"""Hook that writes a checkpoint when a signal ends the training."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from rotated_atss.detection.engine.build_errors import is_dead_worker
from rotated_atss.detection.engine.distributed import in_any_process
from rotated_atss.detection.engine.resume import INTERRUPTED_CHECKPOINT, LAST_CHECKPOINT_FILE
from rotated_atss.io.files import atomic_write
from rotated_atss.io.signals import StopRequest, TerminatedError, defer_signals

VALIDATION_DUE = "validation_due"  # key of a checkpoint's meta: the validation at its iteration was interrupted

# Time in seconds that a training of several processes has to write its checkpoint after a signal; a process that takes
# longer ends without a checkpoint. A launcher also sends SIGTERM when one process has died. The other processes then
# wait for the dead one in a collective operation, and torchrun kills them after 30 s; these times are shorter, so that
# each process ends by itself with a message. The time on the CPU is longer because iterations take longer there.
GRACE_S = {"cuda": 10.0, "cpu": 25.0}


@contextmanager
def checkpoint_on_signal(runner: Runner) -> Iterator[None]:
    """If SIGTERM or SIGUSR1 arrives, write a checkpoint and end the training that runs in this block.

    Args:
        runner: The runner, before its training.

    Raises:
        TerminatedError: A signal arrived and the checkpoint is written.
    """
    grace_s = None if get_world_size() == 1 else GRACE_S["cuda" if torch.cuda.is_available() else "cpu"]
    with defer_signals(grace_s=grace_s) as stop:
        hook = StopSignalHook(stop)
        runner.register_hook(hook)
        try:
            yield
        except (RuntimeError, OSError, EOFError) as error:
            # A signal to the process group also ends data loader processes. The training then reports a dead worker,
            # or a lost connection to one (OSError, EOFError). One of several processes cannot write a checkpoint alone.
            has_lost_worker = is_dead_worker(error) or not isinstance(error, RuntimeError)
            if stop.signal is None or not has_lost_worker or get_world_size() > 1:
                raise
            hook.stop_between_iterations(runner)


class StopSignalHook(Hook):
    """Write a checkpoint and end the training after the iteration in which a signal arrives.

    The checkpoint is ``interrupted.pth`` in the work folder. If the signal arrives during a validation, the resumed
    training repeats the validation.

    Args:
        stop: Request to stop; its ``signal`` is the signal that has arrived, or None.
    """

    priority = "LOWEST"  # after the hooks of schedules and regular checkpoints

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self._in_iteration = self._in_validation = False

    def before_train(self, runner: Runner) -> None:
        """Repeat a validation that was interrupted."""
        meta = getattr(runner, "resumed_meta", None) or {}
        if meta.get(VALIDATION_DUE) and runner.val_loop is not None:
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Mark that weights and counters are about to change."""
        self._in_iteration = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the checkpoint if a signal has arrived in any process.

        Raises:
            TerminatedError: The checkpoint is written.
        """
        self._in_iteration = False
        (is_stopped,) = in_any_process(self._stop.signal is not None)
        # With gradient accumulation, stop only after a step of the optimizer: gradients are not saved. Several
        # optimizers have no common steps (OptimWrapperDict inherits should_update, but it fails).
        optim_wrapper = runner.optim_wrapper
        has_stepped = isinstance(optim_wrapper, OptimWrapperDict) or optim_wrapper.should_update()
        if is_stopped and has_stepped:
            # The loop counts this iteration only after its hooks.
            self._save_and_end(runner, dict(epoch=runner.epoch, iter=runner.iter + 1))

    def before_val(self, runner: Runner) -> None:
        """Mark that a validation begins."""
        self._in_validation = True

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the checkpoint during a validation, in a training of one process.

        Several processes write it after the next training iteration, where they decide together.

        Raises:
            TerminatedError: The checkpoint is written.
        """
        if self._stop.signal is not None and get_world_size() == 1:
            self.stop_between_iterations(runner)

    def after_val(self, runner: Runner) -> None:
        """Mark that the validation is complete."""
        self._in_validation = False

    def stop_between_iterations(self, runner: Runner) -> None:
        """End the training. Write a checkpoint, unless an iteration is in progress.

        Raises:
            TerminatedError: Always.
        """
        if self._in_iteration:  # weights and counters may not match
            raise self._terminated_error("no checkpoint is written")
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        self._save_and_end(runner, {**meta, VALIDATION_DUE: True} if self._in_validation else meta)

    def _save_and_end(self, runner: Runner, meta: dict) -> None:
        self._stop.cancel_time_limit()
        runner.save_checkpoint(runner.work_dir, INTERRUPTED_CHECKPOINT, meta=meta, by_epoch=False)
        path = Path(runner.work_dir, INTERRUPTED_CHECKPOINT)
        if is_main_process():
            atomic_write(path.with_name(LAST_CHECKPOINT_FILE), os.fsencode(path))
        barrier()  # when the first process ends, a launcher may end the others
        raise self._terminated_error(f"{path} is written at iteration {meta['iter']}, continue with --resume")

    def _terminated_error(self, note: str) -> TerminatedError:
        # Without a signal of its own, this process stops because of a signal to another process.
        return TerminatedError(self._stop.signal or signal.SIGTERM, note)
