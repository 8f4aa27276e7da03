"""Base class of datasets that change how the samples of another dataset are loaded."""

from __future__ import annotations

from typing import Any

from mmengine.registry import DATASETS
from torch.utils.data import Dataset


class DatasetWrapper(Dataset):
    """Dataset with the samples and all attributes of a wrapped dataset.

    Args:
        dataset: Config of the wrapped dataset.
    """

    def __init__(self, dataset: dict) -> None:
        self.__dict__["dataset"] = DATASETS.build(dataset)  # not by __setattr__, which sets it on the wrapped dataset

    def __getitem__(self, index: int) -> Any:
        """Load a sample."""
        return self.dataset[index]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped dataset."""
        # "dataset" is looked up here only before it is set, as in unpickling: delegating it would recurse endlessly.
        # A DataLoader calls __getitems__ if there is one; that of the wrapped dataset would bypass __getitem__.
        if name == "dataset" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the wrapped dataset, for hooks that replace its ``pipeline``."""
        setattr(self.dataset, name, value)
