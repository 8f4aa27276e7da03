"""Find the config for a checkpoint: the config in its metadata, or a given config that agrees with the metadata."""

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

# The meaning of a model's weights depends on these parts of its config, so they are compared with the metadata.
_COMPARED_KEYS = ("bbox_coder", "anchor_generator", "data_preprocessor")
# These parts have an effect only in training, so they are not compared.
_TRAINING_ONLY_KEYS = ("batch_augments", "train_cfg", "init_cfg")
_GIVE_CONFIG_HINT = "give its config before the checkpoint: CONFIG CHECKPOINT"


def resolve_config(
    config: Config | str | Path | None,
    info: ModelInfo | None,
    checkpoint: str | Path,
    cfg_options: Mapping[str, Any] | None,
) -> Config:
    """Return the given config of a model, or the config in the checkpoint's metadata if none is given.

    Args:
        config: Path or name of a config, or a ``Config`` to which ``cfg_options`` have already been applied; None for
            the recorded config.
        info: Model metadata of the checkpoint; None if it has none.
        checkpoint: Path of the checkpoint, for errors.
        cfg_options: Changes to the config by dotted key.

    Raises:
        UserError: There is neither a given config nor metadata, or the given config contradicts the metadata.
    """
    user_keys = list(cfg_options or ())
    if config is not None:
        cfg = config if isinstance(config, Config) else load_config(config, cfg_options)
        if info is not None:
            check_agreement(cfg, info, checkpoint, user_keys)
            _check_user_classes(cfg, info, checkpoint, user_keys)
        return cfg
    if info is None:
        raise UserError("the checkpoint has no model metadata", where=checkpoint, hint=_GIVE_CONFIG_HINT)
    try:
        values = info.config_values()
    except UserError as error:
        raise UserError(error.what, where=checkpoint, hint=_GIVE_CONFIG_HINT) from None
    cfg = config_from_values(values, info.config_name, checkpoint, cfg_options)
    _check_user_classes(cfg, info, checkpoint, user_keys)
    return cfg


def _check_user_classes(cfg: Config, info: ModelInfo, checkpoint: object, user_keys: Collection[str]) -> None:
    """Raise an error if the user has set classes whose names or order differ from the classes of the model."""
    if not any(key.rpartition(".")[2] == "classes" for key in user_keys):
        return
    classes = config_classes(cfg)
    if classes is not None and classes != info.classes:
        what = f"the classes must be {', '.join(info.classes)}, got {', '.join(classes)} from --cfg-options"
        raise UserError(what, where=checkpoint, hint="omit the classes, because the checkpoint records them")


def check_agreement(cfg: Config, info: ModelInfo, checkpoint: object, user_keys: Collection[str] = ()) -> None:
    """Check that a config agrees with the metadata of a checkpoint wherever the meaning of the weights depends on it.

    Box coders, priors and preprocessing are compared. For example, the weights of a model with another angle version
    have the right shapes, but the predicted boxes would be decoded wrongly.

    Args:
        cfg: The config.
        info: Model metadata of the checkpoint.
        checkpoint: Path of the checkpoint, for the error.
        user_keys: Dotted config keys that the user has set. These settings are not compared.

    Raises:
        UserError: A setting differs.
    """
    require_keys(cfg, "model")
    given = dict(_find_compared_settings(cfg.model, "model"))
    recorded: dict[str, Any] = {}
    if info.config is not None:
        recorded.update(_find_compared_settings(info.config_values().get("model"), "model"))
    for key in given:
        if key.endswith(".angle_version"):  # the metadata has the angle version even if it has no config
            recorded.setdefault(key, info.angle_version)
    keys = dict.fromkeys([*recorded, *given])
    # Only the first difference is reported. A different angle version explains other differences, so it comes first.
    for key in sorted(keys, key=lambda key: not key.endswith(".angle_version")):
        is_set_by_user = any(_covers(user_key, key) for user_key in user_keys)
        if is_set_by_user or _agrees(key, recorded, given):
            continue
        recorded_text = quote(recorded[key]) if key in recorded else "not set"
        given_text = quote(given[key]) if key in given else "not set"
        config_name = cfg.get("config_name") or cfg.filename
        what = f"{key} is {recorded_text} in the checkpoint, but {given_text} in the config {config_name}"
        raise UserError(what, where=checkpoint, hint="omit the config, because the checkpoint contains its own")


def _agrees(key: str, recorded: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Return whether the metadata and the given config agree in a setting.

    If only the metadata or only the config has the setting, they agree in three cases:

    - The setting belongs to the data preprocessor.
    - The setting belongs to a part of the model that the config without the setting does not have at all.
    - The value is None, False, 0 or empty, because these values usually mean that a feature is off.
    """
    if key in recorded and key in given:
        return recorded[key] == given[key]
    type_key = f"{key.rpartition('.')[0]}.type"  # every part of a model has a type
    if "data_preprocessor" in key or type_key not in recorded or type_key not in given:
        return True
    return not (recorded.get(key) or given.get(key))


def _covers(user_key: str, key: str) -> bool:
    """Return whether a dotted key set by the user is ``key`` or a prefix of it, such as ``model.bbox_head``."""
    return key == user_key or key.startswith(f"{user_key}.")


def _find_compared_settings(value: Any, dotted_key: str, is_compared: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of every setting below one of :data:`_COMPARED_KEYS`.

    Args:
        value: A part of a config.
        dotted_key: The key of this part.
        is_compared: Whether this part is below one of :data:`_COMPARED_KEYS`.
    """
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name not in _TRAINING_ONLY_KEYS:
                is_item_compared = is_compared or name in _COMPARED_KEYS
                yield from _find_compared_settings(item, f"{dotted_key}.{name}", is_item_compared)
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _find_compared_settings(item, f"{dotted_key}.{index}", is_compared)
    elif is_compared and dotted_key.endswith(".type") and isinstance(value, str):
        yield dotted_key, value.rpartition(".")[2]  # "AnchorGenerator" for "mmdet.AnchorGenerator"
    elif is_compared:
        yield dotted_key, tuples_to_lists(value)


def describe_checkpoint(config: str | Path, content: Mapping[str, Any], path: str | Path) -> ModelInfo:
    """Return the model metadata of a checkpoint. If the checkpoint has none, create the metadata from a config.

    Args:
        config: Path or name of the model's config.
        content: The content of the checkpoint.
        path: Path of the checkpoint, for errors.

    Raises:
        UserError: The weights do not fit the config, or the config contradicts the metadata.
    """
    info = read_info(content.get("meta"), path)
    # This call is needed even if the checkpoint has metadata, because it checks that the config does not contradict it.
    cfg = resolve_config(config, info, path, None)
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
