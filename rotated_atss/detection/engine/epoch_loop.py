"""Training loop that resumes within an epoch, by skipping the batches that are already trained."""

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
    """MMEngine's ``EpochBasedTrainLoop``, but it resumes a checkpoint within an epoch at the next batch.

    MMEngine's loop starts the epoch again, although it continues the count of iterations. This loop skips the batches
    that were trained before the checkpoint.
    """

    batches_to_skip = 0  # batches of the next epoch to run that were trained before the checkpoint

    def resume_epoch(self, meta: Mapping[str, Any]) -> str | None:
        """Skip the batches of the current epoch that were trained before a checkpoint.

        Args:
            meta: ``meta`` of the checkpoint. MMEngine has already set iteration and epoch of this loop from it.

        Returns:
            A warning if the epoch starts again because the number of batches per epoch has changed; else None.
        """
        length = len(self.dataloader)
        saved_length = meta.get(EPOCH_LENGTH, length)
        trained_batches = self._iter - self._epoch * saved_length  # of the current epoch
        # trained_batches == length: a signal ended the training in the last iteration of an epoch, before _epoch += 1.
        if saved_length == length and 0 <= trained_batches <= length:
            self.batches_to_skip = trained_batches
        elif 0 < trained_batches < saved_length:
            change = f"an epoch has {length} batches, {saved_length} in the checkpoint"
            return f"{change}: epoch {self._epoch + 1} starts again"
        return None

    def run_epoch(self) -> None:
        """Train an epoch, or the remaining batches of a resumed epoch."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        skipped, self.batches_to_skip = self.batches_to_skip, 0
        for index, data_batch in enumerate(skip_batches(self.dataloader, skipped), start=skipped):
            self.run_iter(index, data_batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1


def skip_batches(dataloader: DataLoader, num_batches: int) -> Iterable[Any]:
    """Return an iterable over the batches of a data loader without the first ones.

    If the sampler can skip, the first batches are not loaded; otherwise they are loaded and dropped.

    Args:
        dataloader: A data loader. A sampler can skip if it has a method ``skip_in_epoch(num_samples)``, a batch sampler
            if it is a :class:`ResumableBatchSampler`.
        num_batches: Number of batches to skip.

    Example:
        >>> [batch.tolist() for batch in skip_batches(DataLoader(range(5), batch_size=2), 2)]
        [[4]]
    """
    if not num_batches:
        return dataloader
    if isinstance(dataloader.batch_sampler, ResumableBatchSampler):
        dataloader.batch_sampler.skip_batches(num_batches)
        return dataloader
    sampler: Any = dataloader.sampler
    batch_size = dataloader.batch_size  # None with a custom batch sampler
    if hasattr(sampler, "skip_in_epoch") and batch_size is not None:
        sampler.skip_in_epoch(num_batches * batch_size)
        return dataloader
    return islice(dataloader, num_batches, None)


class ResumableBatchSampler(Sampler):
    """Wrapper of a batch sampler that can skip the first batches.

    Args:
        sampler: Sampler of the indices.
        batch_size: Indices per batch.
        batch_sampler: Config of the wrapped batch sampler.
    """

    def __init__(self, sampler: Sampler, batch_size: int, batch_sampler: dict) -> None:
        self.batch_sampler = DATA_SAMPLERS.build(
            batch_sampler, default_args=dict(sampler=sampler, batch_size=batch_size)
        )
        self._num_to_skip = 0

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches after the skipped ones; the next iteration yields all batches again."""
        num_to_skip, self._num_to_skip = self._num_to_skip, 0
        return islice(iter(self.batch_sampler), num_to_skip, None)

    def __len__(self) -> int:
        """Return the length of the wrapped batch sampler."""
        return len(self.batch_sampler)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped batch sampler, such as ``sampler``."""
        if name == "batch_sampler":  # not yet set while a copy is created; avoid endless recursion
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def skip_batches(self, num_batches: int) -> None:
        """Skip the first batches in the next iteration over this sampler.

        Args:
            num_batches: Number of batches to skip.
        """
        self._num_to_skip = num_batches
