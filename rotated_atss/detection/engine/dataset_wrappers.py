"""Find the datasets inside wrappers such as ``RepeatDataset`` and ``ConcatDataset``, built or as configs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def innermost_dataset_cfgs(dataset: Any) -> Iterator[Any]:
    """Yield the configs of the datasets inside wrappers; that of a dataset without a wrapper is yielded itself.

    Args:
        dataset: Config of a dataset or wrapper, or a sequence of such configs; anything else yields nothing.

    Example:
        >>> roofs = dict(type="DOTADataset", data_root="roofs")
        >>> list(innermost_dataset_cfgs(dict(type="RepeatDataset", times=2, dataset=roofs))) == [roofs]
        True
    """
    if isinstance(dataset, (list, tuple)):
        for part in dataset:
            yield from innermost_dataset_cfgs(part)
    elif isinstance(dataset, dict):
        inner = dataset.get("dataset") or dataset.get("datasets")
        if inner:
            yield from innermost_dataset_cfgs(inner)
        else:
            yield dataset


def innermost_built_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the built datasets inside wrappers; a dataset without a wrapper is yielded itself.

    Args:
        dataset: A built dataset, or a wrapper with an attribute ``dataset`` or ``datasets``.

    Example:
        >>> from types import SimpleNamespace
        >>> inner = SimpleNamespace(pipeline=None)
        >>> list(innermost_built_datasets(SimpleNamespace(dataset=inner))) == [inner]
        True
    """
    parts = getattr(dataset, "datasets", None)
    if not parts:
        wrapped = getattr(dataset, "dataset", None)
        parts = [] if wrapped is None else [wrapped]
    if not parts:
        yield dataset
    for part in parts:
        yield from innermost_built_datasets(part)
