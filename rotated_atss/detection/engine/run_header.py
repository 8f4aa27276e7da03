"""Hook that prints model, device, data and schedule before the first step of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rotated_atss import __version__
from rotated_atss.errors import count_of

MAX_SHOWN_CLASSES = 5  # further class names are printed as "..."


class HeaderHook(Hook):
    """Log model, device, data, schedule and log file in a few lines.

    Args:
        checkpoint: The tested checkpoint; None in training.
    """

    priority = "LOWEST"  # this hook must run after the hooks that load weights

    def __init__(self, checkpoint: str | Path | None = None) -> None:
        self.checkpoint = checkpoint

    def before_train(self, runner: Runner) -> None:
        """Log what is trained."""
        lines = [f"training data: {describe_dataset(runner.train_dataloader.dataset)}"]
        if runner.val_loop is not None:
            lines.append(f"validation data: {describe_dataset(runner.val_dataloader.dataset)}")
        lines.append(_describe_schedule(runner))
        if runner._load_from:
            checkpoint_use = f"resumed at iteration {runner.iter}" if runner._resume else "used as start weights"
            lines.append(f"checkpoint: {runner._load_from}, {checkpoint_use}")
        self._log(runner, "train", lines)

    def before_test(self, runner: Runner) -> None:
        """Log what is tested."""
        lines = [] if self.checkpoint is None else [f"checkpoint: {self.checkpoint}"]
        lines.append(f"test data: {describe_dataset(runner.test_dataloader.dataset)}")
        self._log(runner, "test", lines)

    @staticmethod
    def _log(runner: Runner, action: str, lines: list[str]) -> None:
        num_parameters = sum(parameter.numel() for parameter in runner.model.parameters())
        name = runner.cfg.get("config_name") or Path(runner.cfg.filename or "config").stem
        title = f"rotated-atss {__version__}: {action} {name}, {num_parameters / 1e6:.1f} M parameters"
        for line in [title, f"device: {describe_device()}", *lines, f"log: {runner.logger.log_file}"]:
            runner.logger.info(line)


def describe_dataset(dataset: Any) -> str:
    """Describe a dataset in one line: number of images, classes and folder.

    Example:
        >>> class Tiles(list):
        ...     metainfo = {"classes": ("plane", "ship")}
        ...     data_root = "tiles/train"
        >>> describe_dataset(Tiles(range(3)))
        '3 images, 2 classes (plane, ship), tiles/train'
    """
    metainfo = getattr(dataset, "metainfo", None) or {}
    classes = metainfo.get("classes")
    parts = [count_of(len(dataset), "image")]
    if classes:
        shown_names = list(classes[:MAX_SHOWN_CLASSES])
        if len(classes) > MAX_SHOWN_CLASSES:
            shown_names.append("...")
        parts.append(f"{count_of(len(classes), 'class')} ({', '.join(shown_names)})")
    data_root = getattr(dataset, "data_root", None)
    if data_root:
        parts.append(str(data_root))
    return ", ".join(parts)


def describe_device() -> str:
    """Describe the device, and the number of processes if there is more than one, in one line.

    Example:
        >>> device, detail = describe_device().split(", ", maxsplit=1)
        >>> device == get_device()
        True
    """
    device, num_processes = get_device(), get_world_size()
    if device == "cpu":
        detail = count_of(torch.get_num_threads(), "thread")
    else:
        detail = torch.cuda.get_device_name() if device == "cuda" else "GPU"
    description = f"{device}, {detail}"
    return f"{description}, {num_processes} processes" if num_processes > 1 else description


def _describe_schedule(runner: Runner) -> str:
    """Return a line such as ``schedule: 12 epochs, 15396 iterations of 2 images, seed 3``."""
    loop, loader = runner.train_loop, runner.train_dataloader
    batch_size_per_process = loader.batch_size or getattr(loader.batch_sampler, "batch_size", 1)
    iterations_text = count_of(loop.max_iters, "iteration")
    images_text = count_of(batch_size_per_process * get_world_size(), "image")
    # A loop that counts iterations also has max_epochs, so this attribute does not distinguish the two kinds of loops.
    is_epoch_based = hasattr(loop, "run_epoch")
    epochs_text = f"{count_of(loop.max_epochs, 'epoch')}, " if is_epoch_based else ""
    return f"schedule: {epochs_text}{iterations_text} of {images_text}, seed {runner.seed}"
