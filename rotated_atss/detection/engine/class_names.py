"""Class names of a loaded detector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmdet.registry import DATASETS
from mmengine.config import Config

from rotated_atss.detection.engine.config import find_test_dataset
from rotated_atss.dota.classes import resolve_classes
from rotated_atss.errors import UserError


def find_class_names(content: Mapping[str, Any], cfg: Config, number: int | None) -> tuple[str, ...]:
    """Return the class names of a model: the checkpoint's, else the config's, else those of its dataset class.

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
        counts.append(f"{len(names)} names {source}")
    got = f", got {', '.join(counts)}" if counts else ""
    raise UserError(
        f"the model has {number} classes{got}",
        where=cfg.filename,
        hint="name them: --cfg-options test_dataloader.dataset.metainfo.classes=a,b",
    )


def _candidates(content: Mapping[str, Any], cfg: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield sources of class names with their names, in order of preference."""
    recorded = content.get("meta")
    meta: Mapping[str, Any] = recorded if isinstance(recorded, Mapping) else {}
    dataset_meta, dataset = meta.get("dataset_meta") or {}, find_test_dataset(cfg)
    for names in (dataset_meta.get("classes"), dataset_meta.get("CLASSES"), meta.get("CLASSES")):
        if names:
            yield "in the checkpoint", (names,) if isinstance(names, str) else tuple(names)
    named = (dataset.get("metainfo") or {}).get("classes")
    if named:
        yield "in the config's metainfo", (named,) if isinstance(named, str) else tuple(named)
    if dataset.get("classes"):
        yield "in the config", tuple(resolve_classes(dataset["classes"]))
    dataset_class = DATASETS.get(dataset.get("type", ""))
    default = (getattr(dataset_class, "METAINFO", None) or {}).get("classes")
    if default:
        yield "in the dataset class", tuple(default)
