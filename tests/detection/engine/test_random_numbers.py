"""Augmentation that depends on the seed and the position in the run only, and trainings that resume exactly."""

# ruff: noqa: NPY002 (transforms draw from the global generator of NumPy)

import pickle
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DATA_SAMPLERS, DATASETS
from mmengine.runner import Runner

from rotated_atss.detection.engine.random_numbers import (
    SeededDataset,
    SeededIndex,
    SeededSampler,
    StepSeedHook,
    seed_samples,
)
from rotated_atss.detection.engine.resume import restore_seed


class Draws:
    """A dataset whose samples are an index and a random number of each generator."""

    metainfo = dict(classes=("ship",))  # noqa: RUF012
    pipeline = None

    def __len__(self):
        return 7

    def __getitem__(self, index):
        assert type(index) is int
        return index, random.random(), float(np.random.rand()), float(torch.rand(()))

    def __getitems__(self, indices):  # DataLoader must not use it, because it would leave out the seeds
        raise AssertionError(indices)


@pytest.fixture
def build(monkeypatch):
    """``build(sampler, workers, seed=3) -> DataLoader`` of :class:`Draws` with batches of two."""
    monkeypatch.setitem(DATASETS._module_dict, "Draws", Draws)

    def call(sampler, workers=0, seed=3):
        loader = dict(dataset=dict(type="Draws"), sampler=dict(type=sampler), batch_size=2, num_workers=workers)
        return Runner.build_dataloader(seed_samples(dict(loader, collate_fn=dict(type=list)), seed), seed=seed)

    return call


def take(loader, batches):
    return [batch for _, batch in zip(range(batches), loader, strict=False)]


@pytest.mark.parametrize("sampler", ["DefaultSampler", "InfiniteSampler"])
def test_samples_depend_on_seed_and_position_only(build, sampler):
    first = take(build(sampler), 4)
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    assert take(build(sampler), 4) == first
    assert take(build(sampler, workers=2), 4) == first
    assert take(build(sampler, seed=4), 4) != first
    values = [value for batch in first for _, *draws in batch for value in draws]
    assert len(set(values)) == len(values)


def test_epochs_differ_and_can_be_repeated(build):
    loader = build("DefaultSampler")
    epochs = []
    for epoch in (0, 1, 1):
        loader.sampler.set_epoch(epoch)
        epochs.append({index: draws for batch in loader for index, *draws in batch})
    assert epochs[0].keys() == epochs[1].keys()
    assert all(epochs[0][index] != epochs[1][index] for index in epochs[0])
    assert epochs[1] == epochs[2]


def test_epochs_without_set_epoch_differ(build):
    loader = build("DefaultSampler")
    first, second = ({index: draws for batch in loader for index, *draws in batch} for _ in range(2))
    assert all(first[index] != second[index] for index in first)


def test_skipped_samples_keep_their_seeds(build):
    whole, rest = take(build("InfiniteSampler"), 6), build("InfiniteSampler")
    rest.sampler.skip(8)
    assert take(rest, 2) == whole[4:]
    assert not hasattr(build("DefaultSampler").sampler, "skip")  # MMEngine then steps through the data


@pytest.mark.parametrize("sampler", ["DefaultSampler", "InfiniteSampler"])
def test_seeds_do_not_depend_on_the_number_of_gpus(monkeypatch, build, sampler):
    def seeds(rank, world_size):
        for module in ("mmengine.dataset.sampler", "rotated_atss.detection.engine.random_numbers"):
            monkeypatch.setattr(f"{module}.get_dist_info", lambda: (rank, world_size))
        cfg = dict(type=SeededSampler, sampler=dict(type=sampler), sample_seed=3, dataset=Draws(), seed=3)
        return [(int(i), i.seed) for _, i in zip(range(6 // world_size), DATA_SAMPLERS.build(cfg), strict=False)]

    even, odd = seeds(0, 2), seeds(1, 2)
    assert [pair for pairs in zip(even, odd, strict=True) for pair in pairs] == seeds(0, 1)


def test_dataset_passes_attributes_on(build):
    dataset = build("DefaultSampler").dataset
    assert isinstance(dataset, SeededDataset)
    assert dataset.metainfo == {"classes": ("ship",)}
    dataset.pipeline = "new"
    assert dataset.dataset.pipeline == "new"
    assert not hasattr(dataset, "__getitems__")
    assert len(pickle.loads(pickle.dumps(dataset))) == 7


def test_seeded_index_survives_pickling():
    index = pickle.loads(pickle.dumps(SeededIndex(5, seed=2**32 - 1)))
    assert (index, index.seed) == (5, 2**32 - 1)


def test_loaders_with_built_parts_are_left_alone():
    loader = dict(dataset=Draws(), sampler=dict(type="DefaultSampler"))
    assert seed_samples(loader, 3) is loader


def test_steps_have_random_numbers_of_their_own():
    def draw(seed, iteration):
        StepSeedHook().before_train_iter(SimpleNamespace(seed=seed, iter=iteration), 0)
        return float(torch.rand(()))

    assert draw(3, 5) == draw(3, 5)
    assert len({draw(3, 5), draw(3, 6), draw(4, 5)}) == 3


def test_seed_of_the_checkpoint_applies():
    cfg = SimpleNamespace(get=lambda name: None)
    assert restore_seed(cfg, {"meta": {"seed": 3}}) is None
    assert cfg.randomness == {"seed": 3}


@pytest.fixture
def losses(read_scalars):
    """``losses(work_dir, after=0) -> {step: (loss, loss_bbox, lr)}`` of the latest run."""

    def read(work_dir, after=0):
        rows = [dict(read_scalars(work_dir, key)) for key in ("loss", "loss_bbox", "lr")]
        return {step: tuple(row[step] for row in rows) for step in rows[0] if step > after}

    return read


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_resumed_training_has_the_losses_of_an_uninterrupted_one(run, losses, read_log, workers):
    changes = {"default_hooks.checkpoint.interval": 2, "train_cfg.max_iters": 4}
    whole = run({**changes, "train_dataloader.num_workers": workers}, deterministic=True)  # MMEngine draws the seed
    resumed = run(changes, resume=str(whole / "iter_2.pth"), deterministic=True, seed=1)
    assert losses(resumed) == losses(whole, after=2)
    assert len(losses(resumed)) == 2
    assert "in the checkpoint and 1 in the config; the value of the checkpoint is used" in read_log(resumed)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_resumed_epochs_have_the_losses_of_an_uninterrupted_training(run_published, losses, tmp_path, workers):
    changes = {"train_cfg.max_epochs": 2, "train_dataloader.num_workers": workers, "train_cfg.val_interval": 9}
    whole = run_published(changes, work_dir=str(tmp_path / "whole"), deterministic=True)
    resumed = run_published(
        changes, work_dir=str(tmp_path / "resumed"), resume=str(whole / "epoch_1.pth"), deterministic=True
    )
    assert losses(resumed) == losses(whole, after=3)
    assert len(losses(resumed)) == 3
