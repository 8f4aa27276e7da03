"""Number of loader processes, and pinned memory."""

import os

import pytest
import torch
from mmengine.config import Config

from rotated_atss.detection.engine import dataloaders
from rotated_atss.errors import UserError


def config_of(**workers):
    return Config({f"{name}_dataloader": dict(num_workers=number, persistent_workers=number > 0)
                   for name, number in workers.items()} | {"val_dataloader": None})  # fmt: skip


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU and 16 CPU cores."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)


def num_workers(cfg):
    return [cfg[f"{name}_dataloader"].num_workers for name in ("train", "test")]


def test_config_is_kept_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = config_of(train=2, test=0)
    dataloaders.configure_dataloaders(cfg)
    assert num_workers(cfg) == [2, 0]
    assert "pin_memory" not in cfg.train_dataloader


@pytest.mark.parametrize(("processes", "expected"), [("1", [8, 12]), ("4", [4, 12]), ("16", [2, 12])])
def test_gpu_gets_its_share_of_the_cores_and_at_least_the_configs_number(gpu, monkeypatch, processes, expected):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    cfg = config_of(train=2, test=12)
    dataloaders.configure_dataloaders(cfg)
    assert num_workers(cfg) == expected
    assert cfg.train_dataloader.pin_memory is True


def test_settings_of_the_user_are_kept(gpu):
    cfg = config_of(train=2, test=0)
    cfg.train_dataloader.pin_memory = False
    dataloaders.configure_dataloaders(cfg, user_keys=["train_dataloader.num_workers"])
    assert num_workers(cfg) == [2, 0]
    assert cfg.train_dataloader.pin_memory is False


def test_given_number_of_workers(gpu):
    cfg = config_of(train=2, test=0)
    dataloaders.configure_dataloaders(cfg, 3)
    assert num_workers(cfg) == [3, 3]
    assert not cfg.test_dataloader.persistent_workers
    dataloaders.configure_dataloaders(cfg, 0)
    assert num_workers(cfg) == [0, 0]
    assert not cfg.train_dataloader.persistent_workers
    with pytest.raises(UserError, match="--workers must be at least 0, got -1"):
        dataloaders.configure_dataloaders(cfg, -1)
