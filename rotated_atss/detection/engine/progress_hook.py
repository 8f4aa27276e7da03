"""Hook that prints the progress of a training or test run, as one line updated in place or as plain lines."""

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

AVERAGED_ITERATIONS = 50  # printed losses and times are means over this number of latest iterations


class ProgressHook(Hook):
    """Print the position, rate, memory and remaining time of a training run, a validation or a test.

    On a terminal, one line is updated in place. If the output is not a terminal, or if each iteration is logged, a new
    line is printed at the interval of MMEngine's ``LoggerHook``. These lines are not written to the log file, which has
    MMEngine's lines.

    Args:
        console: Handler that prints the lines.
    """

    priority = "VERY_LOW"  # this hook must run after the hooks that record times and losses

    def __init__(self, console: ConsoleHandler) -> None:
        self.console = console
        self.log_hook = LoggerHook()  # its default interval is used if the runner has no LoggerHook

    def before_run(self, runner: Runner) -> None:
        """Look up the interval of the log."""
        log_hooks = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
        if log_hooks:
            self.log_hook = log_hooks[0]

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the state of the training run."""
        if not is_main_process():
            return
        ends_epoch = not _is_iteration_based(runner) and self.end_of_epoch(runner.train_dataloader, batch_idx)
        is_due = self._is_logged(runner, batch_idx, ends_epoch)
        if self.console.status.is_shown or is_due:
            self._show(_measure_train_progress(runner, batch_idx, data_batch), is_due)
        if ends_epoch:
            self.console.status.keep()

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the state of the validation."""
        self._show_pass(runner, "val", batch_idx, runner.val_dataloader, data_batch)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the state of the test."""
        self._show_pass(runner, "test", batch_idx, runner.test_dataloader, data_batch)

    def before_val(self, runner: Runner) -> None:
        """Stop printing messages, because the metric logs tables that are meant only for the log file."""
        self.console.status.keep()
        self.console.shows_messages = False

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Print the result of the validation in one line."""
        self.console.status.clear()
        if is_main_process():
            # The metric has no values if the dataset has no labels.
            result = format_metrics(metrics or {}) or "no labels"
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
        """Return whether ``LoggerHook`` logs this training iteration."""
        interval = self.log_hook.interval
        # The end of an epoch is also logged, unless the hook's option ignore_last prevents it. This option does not
        # apply to an epoch that is not longer than the interval, which would otherwise have no log line.
        logs_epoch_end = not self.log_hook.ignore_last or len(runner.train_dataloader) <= interval
        return self.every_n_inner_iters(batch_idx, interval) or (ends_epoch and logs_epoch_end)

    def _show_pass(self, runner: Runner, mode: str, batch_idx: int, dataloader: Any, data_batch: Any) -> None:
        """Show the state of a pass over the data. ``mode`` is ``val`` for a validation or ``test`` for a test."""
        is_due = self.every_n_inner_iters(batch_idx, self.log_hook.interval)
        if not is_main_process() or not (self.console.status.is_shown or is_due):
            return
        pass_name = "validation" if mode == "val" else "test"
        position = f"{pass_name} {batch_idx + 1}/{len(dataloader)}"
        self._show(_measure_progress(runner, mode, position, _num_images(dataloader, data_batch)), is_due)
        if batch_idx + 1 == len(dataloader):
            self.console.status.update(f"{position}  evaluating", force=True)

    def _show(self, progress: Progress, is_due: bool) -> None:
        line = format_progress(progress)
        logs_every_iteration = self.log_hook.interval == 1
        if is_due and (not self.console.status.is_shown or logs_every_iteration):
            self.console.write(line)
        else:
            self.console.status.update(line)


def _measure_train_progress(runner: Runner, batch_idx: int, data_batch: Any) -> Progress:
    scalars = runner.message_hub.log_scalars
    loss = scalars["train/loss"].mean(AVERAGED_ITERATIONS) if "train/loss" in scalars else None
    lr = next((scalars[key].current() for key in ("train/lr", "train/base_lr") if key in scalars), None)
    position = _position(runner, is_running=True)
    if not _is_iteration_based(runner):
        position += f"  {batch_idx + 1}/{len(runner.train_dataloader)}"
    num_images = _num_images(runner.train_dataloader, data_batch)
    return _measure_progress(runner, "train", position, num_images, loss=loss, lr=lr)


def _measure_progress(runner: Runner, mode: str, position: str, num_images: int, **values: Any) -> Progress:
    """Return the progress after an iteration with ``num_images`` images in this process."""

    def mean_seconds(name: str) -> float:
        history = runner.message_hub.log_scalars.get(f"{mode}/{name}")
        return 0.0 if history is None else float(history.mean(AVERAGED_ITERATIONS))

    return Progress(
        position=position,
        seconds=mean_seconds("time"),
        loading_seconds=mean_seconds("data_time"),
        images=num_images * get_world_size(),
        remaining_seconds=runner.message_hub.runtime_info.get("eta"),
        memory=_memory_in_use(),
        **values,
    )


def _position(runner: Runner, is_running: bool) -> str:
    """Return the position in a training run, such as ``epoch 3/12``.

    If ``is_running`` is True, the position is the current epoch or iteration. Otherwise, it is the last finished epoch
    or iteration.
    """
    loop = runner.train_loop
    offset = 1 if is_running else 0  # the loop counts finished epochs and iterations
    if _is_iteration_based(runner):
        return f"iteration {min(loop.iter + offset, loop.max_iters)}/{loop.max_iters}"
    return f"epoch {min(loop.epoch + offset, loop.max_epochs)}/{loop.max_epochs}"


def _is_iteration_based(runner: Runner) -> bool:
    return not hasattr(runner.train_loop, "run_epoch")


def _num_images(dataloader: Any, data_batch: Any) -> int:
    """Return the number of images per batch of a data loader.

    A data loader whose batch sampler is set by the config has no ``batch_size``. In this case, the images of the
    current batch are counted.
    """
    if getattr(dataloader, "batch_size", None):
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
