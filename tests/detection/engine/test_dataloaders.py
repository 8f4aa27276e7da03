"""How many processes load, and where batches lie."""

import os

import pytest
import torch
from mmengine.config import Config

from rotated_atss.detection.engine import dataloaders as feeding
from rotated_atss.errors import UserError


def loaders(**workers):
    return Config({f"{name}_dataloader": dict(num_workers=number, persistent_workers=number > 0)
                   for name, number in workers.items()} | {"val_dataloader": None})  # fmt: skip


@pytest.fixture
def gpu(monkeypatch):
    """A GPU beside 16 cores."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)


def numbers(cfg):
    return [cfg[f"{name}_dataloader"].num_workers for name in ("train", "test")]


def test_the_cpu_keeps_what_the_config_says(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = loaders(train=2, test=0)
    feeding.configure_dataloaders(cfg)
    assert numbers(cfg) == [2, 0]
    assert "pin_memory" not in cfg.train_dataloader


@pytest.mark.parametrize(("processes", "expected"), [("1", [8, 12]), ("4", [4, 12]), ("16", [2, 12])])
def test_a_gpu_gets_its_share_of_the_cores_and_never_less_than_the_config(gpu, monkeypatch, processes, expected):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    cfg = loaders(train=2, test=12)
    feeding.configure_dataloaders(cfg)
    assert numbers(cfg) == expected
    assert cfg.train_dataloader.pin_memory is True


def test_what_was_told_stays(gpu):
    cfg = loaders(train=2, test=0)
    cfg.train_dataloader.pin_memory = False
    feeding.configure_dataloaders(cfg, user_keys=["train_dataloader.num_workers"])
    assert numbers(cfg) == [2, 0]
    assert cfg.train_dataloader.pin_memory is False


def test_workers_asked_for(gpu):
    cfg = loaders(train=2, test=0)
    feeding.configure_dataloaders(cfg, 3)
    assert numbers(cfg) == [3, 3]
    assert not cfg.test_dataloader.persistent_workers
    feeding.configure_dataloaders(cfg, 0)
    assert numbers(cfg) == [0, 0]
    assert not cfg.train_dataloader.persistent_workers
    with pytest.raises(UserError, match="--workers must be at least 0, got -1"):
        feeding.configure_dataloaders(cfg, -1)
