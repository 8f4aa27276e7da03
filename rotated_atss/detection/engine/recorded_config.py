"""Find the config to use with a checkpoint: the recorded one, or a given one that must agree with the record."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from rotated_atss.checkpoints.compatibility import recorded_classes
from rotated_atss.checkpoints.model_info import ModelInfo, read_info
from rotated_atss.checkpoints.read_file import state_dict_of
from rotated_atss.checkpoints.settings_check import tuples_to_lists
from rotated_atss.detection.engine.checkpoint_io import check_weights_fit
from rotated_atss.detection.engine.class_names import config_classes, find_class_names, set_classes
from rotated_atss.detection.engine.config import build_model, config_from_values, load_config, require_keys
from rotated_atss.detection.engine.model_metadata import default_window, describe_model
from rotated_atss.detection.engine.network import num_classes
from rotated_atss.errors import UserError, quote

# Parts of a model's config that change the meaning of its weights; they are compared with the metadata.
_COMPARED_KEYS = ("bbox_coder", "anchor_generator", "data_preprocessor")
_TRAINING_KEYS = ("batch_augments", "train_cfg", "init_cfg")  # settings in them have no effect on a trained model


def resolve_config(
    config: Config | str | Path | None,
    info: ModelInfo | None,
    checkpoint: str | Path,
    cfg_options: Mapping[str, Any] | None,
) -> Config:
    """Return the config of a model: the given config, or else the one in the metadata of the checkpoint.

    Args:
        config: Path or name of a config, or a ``Config`` to which ``cfg_options`` have already been applied; None for
            the recorded config.
        info: Model metadata of the checkpoint; None if it has none.
        checkpoint: Path of the checkpoint, for errors.
        cfg_options: Changes to the config by dotted key.

    Raises:
        UserError: There is neither a config nor metadata, or they contradict each other.
    """
    user_keys = list(cfg_options or ())
    if config is not None:
        cfg = config if isinstance(config, Config) else load_config(config, cfg_options)
        if info is not None:
            check_agreement(cfg, info, checkpoint, user_keys)
            _check_user_classes(cfg, info, checkpoint, user_keys)
        return cfg
    if info is None:
        hint = "name its config: CONFIG CHECKPOINT"
        raise UserError("the checkpoint has no model metadata", where=checkpoint, hint=hint)
    try:
        values = info.config_values()
    except UserError as error:
        raise UserError(error.what, where=checkpoint, hint="name its config: CONFIG CHECKPOINT") from None
    cfg = config_from_values(values, info.config_name, checkpoint, cfg_options)
    _check_user_classes(cfg, info, checkpoint, user_keys)
    return cfg


def _check_user_classes(cfg: Config, info: ModelInfo, checkpoint: object, user_keys: Collection[str]) -> None:
    """Raise an error if classes set by the user differ from those of the model in names or order."""
    if any(key.rpartition(".")[2] == "classes" for key in user_keys):
        classes = config_classes(cfg)
        if classes is not None and classes != info.classes:
            what = f"the classes are {', '.join(info.classes)}, got {', '.join(classes)} from --cfg-options"
            raise UserError(what, where=checkpoint, hint="omit them: the checkpoint records its classes")


def check_agreement(cfg: Config, info: ModelInfo, checkpoint: object, user_keys: Collection[str] = ()) -> None:
    """Raise an error if config and checkpoint metadata differ in a setting on which the meaning of the weights depends.

    Box coders, priors and preprocessing are compared. For example, weights of another angle version fit the model, but
    their boxes would be decoded wrongly.

    Args:
        cfg: The config.
        info: Model metadata of the checkpoint.
        checkpoint: Path of the checkpoint, for the error.
        user_keys: Dotted config keys that the user has set. These settings are not compared.

    Raises:
        UserError: A setting differs.
    """
    require_keys(cfg, "model")
    given = dict(_compared_settings(cfg.model, "model"))
    recorded = {} if info.config is None else dict(_compared_settings(info.config_values().get("model"), "model"))
    for key in given:
        if key.endswith(".angle_version"):  # known even if the metadata has no config
            recorded.setdefault(key, info.angle_version)
    keys = dict.fromkeys([*recorded, *given])
    # The angle version comes first, because it explains other differences.
    for key in sorted(keys, key=lambda key: not key.endswith(".angle_version")):
        if not _agrees(key, recorded, given) and not any(_covers(user_key, key) for user_key in user_keys):
            recorded_text, given_text = (
                quote(settings[key]) if key in settings else "not set" for settings in (recorded, given)
            )
            name = cfg.get("config_name") or cfg.filename
            what = f"{key} is {recorded_text} in the checkpoint, {given_text} in the config {name}"
            raise UserError(what, where=checkpoint, hint="omit the config: the checkpoint contains its own")


def _agrees(key: str, recorded: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Return whether the metadata and the given config agree in a setting.

    A setting that only one of them has counts as agreement in three cases:

    - The setting belongs to the data preprocessor.
    - The other one lacks the whole part of the model to which the setting belongs.
    - The value is None, False, 0 or empty, because such a value usually means that a feature is off.
    """
    if key in recorded and key in given:
        return recorded[key] == given[key]
    type_key = f"{key.rpartition('.')[0]}.type"  # every part of a model has a type
    if "data_preprocessor" in key or type_key not in recorded or type_key not in given:
        return True
    return not (recorded.get(key) or given.get(key))


def _covers(user_key: str, key: str) -> bool:
    """Return whether a key set by the user is ``key`` or contains it."""
    return key == user_key or key.startswith(f"{user_key}.")


def _compared_settings(value: Any, path: str, is_compared: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of every setting below one of :data:`_COMPARED_KEYS`."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name not in _TRAINING_KEYS:
                yield from _compared_settings(item, f"{path}.{name}", is_compared or name in _COMPARED_KEYS)
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _compared_settings(item, f"{path}.{index}", is_compared)
    elif is_compared and path.endswith(".type") and isinstance(value, str):
        yield path, value.rpartition(".")[2]  # without the scope of a registry
    elif is_compared:
        yield path, tuples_to_lists(value)


def describe_checkpoint(config: str | Path, content: Mapping[str, Any], path: str | Path) -> ModelInfo:
    """Return the model metadata of a checkpoint; if it has none, create it from a config.

    Args:
        config: Path or name of the model's config.
        content: The content of the checkpoint.
        path: Path of the checkpoint, for errors.

    Raises:
        UserError: The weights do not fit the config, or config and metadata contradict each other.
    """
    info = read_info(content.get("meta"), path)
    cfg = resolve_config(config, info, path, None)  # also raises the error if config and metadata contradict each other
    if info is not None:
        return info
    require_keys(cfg, "model")
    trained_classes = recorded_classes(content)
    if trained_classes:
        set_classes(cfg, trained_classes)
    with torch.device("meta"):
        model = build_model(cfg)
    check_weights_fit(model, state_dict_of(content), path)
    classes = find_class_names(content, cfg, num_classes(model))
    return describe_model(cfg, model, classes, window=default_window(cfg))
