"""Hook that writes a checkpoint when a signal ends a training run."""

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

# Time limit in seconds for writing the checkpoint after a signal, in a training run with several processes. A process
# that exceeds the limit ends without a checkpoint. The limit is necessary because launchers also send SIGTERM when one
# process has died: the other processes then wait in a collective operation for the dead process. torchrun kills them
# after 30 s. The limits are shorter, so that each process ends by itself, with a message. The limit on the CPU is the
# longer one, because iterations take longer there.
GRACE_S = {"cuda": 10.0, "cpu": 25.0}


@contextmanager
def checkpoint_on_signal(runner: Runner) -> Iterator[None]:
    """If SIGTERM or SIGUSR1 arrives, write a checkpoint and end the training run in this block.

    Args:
        runner: The runner, before its ``train`` is called.

    Raises:
        TerminatedError: A signal has arrived; the message names the checkpoint that was written, if any.
    """
    grace_s = None if get_world_size() == 1 else GRACE_S["cuda" if torch.cuda.is_available() else "cpu"]
    with defer_signals(grace_s=grace_s) as stop:
        hook = StopSignalHook(stop)
        runner.register_hook(hook)
        try:
            yield
        except (RuntimeError, OSError, EOFError) as error:
            # A signal to the process group also ends the workers of the data loader. Training then fails because a
            # worker is dead or the connection to it is lost (OSError, EOFError). If training has several processes,
            # this process cannot write a checkpoint, because the other processes would have to take part.
            has_lost_worker = is_dead_worker(error) or not isinstance(error, RuntimeError)
            if stop.signal is None or not has_lost_worker or get_world_size() > 1:
                raise
            hook.stop_between_iterations(runner)


class StopSignalHook(Hook):
    """Write a checkpoint and end the training run after the iteration in which a signal arrives.

    The checkpoint is ``interrupted.pth`` in the work folder. If it is written during a validation, the resumed training
    run repeats the validation.

    Args:
        stop: Request to stop; its ``signal`` is the signal that has arrived, or None.
    """

    priority = "LOWEST"  # after the hooks of schedules and regular checkpoints

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self._in_iteration = self._in_validation = False

    def before_train(self, runner: Runner) -> None:
        """Repeat the validation that a signal interrupted, if the run is resumed from such a checkpoint."""
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
        # With gradient accumulation, stop only after a step of the optimizer, because checkpoints contain no gradients.
        # Several optimizers may step at different iterations, so stop after any iteration. OptimWrapperDict cannot be
        # asked: it inherits should_update, but the inherited method fails.
        optim_wrapper = runner.optim_wrapper
        has_stepped = isinstance(optim_wrapper, OptimWrapperDict) or optim_wrapper.should_update()
        if is_stopped and has_stepped:
            # The + 1 is this iteration, because the loop increases runner.iter only after the hooks.
            self._save_and_end(runner, dict(epoch=runner.epoch, iter=runner.iter + 1))

    def before_val(self, runner: Runner) -> None:
        """Mark that a validation begins."""
        self._in_validation = True

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the checkpoint during a validation if training has one process only.

        Several processes write the checkpoint after the next training iteration, where they exchange whether a signal
        has arrived.

        Raises:
            TerminatedError: The checkpoint is written.
        """
        if self._stop.signal is not None and get_world_size() == 1:
            self.stop_between_iterations(runner)

    def after_val(self, runner: Runner) -> None:
        """Mark that the validation is complete."""
        self._in_validation = False

    def stop_between_iterations(self, runner: Runner) -> None:
        """Write a checkpoint, unless an iteration is in progress, and end the training run.

        Raises:
            TerminatedError: Always.
        """
        if self._in_iteration:  # the weights may already be one step ahead of the iteration counter
            raise self._terminated_error("no checkpoint is written")
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        self._save_and_end(runner, {**meta, VALIDATION_DUE: True} if self._in_validation else meta)

    def _save_and_end(self, runner: Runner, meta: dict) -> None:
        self._stop.cancel_time_limit()
        runner.save_checkpoint(runner.work_dir, INTERRUPTED_CHECKPOINT, meta=meta, by_epoch=False)
        path = Path(runner.work_dir, INTERRUPTED_CHECKPOINT)
        if is_main_process():
            atomic_write(path.with_name(LAST_CHECKPOINT_FILE), os.fsencode(path))
        barrier()  # launchers may kill the other processes when the first one ends, so wait until all have saved
        raise self._terminated_error(f"{path} is written at iteration {meta['iter']}, continue with --resume")

    def _terminated_error(self, note: str) -> TerminatedError:
        # Without a signal of its own, this process stops because of a signal to another process.
        return TerminatedError(self._stop.signal or signal.SIGTERM, note)
