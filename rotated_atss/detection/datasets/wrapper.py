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
        # __setattr__ would set the attribute on the wrapped dataset, which does not exist yet
        self.__dict__["dataset"] = DATASETS.build(dataset)

    def __getitem__(self, index: int) -> Any:
        """Load a sample."""
        return self.dataset[index]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped dataset."""
        # This method is called for "dataset" only while the attribute is not set yet, for example during unpickling.
        # Reading self.dataset would then recurse endlessly. Names that start with two underscores are not delegated,
        # either: a DataLoader calls __getitems__ if it exists, and the __getitems__ of the wrapped dataset would bypass
        # the __getitem__ of this class.
        if name == "dataset" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the wrapped dataset, for hooks that replace its ``pipeline``."""
        setattr(self.dataset, name, value)
