"""How batches get to the device: loader processes enough, in memory from where a GPU fetches them itself."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import torch

from rotated_atss.errors import UserError
from rotated_atss.io.processes import available_cores

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
MAX_WORKERS = 8  # of one GPU, unless asked for: a tile costs a worker some 10 ms (docs/benchmarks.md)


def configure_dataloaders(cfg: Any, workers: int | None = None, told: Collection[str] = ()) -> None:
    """Set the loaders of a config (in place).

    On a GPU batches lie in pinned memory unless the config says otherwise, and the cores of the machine, shared by the
    processes on it, load tiles: up to :data:`MAX_WORKERS` a process, never fewer than the config has, for a GPU takes
    more than two of them give. On a CPU the network needs the cores, and the config's number stays.

    Args:
        cfg: With any of ``train_dataloader``, ``val_dataloader``, ``test_dataloader``.
        workers: Processes of each loader; None for the above.
        told: Keys that the user has set: a loader whose ``num_workers`` is among them keeps it.

    Raises:
        UserError: ``workers`` is negative.
    """
    if workers is not None and workers < 0:
        raise UserError(f"--workers is a number of processes, not {workers}")
    cores = available_cores() // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    for name in filter(cfg.get, LOADERS):
        loader = cfg[name]
        if torch.cuda.is_available():
            loader.setdefault("pin_memory", True)
            free = workers is None and f"{name}.num_workers" not in told
            if free and loader.get("num_workers"):  # a config that has 0 wants none
                loader.num_workers = max(loader.num_workers, min(MAX_WORKERS, cores))
        if workers is not None:
            loader.num_workers = workers
            loader.persistent_workers = workers > 0 and loader.get("persistent_workers", True)
