"""Write a checkpoint when a signal ends a training run."""

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

VALIDATION_DUE = "validation_due"  # key in a checkpoint's meta, set if the signal interrupted a validation

# Seconds that the processes of a distributed training run have after a signal to write the checkpoint. A process that
# takes longer ends without a checkpoint. A launcher also sends SIGTERM when one process has died. The other processes
# then wait for the dead process in a collective operation, and torchrun kills them after 30 s. The limits below are
# shorter than that, so that each process ends by itself with a message. The limit on the CPU is longer than on CUDA
# because iterations take longer.
GRACE_S = {"cuda": 10.0, "cpu": 25.0}


@contextmanager
def checkpoint_on_signal(runner: Runner) -> Iterator[None]:
    """If SIGTERM or SIGUSR1 arrives, write a checkpoint and end the training run in this block.

    Args:
        runner: The runner, before it trains.

    Raises:
        TerminatedError: A signal has arrived. The message names the checkpoint, if one was written.
    """
    grace_s = None if get_world_size() == 1 else GRACE_S["cuda" if torch.cuda.is_available() else "cpu"]
    with defer_signals(grace_s=grace_s) as stop:
        hook = StopSignalHook(stop)
        runner.register_hook(hook)
        try:
            yield
        except (RuntimeError, OSError, EOFError) as error:
            # A signal to the process group also ends data loader workers. The data loader then raises a RuntimeError
            # for the dead worker, or an OSError or EOFError for the lost connection to it. In a distributed run, one
            # process cannot write a checkpoint alone, because _save_and_end waits for all processes.
            has_lost_worker = is_dead_worker(error) or not isinstance(error, RuntimeError)
            if stop.signal is None or not has_lost_worker or get_world_size() > 1:
                raise
            hook.stop_between_iterations(runner)


class StopSignalHook(Hook):
    """Write a checkpoint and end the training run after the iteration in which a signal arrives.

    The checkpoint is ``interrupted.pth`` in the work folder. If the signal arrives during a validation, the resumed
    run repeats this validation.

    Args:
        stop: Request to stop; its ``signal`` is the signal that has arrived, or None.
    """

    priority = "LOWEST"  # runs after the hooks that step the schedulers and save regular checkpoints

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self._in_iteration = self._in_validation = False

    def before_train(self, runner: Runner) -> None:
        """Repeat the validation that was interrupted, if the run was resumed from such a checkpoint."""
        meta = getattr(runner, "resumed_meta", None) or {}
        if meta.get(VALIDATION_DUE) and runner.val_loop is not None:
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Record that an iteration is in progress, which changes the weights and counters one after the other."""
        self._in_iteration = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the checkpoint if a signal has arrived in any process.

        Raises:
            TerminatedError: A signal has arrived, and the checkpoint was written.
        """
        self._in_iteration = False
        (is_stop_requested,) = in_any_process(self._stop.signal is not None)
        # With gradient accumulation, stop only after a step of the optimizer, because accumulated gradients are not
        # saved. This rule cannot be applied to several optimizers: they have no common steps, and the method
        # should_update that OptimWrapperDict inherits raises an error.
        optim_wrapper = runner.optim_wrapper
        can_stop = isinstance(optim_wrapper, OptimWrapperDict) or optim_wrapper.should_update()
        if is_stop_requested and can_stop:
            # The loop increases runner.iter only after the hooks of the iteration.
            self._save_and_end(runner, dict(epoch=runner.epoch, iter=runner.iter + 1))

    def before_val(self, runner: Runner) -> None:
        """Record that a validation is in progress."""
        self._in_validation = True

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """If this is the only process and a signal has arrived, write the checkpoint during the validation.

        The processes of a distributed run finish the validation. They write the checkpoint after the next training
        iteration, where they exchange whether a signal has arrived in any of them.

        Raises:
            TerminatedError: A signal has arrived, and the checkpoint was written.
        """
        if self._stop.signal is not None and get_world_size() == 1:
            self.stop_between_iterations(runner)

    def after_val(self, runner: Runner) -> None:
        """Record that the validation is complete."""
        self._in_validation = False

    def stop_between_iterations(self, runner: Runner) -> None:
        """End the training. Write a checkpoint, unless an iteration is in progress.

        Raises:
            TerminatedError: Always.
        """
        if self._in_iteration:  # the weights may have been updated, but not yet the counters
            raise self._terminated_error("no checkpoint is written")
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        self._save_and_end(runner, {**meta, VALIDATION_DUE: True} if self._in_validation else meta)

    def _save_and_end(self, runner: Runner, meta: dict) -> None:
        self._stop.cancel_time_limit()
        runner.save_checkpoint(runner.work_dir, INTERRUPTED_CHECKPOINT, meta=meta, by_epoch=False)
        path = Path(runner.work_dir, INTERRUPTED_CHECKPOINT)
        if is_main_process():
            atomic_write(path.with_name(LAST_CHECKPOINT_FILE), os.fsencode(path))
        barrier()  # all processes must have written, because a launcher may end the others when the first process ends
        raise self._terminated_error(f"{path} is written at iteration {meta['iter']}, continue with --resume")

    def _terminated_error(self, note: str) -> TerminatedError:
        # If this process received no signal, it stops because another process did. SIGTERM is then only an assumption.
        return TerminatedError(self._stop.signal or signal.SIGTERM, note)
