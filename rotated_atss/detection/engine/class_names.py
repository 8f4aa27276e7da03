"""Find the class names of a detector in checkpoint, config or dataset, and set them in a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from rotated_atss.checkpoints.compatibility import recorded_classes
from rotated_atss.detection.engine.config import find_test_dataset
from rotated_atss.detection.engine.dataset_wrappers import innermost_dataset_cfgs
from rotated_atss.detection.registry import DATASETS
from rotated_atss.dota.classes import resolve_classes
from rotated_atss.errors import UserError, count_of


def find_class_names(content: Mapping[str, Any], cfg: Config, num_classes: int | None) -> tuple[str, ...]:
    """Return the class names of a model: from the checkpoint, else the config, else the default of the test dataset.

    The first source with the right number of names is used.

    Args:
        content: The content of the checkpoint.
        cfg: The config.
        num_classes: Number of classes of the model. If it is None, any number of names is accepted.

    Raises:
        UserError: No source has ``num_classes`` names.

    Example:
        >>> find_class_names({"meta": {"CLASSES": ("plane", "ship")}}, Config(), 2)
        ('plane', 'ship')
    """
    mismatches = []
    for source, names in _class_name_sources(content, cfg):
        if num_classes is None or len(names) == num_classes:
            return names
        mismatches.append(f"{count_of(len(names), 'name')} {source}")
    expected = "an unknown number of classes" if num_classes is None else count_of(num_classes, "class")
    raise UserError(
        f"the model has {expected}, got {', '.join(mismatches) or 'no class names'}",
        where=cfg.filename,
        hint="name them: --cfg-options test_dataloader.dataset.metainfo.classes=a,b",
    )


def set_classes(cfg: Config, classes: str | Sequence[str]) -> None:
    """Set the classes of every dataset and of the model, in place.

    Args:
        cfg: A config.
        classes: Names in the order of the class indices, or a DOTA version, as for
            :func:`rotated_atss.dota.classes.resolve_classes`.

    Example:
        >>> cfg = Config(dict(model=dict(bbox_head=dict(num_classes=15)), test_dataloader=dict(dataset=dict(type="x"))))
        >>> set_classes(cfg, ["roof", "car"])
        >>> cfg.model.bbox_head.num_classes, cfg.test_dataloader.dataset.metainfo.classes
        (2, ('roof', 'car'))
    """
    names = resolve_classes(classes) if isinstance(classes, str) else tuple(classes)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for dataset in innermost_dataset_cfgs((cfg.get(loader) or {}).get("dataset")):
            dataset["metainfo"] = dict(dataset.get("metainfo") or {}, classes=names)
            dataset["metainfo"].pop("palette", None)  # a palette has the colors of the previous classes
    _set_everywhere(cfg.get("model"), "num_classes", len(names))  # a model can have several heads


def config_classes(cfg: Config, loader: str = "test_dataloader") -> tuple[str, ...] | None:
    """Return the class names of a data loader's dataset, or None if the config does not determine them.

    Example:
        >>> dataset = dict(type="DOTADataset", metainfo=dict(classes=["roof"]))
        >>> config_classes(Config(dict(test_dataloader=dict(dataset=dataset))))
        ('roof',)
    """
    for dataset in innermost_dataset_cfgs((cfg.get(loader) or {}).get("dataset")):
        for _, names in _dataset_name_sources(dataset):
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


def _class_name_sources(content: Mapping[str, Any], cfg: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (source, class names) in order of preference; ``source`` is a phrase for errors, like "in the config"."""
    recorded = recorded_classes(content)
    if recorded:
        yield "in the checkpoint", recorded
    yield from _dataset_name_sources(find_test_dataset(cfg))


def _dataset_name_sources(dataset: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (source, class names) from a dataset's config and class, in the form of :func:`_class_name_sources`."""
    configured = (dataset.get("metainfo") or {}).get("classes")
    if configured:
        names = (configured,) if isinstance(configured, str) else tuple(configured)
        is_dota = dataset.get("type") == "DOTADataset"  # DOTADataset replaces spaces in class names by hyphens
        yield "in the config's metainfo", resolve_classes(names) if is_dota else names
    if dataset.get("classes"):
        yield "in the config", tuple(resolve_classes(dataset["classes"]))
    dataset_class = DATASETS.get(dataset.get("type", ""))
    default = (getattr(dataset_class, "METAINFO", None) or {}).get("classes")
    if default:
        yield "in the dataset class", tuple(default)
