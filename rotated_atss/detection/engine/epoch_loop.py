"""Training loop that can resume in the middle of an epoch: it skips the batches that were already processed."""

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
    """MMEngine's ``EpochBasedTrainLoop``, extended to resume at the next batch after a checkpoint within an epoch.

    From such a checkpoint, MMEngine's loop restores the iteration number, but runs the epoch from its first batch. This
    loop skips the batches that were processed before the checkpoint was saved.
    """

    batches_to_skip = 0  # number of batches that run_epoch skips when it is called next

    def resume_epoch(self, meta: Mapping[str, Any]) -> str | None:
        """Make the next epoch skip the batches that were processed before a checkpoint was saved.

        Args:
            meta: ``meta`` of the checkpoint. MMEngine must have set this loop's iteration and epoch from ``meta``.

        Returns:
            A warning if the epoch starts again because the number of batches per epoch has changed; otherwise None.
        """
        length = len(self.dataloader)
        saved_length = meta.get(EPOCH_LENGTH, length)
        processed_batches = self._iter - self._epoch * saved_length  # without those of earlier epochs
        # processed_batches equals length if a signal ended the run during the last iteration of an epoch, because the
        # epoch number is incremented only after this iteration.
        if saved_length == length and 0 <= processed_batches <= length:
            self.batches_to_skip = processed_batches
        elif 0 < processed_batches < saved_length:
            change = f"the number of batches per epoch has changed from {saved_length} to {length}"
            return f"{change}: epoch {self._epoch + 1} starts again from its first batch"
        return None

    def run_epoch(self) -> None:
        """Train an epoch, or the remaining batches of a resumed epoch."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        num_skipped, self.batches_to_skip = self.batches_to_skip, 0
        for batch_index, data_batch in enumerate(skip_batches(self.dataloader, num_skipped), start=num_skipped):
            self.run_iter(batch_index, data_batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1


def skip_batches(dataloader: DataLoader, num_batches: int) -> Iterable[Any]:
    """Return an iterable over the batches of a data loader without the first ones.

    If the data loader has a sampler with a method ``skip_in_epoch(num_samples)``, or its batch sampler is a
    :class:`ResumableBatchSampler`, the first batches are not loaded. Otherwise they are loaded and discarded.

    Args:
        dataloader: A data loader.
        num_batches: Number of batches to skip.

    Example:
        >>> dataloader = DataLoader(range(5), batch_size=2)
        >>> list(dataloader)
        [tensor([0, 1]), tensor([2, 3]), tensor([4])]
        >>> list(skip_batches(dataloader, 2))
        [tensor([4])]
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
    """Wrapper that makes any batch sampler able to skip its first batches.

    Args:
        sampler: Sampler that yields the indices of images.
        batch_size: Number of images per batch.
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
        if name == "batch_sampler":
            # While an object is copied or unpickled, this attribute is not set yet. Without this check, the lookup
            # below would recurse without end.
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def skip_batches(self, num_batches: int) -> None:
        """Skip the first batches in the next iteration over this sampler.

        Args:
            num_batches: Number of batches to skip.
        """
        self._num_to_skip = num_batches
