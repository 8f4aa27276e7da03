"""Hook that prints the progress of a training or test: a line updated in place, or plain lines."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner

from rotated_atss.analysis.metric_values import format_metrics
from rotated_atss.detection.engine.console import ConsoleHandler
from rotated_atss.detection.engine.progress_text import Progress, format_progress
from rotated_atss.io.memory_use import resident_bytes

WINDOW = 50  # iterations over which printed values are averaged


class ProgressHook(Hook):
    """Print the position of a training, validation or test, its rate, memory and remaining time.

    On a terminal, one line is updated in place. Elsewhere, and on a terminal if every iteration is logged, a new line
    is printed at the interval of MMEngine's ``LoggerHook``. The log file has MMEngine's lines instead.

    Args:
        console: Handler that prints the lines.
    """

    priority = "VERY_LOW"  # after times and losses are known

    def __init__(self, console: ConsoleHandler) -> None:
        self.console = console
        self.log_hook = LoggerHook()  # its default interval is used if the runner has no LoggerHook

    def before_run(self, runner: Runner) -> None:
        """Look up the interval of the log."""
        self.log_hook = next((hook for hook in runner.hooks if isinstance(hook, LoggerHook)), self.log_hook)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the state of the training."""
        if not is_main_process():
            return
        ends_epoch = not _is_iteration_based(runner) and self.end_of_epoch(runner.train_dataloader, batch_idx)
        is_due = self._is_logged(runner, batch_idx, ends_epoch)
        if self.console.status.is_shown or is_due:
            self._show(_train_progress(runner, batch_idx, data_batch), is_due)
        if ends_epoch:
            self.console.status.keep()

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the state of the validation."""
        self._show_pass(runner, "val", batch_idx, runner.val_dataloader, data_batch)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the state of the test."""
        self._show_pass(runner, "test", batch_idx, runner.test_dataloader, data_batch)

    def before_val(self, runner: Runner) -> None:
        """Stop printing messages: the metric logs tables, which are for the log file only."""
        self.console.status.keep()
        self.console.shows_messages = False

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Print the result of the validation in one line."""
        self.console.status.clear()
        if is_main_process():
            result = format_metrics(metrics or {}) or "no labels"  # without labels, there are no metrics
            self.console.write(f"validation after {_position(runner, is_running=False)}: {result}")

    def after_val(self, runner: Runner) -> None:
        """Print messages again."""
        self.console.shows_messages = True

    def after_train(self, runner: Runner) -> None:
        """Keep the last state of the status line on the screen."""
        self.console.status.keep()

    def after_run(self, runner: Runner) -> None:
        """Remove the status line of a test."""
        self.console.status.clear()

    def _is_logged(self, runner: Runner, batch_idx: int, ends_epoch: bool) -> bool:
        """Return whether ``LoggerHook`` logs this iteration: at its interval, and usually at the end of an epoch."""
        interval = self.log_hook.interval
        logs_epoch_end = not self.log_hook.ignore_last or len(runner.train_dataloader) <= interval
        return self.every_n_inner_iters(batch_idx, interval) or (ends_epoch and logs_epoch_end)

    def _show_pass(self, runner: Runner, mode: str, batch_idx: int, dataloader: Any, data_batch: Any) -> None:
        """Show the state of one pass over the data: a validation (``val``) or a ``test``."""
        is_due = self.every_n_inner_iters(batch_idx, self.log_hook.interval)
        if not is_main_process() or not (self.console.status.is_shown or is_due):
            return
        position = f"{'validation' if mode == 'val' else mode} {batch_idx + 1}/{len(dataloader)}"
        self._show(_progress(runner, mode, position, _num_images(dataloader, data_batch)), is_due)
        if batch_idx + 1 == len(dataloader):
            self.console.status.update(f"{position}  evaluating", force=True)

    def _show(self, progress: Progress, is_due: bool) -> None:
        line = format_progress(progress)
        logs_every_iteration = self.log_hook.interval == 1
        if is_due and (not self.console.status.is_shown or logs_every_iteration):
            self.console.write(line)
        else:
            self.console.status.update(line)


def _train_progress(runner: Runner, batch_idx: int, data_batch: Any) -> Progress:
    scalars = runner.message_hub.log_scalars
    loss = scalars["train/loss"].mean(WINDOW) if "train/loss" in scalars else None
    lr = next((scalars[key].current() for key in ("train/lr", "train/base_lr") if key in scalars), None)
    position = _position(runner, is_running=True)
    if not _is_iteration_based(runner):
        position += f"  {batch_idx + 1}/{len(runner.train_dataloader)}"
    images = _num_images(runner.train_dataloader, data_batch)
    return _progress(runner, "train", position, images, loss=loss, lr=lr)


def _progress(runner: Runner, mode: str, position: str, images: int, **values: Any) -> Progress:
    scalars = runner.message_hub.log_scalars
    histories = [scalars.get(f"{mode}/{name}") for name in ("time", "data_time")]
    seconds, loading_seconds = (0.0 if history is None else float(history.mean(WINDOW)) for history in histories)
    return Progress(
        position=position, seconds=seconds, loading_seconds=loading_seconds, images=images * get_world_size(),
        remaining_seconds=runner.message_hub.runtime_info.get("eta"), memory=_memory_in_use(), **values,
    )  # fmt: skip


def _position(runner: Runner, is_running: bool) -> str:
    """Return the position in a training, such as ``epoch 3/12``.

    The number shown is that of the running epoch or iteration or, if ``is_running`` is False, of the last finished one.
    """
    loop = runner.train_loop
    offset = 1 if is_running else 0  # the loop counts finished epochs and iterations
    if _is_iteration_based(runner):
        return f"iteration {min(loop.iter + offset, loop.max_iters)}/{loop.max_iters}"
    return f"epoch {min(loop.epoch + offset, loop.max_epochs)}/{loop.max_epochs}"


def _is_iteration_based(runner: Runner) -> bool:
    return not hasattr(runner.train_loop, "run_epoch")


def _num_images(dataloader: Any, data_batch: Any) -> int:
    """Return the batch size of a data loader or, if it has none, the number of images in the current batch."""
    if getattr(dataloader, "batch_size", None):  # None with a batch sampler of the config
        return dataloader.batch_size
    inputs = data_batch.get("inputs") if isinstance(data_batch, dict) else data_batch
    return len(inputs) if isinstance(inputs, Sized) else 1


def _memory_in_use() -> tuple[str, int] | None:
    """Return the kind and the size in bytes of the memory in use; None if the size is unknown.

    The kind is ``GPU``, for the peak memory of tensors, or ``RSS``, for the memory of this process.
    """
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return "GPU", torch.cuda.max_memory_allocated()
    resident = resident_bytes()
    return None if resident is None else ("RSS", resident)
