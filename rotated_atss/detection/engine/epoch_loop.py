"""Epochs of training that resume within an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from mmengine.registry import DATA_SAMPLERS, LOOPS
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader, Sampler

EPOCH_LENGTH = "epoch_length"  # key of a checkpoint's meta: number of batches per epoch and process


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """MMEngine's ``EpochBasedTrainLoop``, which continues a checkpoint within an epoch at its next batch.

    MMEngine starts the epoch again, but counts its iterations on. The batches before the checkpoint are not loaded.
    """

    done = 0  # batches of the next epoch that are trained already

    def resume_epoch(self, meta: Mapping[str, Any]) -> str | None:
        """Skip the batches of the current epoch that a checkpoint has trained.

        Args:
            meta: ``meta`` of the checkpoint, from which ``iter`` and ``epoch`` of this loop are set.

        Returns:
            A line that says why the epoch starts again, or None.
        """
        length = len(self.dataloader)
        saved = meta.get(EPOCH_LENGTH, length)
        done = self._iter - self._epoch * saved
        if saved == length and 0 <= done <= length:
            self.done = done
        elif 0 < done < saved:
            return f"an epoch has {length} batches, {saved} in the checkpoint: epoch {self._epoch + 1} starts again"
        return None

    def run_epoch(self) -> None:
        """Train an epoch, or the rest of it."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        done, self.done = self.done, 0
        for index, data_batch in enumerate(skip_batches(self.dataloader, done), start=done):
            self.run_iter(index, data_batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1


def skip_batches(dataloader: DataLoader, number: int) -> Iterable[Any]:
    """Return the batches of a data loader after the first ones, which are not loaded if its sampler can skip them.

    Args:
        dataloader: A data loader. Its sampler can skip if it has a method ``skip_in_epoch(samples)``, its batch sampler
            if it is a :class:`ResumableBatchSampler`.
        number: Number of batches to skip.

    Example:
        >>> [batch.tolist() for batch in skip_batches(DataLoader(range(5), batch_size=2), 2)]
        [[4]]
    """
    if not number:
        return dataloader
    sampler: Any = dataloader.sampler
    if isinstance(dataloader.batch_sampler, ResumableBatchSampler):
        dataloader.batch_sampler.skip_batches(number)
        return dataloader
    if hasattr(sampler, "skip_in_epoch") and dataloader.batch_size:
        sampler.skip_in_epoch(number * dataloader.batch_size)
        return dataloader
    return islice(dataloader, number, None)


class ResumableBatchSampler(Sampler):
    """Another batch sampler, whose first batches can be skipped.

    Args:
        sampler: Sampler of the indices.
        batch_size: Indices per batch.
        batch_sampler: Config of the other batch sampler.
    """

    def __init__(self, sampler: Sampler, batch_size: int, batch_sampler: dict) -> None:
        self.batch_sampler = DATA_SAMPLERS.build(
            batch_sampler, default_args=dict(sampler=sampler, batch_size=batch_size)
        )
        self._first = 0

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches; those to skip only once."""
        first, self._first = self._first, 0
        return islice(iter(self.batch_sampler), first, None)

    def __len__(self) -> int:
        """Return the length of the other batch sampler."""
        return len(self.batch_sampler)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the other batch sampler, such as ``sampler``."""
        if name == "batch_sampler":
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def skip_batches(self, number: int) -> None:
        """Skip the first batches of the next iteration.

        Args:
            number: Number of batches.
        """
        self._first = number
