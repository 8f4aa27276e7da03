"""Class names of a detector: find them in checkpoint, config or dataset, and set them in a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from rotated_atss.checkpoints.compatibility import recorded_classes
from rotated_atss.detection.engine.config import find_test_dataset
from rotated_atss.detection.engine.dataset_wrappers import innermost_datasets
from rotated_atss.detection.registry import DATASETS
from rotated_atss.dota.classes import resolve_classes
from rotated_atss.errors import UserError, count_of


def find_class_names(content: Mapping[str, Any], cfg: Config, number: int | None) -> tuple[str, ...]:
    """Return the class names of a model: from the checkpoint, else the config, else the class of the test dataset.

    The first source that has the right number of names is used.

    Args:
        content: The checkpoint.
        cfg: The config.
        number: Number of classes of the model; None accepts any number.

    Raises:
        UserError: No source has ``number`` names.

    Example:
        >>> find_class_names({"meta": {"CLASSES": ("plane", "ship")}}, Config(), 2)
        ('plane', 'ship')
    """
    counts = []
    for source, names in _candidates(content, cfg):
        if number is None or len(names) == number:
            return names
        counts.append(f"{count_of(len(names), 'name')} {source}")
    got = f", got {', '.join(counts)}" if counts else ""
    expected = "an unknown number of classes" if number is None else count_of(number, "class")
    raise UserError(
        f"the model has {expected}{got}",
        where=cfg.filename,
        hint="name them: --cfg-options test_dataloader.dataset.metainfo.classes=a,b",
    )


def set_classes(cfg: Config, classes: str | Sequence[str]) -> None:
    """Set the classes of every dataset and of the model, in place.

    Args:
        cfg: A config.
        classes: Names in the order of the labels, or a DOTA version, as for
            :func:`rotated_atss.dota.classes.resolve_classes`.

    Example:
        >>> cfg = Config(dict(model=dict(bbox_head=dict(num_classes=15)), test_dataloader=dict(dataset=dict(type="x"))))
        >>> set_classes(cfg, ["roof", "car"])
        >>> cfg.model.bbox_head.num_classes, cfg.test_dataloader.dataset.metainfo.classes
        (2, ('roof', 'car'))
    """
    names = resolve_classes(classes) if isinstance(classes, str) else tuple(classes)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for dataset in innermost_datasets((cfg.get(loader) or {}).get("dataset")):
            dataset["metainfo"] = dict(dataset.get("metainfo") or {}, classes=names)
            dataset["metainfo"].pop("palette", None)
    _set_everywhere(cfg.get("model"), "num_classes", len(names))


def config_classes(cfg: Config, loader: str = "test_dataloader") -> tuple[str, ...] | None:
    """Return the class names of the dataset of a data loader; None if they are not known.

    Example:
        >>> dataset = dict(type="DOTADataset", metainfo=dict(classes=["roof"]))
        >>> config_classes(Config(dict(test_dataloader=dict(dataset=dataset))))
        ('roof',)
    """
    for dataset in innermost_datasets((cfg.get(loader) or {}).get("dataset")):
        for _, names in _dataset_candidates(dataset):
            return names
    return None


def _set_everywhere(part: Any, key: str, value: Any) -> None:
    """Set every occurrence of a key in nested dicts and lists, in place."""
    if isinstance(part, dict):
        for name, item in part.items():
            if name == key:
                part[name] = value
            else:
                _set_everywhere(item, key, value)
    elif isinstance(part, (list, tuple)):
        for item in part:
            _set_everywhere(item, key, value)


def _candidates(content: Mapping[str, Any], cfg: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield pairs of a source, as errors name it, and its class names, in order of preference."""
    recorded = recorded_classes(content)
    if recorded:
        yield "in the checkpoint", recorded
    yield from _dataset_candidates(find_test_dataset(cfg))


def _dataset_candidates(dataset: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the sources of :func:`_candidates` that the config of a dataset has."""
    configured = (dataset.get("metainfo") or {}).get("classes")
    if configured:
        names = (configured,) if isinstance(configured, str) else tuple(configured)
        is_dota = dataset.get("type") == "DOTADataset"  # it replaces spaces in class names by hyphens
        yield "in the config's metainfo", resolve_classes(names) if is_dota else names
    if dataset.get("classes"):
        yield "in the config", tuple(resolve_classes(dataset["classes"]))
    dataset_class = DATASETS.get(dataset.get("type", ""))
    default = (getattr(dataset_class, "METAINFO", None) or {}).get("classes")
    if default:
        yield "in the dataset class", tuple(default)
