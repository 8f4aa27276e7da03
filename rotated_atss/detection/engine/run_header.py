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

SHOWN_CLASSES = 5  # class names printed; "..." stands for the rest


class HeaderHook(Hook):
    """Log model, device, data, schedule and log file in a few lines.

    Args:
        weights: The checkpoint that is tested; None in training.
    """

    priority = "LOWEST"  # after hooks that load weights

    def __init__(self, weights: str | Path | None = None) -> None:
        self.weights = weights

    def before_train(self, runner: Runner) -> None:
        """Log what is trained."""
        lines = [f"training data: {describe_dataset(runner.train_dataloader.dataset)}"]
        if runner.val_loop is not None:
            lines.append(f"validation data: {describe_dataset(runner.val_dataloader.dataset)}")
        lines.append(_describe_schedule(runner))
        if runner._load_from:
            start = f"at iteration {runner.iter}" if runner._resume else "as start weights"
            lines.append(f"checkpoint: {runner._load_from}, {start}")
        self._log(runner, "train", lines)

    def before_test(self, runner: Runner) -> None:
        """Log what is tested."""
        lines = [] if self.weights is None else [f"checkpoint: {self.weights}"]
        lines.append(f"test data: {describe_dataset(runner.test_dataloader.dataset)}")
        self._log(runner, "test", lines)

    @staticmethod
    def _log(runner: Runner, action: str, lines: list[str]) -> None:
        parameters = sum(parameter.numel() for parameter in runner.model.parameters())
        name = runner.cfg.get("config_name") or Path(runner.cfg.filename or "config").stem
        title = f"rotated-atss {__version__}: {action} {name}, {parameters / 1e6:.1f} M parameters"
        for line in [title, f"device: {describe_device()}", *lines, f"log: {runner.logger.log_file}"]:
            runner.logger.info(line)


def describe_dataset(dataset: Any) -> str:
    """Return number of images, classes and folder of a dataset as one text.

    Example:
        >>> class Tiles(list):
        ...     metainfo = {"classes": ("plane", "ship")}
        ...     data_root = "tiles/train"
        >>> describe_dataset(Tiles(range(3)))
        '3 images, 2 classes (plane, ship), tiles/train'
    """
    classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
    parts = [count_of(len(dataset), "image")]
    if classes:
        names = ", ".join([*classes[:SHOWN_CLASSES], *(["..."] if len(classes) > SHOWN_CLASSES else [])])
        parts.append(f"{count_of(len(classes), 'class')} ({names})")
    root = getattr(dataset, "data_root", None)
    return ", ".join([*parts, str(root)] if root else parts)


def describe_device() -> str:
    """Return as one text the device, its name or number of threads, and the number of processes if there are several.

    Example:
        >>> describe_device().partition(", ")[0] == get_device()
        True
    """
    device, processes = get_device(), get_world_size()
    if device == "cpu":
        detail = count_of(torch.get_num_threads(), "thread")
    else:
        detail = torch.cuda.get_device_name() if device == "cuda" else "GPU"
    return f"{device}, {detail}" + (f", {processes} processes" if processes > 1 else "")


def _describe_schedule(runner: Runner) -> str:
    loop, loader = runner.train_loop, runner.train_dataloader
    batch = (loader.batch_size or getattr(loader.batch_sampler, "batch_size", 1)) * get_world_size()
    plural = "" if loop.max_epochs == 1 else "s"
    epochs = f"{loop.max_epochs} epoch{plural}, " if hasattr(loop, "run_epoch") else ""
    return (
        f"schedule: {epochs}{count_of(loop.max_iters, 'iteration')} of {count_of(batch, 'image')}, seed {runner.seed}"
    )
