"""Random numbers of training that depend only on the seed and the position in the run.

The random numbers of an augmentation or a training step depend neither on earlier random numbers nor on the number of
data loader processes. A resumed run therefore continues like an uninterrupted one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info, get_rank
from mmengine.hooks import Hook
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from torch.utils.data import Dataset, Sampler

from rotated_atss.detection.datasets.wrapper import DatasetWrapper
from rotated_atss.detection.engine.epoch_loop import ResumableBatchSampler

# The second argument of derive_seed, so that the seeds of samples and the seeds of training steps are different.
SAMPLES, STEPS = 0, 1


class SeededIndex(int):
    """Index of a sample, with the seed of the sample's augmentation.

    Args:
        index: The index.
        seed: Any integer in [0, 2^32).

    Example:
        >>> index = SeededIndex(5, seed=7)
        >>> index
        5
        >>> index.seed
        7
    """

    seed: int

    def __new__(cls, index: int, seed: int) -> SeededIndex:
        """Create the index."""
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def __reduce__(self) -> tuple:
        """Pickle the index with its seed, for data loader processes."""
        return SeededIndex, (int(self), self.seed)


class SeededSampler(Sampler):
    """Add a seed to every index that a wrapped sampler yields.

    The seed is derived from the seed of the run, the epoch, and the position of the sample in the epoch, counted over
    all processes.

    Args:
        dataset: Dataset of the wrapped sampler.
        seed: Seed of the wrapped sampler, which determines the order of the samples.
        sampler: Config of the wrapped sampler.
        sample_seed: Seed of the run, from which the seeds of the samples are derived.
    """

    def __init__(self, dataset: Dataset, seed: int | None, sampler: dict, sample_seed: int) -> None:
        self.sampler = DATA_SAMPLERS.build(sampler, default_args=dict(dataset=dataset, seed=seed))
        self.sample_seed, self.epoch, self._num_to_skip = sample_seed, 0, 0
        self.position = 0  # number of samples that this process has drawn in the current epoch
        self.rank, self.world_size = get_dist_info()
        # When MMEngine resumes a run, it calls the sampler's method skip if there is one, and otherwise loads the data
        # to be skipped. Therefore this sampler has the method only if the wrapped sampler has it.
        if hasattr(self.sampler, "skip"):
            self.skip = self._skip

    def __iter__(self) -> Iterator[SeededIndex]:
        """Yield the indices.

        If ``set_epoch`` is not called between two passes, as in training by iterations, the positions are counted on
        and do not start again from 0.
        """
        num_to_skip, self._num_to_skip = self._num_to_skip, 0
        self.position += num_to_skip
        for index in islice(self.sampler, num_to_skip, None):
            global_position = self.position * self.world_size + self.rank
            self.position += 1
            yield SeededIndex(index, derive_seed(self.sample_seed, SAMPLES, self.epoch, global_position))

    def __len__(self) -> int:
        """Return the length of the wrapped sampler."""
        return len(self.sampler)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped sampler."""
        if name == "sampler":
            # While an object is copied or unpickled, this attribute is not set yet. Without this check, the lookup
            # below would recurse without end.
            raise AttributeError(name)
        return getattr(self.sampler, name)

    def set_epoch(self, epoch: int) -> None:
        """Start an epoch at its first position."""
        self.epoch, self.position = epoch, 0
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def skip_in_epoch(self, num_samples: int) -> None:
        """Skip the first samples of an epoch in the next iteration over this sampler.

        Args:
            num_samples: Number of samples to skip in this process.
        """
        self._num_to_skip = num_samples

    def _skip(self, num_samples: int) -> None:
        """Skip the samples that this process drew before the run was interrupted, counted from the start of the run."""
        self.position = num_samples
        self.sampler.skip(num_samples)


class SeededDataset(DatasetWrapper):
    """Seed the random number generators before every sample of a wrapped dataset.

    Args:
        dataset: Config of the wrapped dataset.
    """

    def __getitem__(self, index: int) -> Any:
        """Load a sample. The generators are seeded only if ``index`` is a :class:`SeededIndex`."""
        if isinstance(index, SeededIndex):
            seed_generators(index.seed)
        return self.dataset[int(index)]


class StepSeedHook(Hook):
    """Seed the random number generators before every training step, for models that draw random numbers."""

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed by the iteration and the rank of the process."""
        seed_generators(step_seed(runner.seed, runner.iter))


def seed_samples(dataloader: dict, seed: int) -> dict:
    """Change the config of a data loader so that the augmentation of each sample is seeded.

    Args:
        dataloader: Config of the training data loader. It is not changed.
        seed: Seed of the run.

    Returns:
        A changed copy; the given config if its dataset or sampler is already built.

    Example:
        >>> dataset = dict(type="DOTADataset", data_root="roofs")
        >>> seeded = seed_samples(dict(dataset=dataset, sampler=dict(type="InfiniteSampler")), seed=3)
        >>> seeded["dataset"]["type"].__name__
        'SeededDataset'
    """
    dataset, sampler = dataloader["dataset"], dataloader.get("sampler")
    if not isinstance(dataset, dict) or not isinstance(sampler, dict):
        return dataloader
    seeded_sampler = dict(type=SeededSampler, sampler=sampler, sample_seed=seed)
    batch_sampler = dataloader.get("batch_sampler")
    if isinstance(batch_sampler, dict):
        dataloader = {**dataloader, "batch_sampler": dict(type=ResumableBatchSampler, batch_sampler=batch_sampler)}
    return {**dataloader, "dataset": dict(type=SeededDataset, dataset=dataset), "sampler": seeded_sampler}


def step_seed(seed: int, iteration: int) -> int:
    """Return the seed of a training step in this process.

    Args:
        seed: Seed of the run.
        iteration: Index of the iteration, from 0.

    Example:
        >>> step_seed(3, 0) == derive_seed(3, STEPS, 0, 0)
        True
    """
    return derive_seed(seed, STEPS, iteration, get_rank())


def derive_seed(*numbers: int) -> int:
    """Return a seed in [0, 2^32) that depends on all numbers.

    Args:
        numbers: Integers of at least 0.

    Example:
        >>> derive_seed(3, 0, 1) == derive_seed(3, 0, 1)
        True
        >>> derive_seed(3, 0, 1) == derive_seed(3, 1, 0)
        False
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def seed_generators(seed: int) -> None:
    """Seed the global generators of Python, NumPy and PyTorch.

    Example:
        >>> seed_generators(3)
        >>> first = random.random()
        >>> seed_generators(3)
        >>> random.random() == first
        True
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (MMCV's transforms draw from the global generator)
    torch.manual_seed(seed)
