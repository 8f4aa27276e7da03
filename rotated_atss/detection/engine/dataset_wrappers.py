"""Find the datasets inside wrappers such as ``RepeatDataset`` and ``ConcatDataset``, as configs or as built objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def innermost_dataset_cfgs(dataset: Any) -> Iterator[Any]:
    """Yield the configs of the datasets inside wrappers, or the given config itself if it is not a wrapper.

    Args:
        dataset: Config of a dataset or wrapper, or a list or tuple of these configs; anything else yields nothing.

    Example:
        >>> roofs = dict(type="DOTADataset", data_root="roofs")
        >>> wrapper = dict(type="RepeatDataset", times=2, dataset=roofs)
        >>> list(innermost_dataset_cfgs(wrapper)) == [roofs]
        True
    """
    if isinstance(dataset, (list, tuple)):
        for dataset_cfg in dataset:
            yield from innermost_dataset_cfgs(dataset_cfg)
    elif isinstance(dataset, dict):
        wrapped = dataset.get("dataset") or dataset.get("datasets")
        if wrapped:
            yield from innermost_dataset_cfgs(wrapped)
        else:
            yield dataset


def innermost_built_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the built datasets inside wrappers, or the given dataset itself if it is not a wrapper.

    Args:
        dataset: A built dataset, or a wrapper with an attribute ``dataset`` or ``datasets``.

    Example:
        >>> from types import SimpleNamespace
        >>> roofs = SimpleNamespace(data_root="roofs")  # takes the place of a built DOTADataset
        >>> wrapper = SimpleNamespace(dataset=roofs)
        >>> list(innermost_built_datasets(wrapper)) == [roofs]
        True
    """
    wrapped_datasets = getattr(dataset, "datasets", None)
    if not wrapped_datasets:
        wrapped_dataset = getattr(dataset, "dataset", None)
        wrapped_datasets = [] if wrapped_dataset is None else [wrapped_dataset]
    if not wrapped_datasets:
        yield dataset
    for wrapped_dataset in wrapped_datasets:
        yield from innermost_built_datasets(wrapped_dataset)
