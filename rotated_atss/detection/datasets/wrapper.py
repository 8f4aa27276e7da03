"""Datasets that change how the samples of another dataset are loaded."""

from __future__ import annotations

from typing import Any

from mmengine.registry import DATASETS
from torch.utils.data import Dataset


class DatasetWrapper(Dataset):
    """Dataset with the samples and all attributes of another one.

    Args:
        dataset: Config of the other dataset.
    """

    def __init__(self, dataset: dict) -> None:
        self.__dict__["dataset"] = DATASETS.build(dataset)

    def __getitem__(self, index: int) -> Any:
        """Load a sample."""
        return self.dataset[index]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the other dataset."""
        if name == "dataset" or name.startswith("__"):  # DataLoader would prefer a __getitems__ of the other dataset
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the other dataset, as hooks that replace ``pipeline`` do."""
        setattr(self.dataset, name, value)
