"""Set ``num_workers`` and ``pin_memory`` of the data loaders."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import torch

from rotated_atss.errors import UserError
from rotated_atss.io.processes import available_cores

LOADER_KEYS = ("train_dataloader", "val_dataloader", "test_dataloader")
# The maximum per GPU. A worker needs about 10 ms per tile (docs/benchmarks.md), so 8 workers load about 800 tiles per
# second.
MAX_WORKERS = 8


def configure_dataloaders(cfg: Any, workers: int | None = None, user_keys: Collection[str] = ()) -> None:
    """Set ``num_workers`` and ``pin_memory`` of a config's data loaders, in place.

    With a GPU, ``pin_memory`` is True unless the config sets it. ``num_workers`` is raised to the number of CPU cores
    per process, at most :data:`MAX_WORKERS`, because two workers, the number in this package's configs, do not load
    tiles fast enough for a GPU. Without a GPU, ``num_workers`` of the config is kept, because the network itself needs
    the cores.

    Args:
        cfg: A config with any of ``train_dataloader``, ``val_dataloader`` and ``test_dataloader``.
        workers: Number of processes of each data loader; None to set ``num_workers`` as described above.
        user_keys: Dotted config keys set by the user. A ``num_workers`` that the user has set is kept.

    Raises:
        UserError: ``workers`` is negative.

    Example:
        >>> from mmengine.config import Config
        >>> cfg = Config(dict(test_dataloader=dict(num_workers=2)))
        >>> configure_dataloaders(cfg, workers=0)
        >>> cfg.test_dataloader.num_workers
        0
    """
    if workers is not None and workers < 0:
        raise UserError(f"--workers must be at least 0, got {workers}")
    # torchrun sets LOCAL_WORLD_SIZE to the number of training processes on this machine
    num_processes = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    cores_per_process = available_cores() // num_processes
    for name in LOADER_KEYS:
        loader_cfg = cfg.get(name)
        if not loader_cfg:  # configs for training without validation, for example, have no val_dataloader
            continue
        if torch.cuda.is_available():
            loader_cfg.setdefault("pin_memory", True)
            is_set_by_user = workers is not None or f"{name}.num_workers" in user_keys
            # num_workers = 0 in a config is kept: it requests loading in the main process
            if not is_set_by_user and loader_cfg.get("num_workers"):
                loader_cfg.num_workers = max(loader_cfg.num_workers, min(MAX_WORKERS, cores_per_process))
        if workers is not None:
            loader_cfg.num_workers = workers
            # PyTorch rejects persistent_workers=True without workers
            loader_cfg.persistent_workers = workers > 0 and loader_cfg.get("persistent_workers", True)
