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

VALIDATION_DUE = "validation_due"  # key in a checkpoint's meta; it is set if a signal interrupted the validation

# Time in seconds in which a run of several processes must write its checkpoint after a signal. A process that takes
# longer ends without a checkpoint. A launcher also sends SIGTERM when one of the processes has died. The others then
# wait for the dead process in a collective operation, and torchrun kills them after 30 s. The times are shorter than
# that, so that each process ends by itself with a message. Iterations on a CPU are slower and get more time.
GRACE_S = {"cuda": 10.0, "cpu": 25.0}


@contextmanager
def checkpoint_on_signal(runner: Runner) -> Iterator[None]:
    """Run a block that trains; if SIGTERM or SIGUSR1 arrives, write a checkpoint and end the training run.

    Args:
        runner: The runner, before it starts to train.

    Raises:
        TerminatedError: A signal arrived, and the checkpoint is written.
    """
    grace_s = None if get_world_size() == 1 else GRACE_S["cuda" if torch.cuda.is_available() else "cpu"]
    with defer_signals(grace_s=grace_s) as stop:
        hook = StopSignalHook(stop)
        runner.register_hook(hook)
        try:
            yield
        except (RuntimeError, OSError, EOFError) as error:
            # A signal to the process group also ends the data loader workers. The error is then about a dead worker
            # (RuntimeError), or about a lost connection to one (OSError, EOFError). In a run of several processes, a
            # single process cannot write a checkpoint.
            has_lost_worker = is_dead_worker(error) or not isinstance(error, RuntimeError)
            if stop.signal is None or not has_lost_worker or get_world_size() > 1:
                raise
            hook.stop_between_iterations(runner)


class StopSignalHook(Hook):
    """Write a checkpoint and end the training run after the iteration in which a signal arrives.

    The checkpoint is ``interrupted.pth`` in the work folder. If the signal arrives during validation, the resumed run
    repeats the validation.

    Args:
        stop: Request to stop. ``stop.signal`` is the signal that has arrived, or None.
    """

    priority = "LOWEST"  # runs after the hooks for schedules and regular checkpoints

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self._in_iteration = self._in_validation = False

    def before_train(self, runner: Runner) -> None:
        """Validate now if the validation was interrupted before the run was resumed."""
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
        (is_stopped,) = in_any_process(self._stop.signal is not None)
        # Checkpoints do not contain gradients. With gradient accumulation, the run therefore stops only after a step
        # of the optimizer. Several optimizers need not step together, and should_update fails for OptimWrapperDict.
        optim_wrapper = runner.optim_wrapper
        has_stepped = isinstance(optim_wrapper, OptimWrapperDict) or optim_wrapper.should_update()
        if is_stopped and has_stepped:
            # The loop adds this iteration to its count only after the hooks.
            self._save_and_end(runner, dict(epoch=runner.epoch, iter=runner.iter + 1))

    def before_val(self, runner: Runner) -> None:
        """Mark that validation begins."""
        self._in_validation = True

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the checkpoint during validation, if a signal has arrived and the run has a single process.

        Several processes write it after the next training iteration, where they make a common decision.

        Raises:
            TerminatedError: A signal has arrived, and the checkpoint was written.
        """
        if self._stop.signal is not None and get_world_size() == 1:
            self.stop_between_iterations(runner)

    def after_val(self, runner: Runner) -> None:
        """Mark that validation is complete."""
        self._in_validation = False

    def stop_between_iterations(self, runner: Runner) -> None:
        """End the training run. Write a checkpoint, unless an iteration is in progress.

        Raises:
            TerminatedError: Always.
        """
        if self._in_iteration:  # the weights may already have changed, but not the number of the iteration
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
        raise self._terminated_error(f"{path} is written at iteration {meta['iter']}; continue with --resume")

    def _terminated_error(self, note: str) -> TerminatedError:
        # If this process has received no signal, it stops because another process has received one.
        return TerminatedError(self._stop.signal or signal.SIGTERM, note)
