"""Configs of MMEngine: load one, build its model, look up its test dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from rotated_atss.configs import find_config
from rotated_atss.detection.engine.build_errors import build_errors, one_line
from rotated_atss.detection.engine.checkpoint_io import restrict_checkpoint_loading
from rotated_atss.errors import UserError


def load_config(config: str | Path, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Load a config and make its scope the default of MMEngine's registries.

    It also calls :func:`restrict_checkpoint_loading`, so that no command loads unrestricted checkpoints.

    Args:
        config: Path, or bare name of a config of this package.
        cfg_options: Changes to the config by dotted key.

    Raises:
        UserError: The config does not exist or cannot be read, or ``cfg_options`` do not fit it.

    Example:
        >>> load_config("rotated_atss_obb_r50_fpn_1x_dota_le90", {"model.backbone.depth": 101}).model.backbone.depth
        101
    """
    restrict_checkpoint_loading()
    path = find_config(config)
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is Python code and can raise anything
        raise UserError(f"cannot read this config: {type(error).__name__}: {one_line(error)}", where=path) from error
    # Formatting the text, for each log and checkpoint, takes seconds. MMEngine's argument format_python_code of
    # Config.fromfile has no effect on configs of this kind.
    object.__setattr__(cfg, "_format_python_code", False)
    _remove_own_scope(cfg._cfg_dict)
    init_default_scope(cfg.get("default_scope", "mmdet"))
    try:
        cfg.merge_from_dict(dict(cfg_options or {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"these options do not fit the config: {one_line(error)}", where=path) from error
    cfg.config_name = path.stem
    return cfg


def _remove_own_scope(part: Any) -> None:
    """Remove the scope that MMEngine gives to what a config inherits from ``rotated_atss::...``, in place.

    This package registers its classes in MMDetection's registries, not in registries of its own.
    """
    if isinstance(part, dict):
        if part.get("_scope_") == "rotated_atss":
            del part["_scope_"]
        for value in part.values():
            _remove_own_scope(value)
    elif isinstance(part, (list, tuple)):
        for value in part:
            _remove_own_scope(value)


def require_keys(cfg: Config, *keys: str) -> None:
    """Raise an error unless a config has all of these top-level keys.

    Example:
        >>> require_keys(Config(dict(model=dict(type="ATSS"))), "model")
    """
    for key in keys:
        if cfg.get(key) is None:
            raise UserError(f"this config has no {key}", where=cfg.filename, hint="give the config of a model")


def build_model(cfg: Config) -> nn.Module:
    """Build the detector of a config, without loading weights.

    Raises:
        UserError: A part of the model does not exist or does not fit the others.

    Example:
        >>> model = build_model(load_config("rotated_atss_obb_r18_demo_le90"))
        >>> type(model).__name__
        'RetinaNet'
    """
    restrict_checkpoint_loading()
    with build_errors("this model", where=cfg.filename):
        return MODELS.build(cfg.model)


def find_test_dataset(cfg: Config) -> dict:
    """Return the dataset that a config tests on, without wrappers such as ``RepeatDataset``.

    Example:
        >>> find_test_dataset(Config(dict(test_dataloader=dict(dataset=dict(type="DOTADataset")))))["type"]
        'DOTADataset'
    """
    dataset = (cfg.get("test_dataloader") or cfg.get("val_dataloader") or {}).get("dataset") or {}
    while "pipeline" not in dataset and isinstance(dataset.get("dataset"), dict):
        dataset = dataset["dataset"]
    return dataset
