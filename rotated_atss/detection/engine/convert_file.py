"""Convert a checkpoint file of another project to weights and metadata of this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rotated_atss import __version__
from rotated_atss.checkpoints.convert import Conversion, convert_checkpoint
from rotated_atss.checkpoints.keys import rename_keys
from rotated_atss.checkpoints.match import config_pattern, matching_configs
from rotated_atss.checkpoints.model_info import KEY as MODEL_METADATA_KEY
from rotated_atss.checkpoints.origin import Origin, find_origin
from rotated_atss.checkpoints.target import Target
from rotated_atss.configs import config_names
from rotated_atss.detection.engine.checkpoint_io import read_checkpoint
from rotated_atss.detection.engine.class_names import find_class_names
from rotated_atss.detection.engine.config import build_model, load_config
from rotated_atss.detection.engine.conversion_target import describe_target
from rotated_atss.detection.engine.model_metadata import default_window, describe_model
from rotated_atss.detection.engine.network import num_classes
from rotated_atss.errors import UserError


@dataclass(frozen=True)
class ConvertedFile:
    """A converted checkpoint.

    Attributes:
        origin: Source of the weights.
        target: Description of the model that the config builds.
        config_reason: Why this config was chosen, for display.
        conversion: Converted weights, and notes on the conversion.
        meta: Metadata of the checkpoint to write, with the model metadata.
    """

    origin: Origin
    target: Target
    config_reason: str
    conversion: Conversion
    meta: dict[str, Any]


def convert_file(
    path: str | Path,
    *,
    source: str | None = None,
    angle_version: str | None = None,
    config: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> ConvertedFile:
    """Convert a checkpoint of mmrotate, MMDetection or the official ATSS repository.

    Args:
        path: The checkpoint.
        source: One of :data:`rotated_atss.checkpoints.keys.SOURCES`. If it is None, it is detected.
        angle_version: ``oc``, ``le90`` or ``le135``. If it is None, it is read from the checkpoint or its file name.
        config: Path or name of the matching config. If it is None, it is detected from the shapes of the weights.
        cfg_options: Changes to the config by dotted key.

    Raises:
        UserError: The file is not a checkpoint of these projects, no config matches, or the weights do not fit the
            config.

    Example::

        converted = convert_file("rotated_atss_hbb_r50_fpn_1x_dota_oc-eaa94033.pth")
        save_weights("atss_oc", converted.conversion.state, converted.meta)
    """
    origin = find_origin(read_checkpoint(path), path, source=source, angle_version=angle_version)
    config_reason = "given by --config"
    if not config:
        config, config_reason = _find_config(origin, path)
    target = describe_target(config, cfg_options)
    conversion = convert_checkpoint(origin, target, path)
    meta: dict[str, Any] = {
        "converted_from": origin.source,
        "source_file": Path(path).name,
        "config": target.config,
        "rotated_atss_version": __version__,
    }
    classes = origin.classes or target.classes
    if classes:
        meta["dataset_meta"] = {"classes": list(classes)}
    try:
        meta[MODEL_METADATA_KEY] = _describe_as_json(config, cfg_options, meta)
    except UserError as error:
        note = f"the files have no model metadata: {error}"
        conversion = replace(conversion, notes=[*conversion.notes, note])
    return ConvertedFile(origin, target, config_reason, conversion, meta)


def _find_config(origin: Origin, path: str | Path) -> tuple[str, str]:
    """Return the config whose model has the shapes of the weights, and the reason for this choice."""
    renamed_state, _ = rename_keys(origin.state, origin.source)
    name_pattern = config_pattern(renamed_state, origin.source, origin.angle_version)
    configs = matching_configs(name_pattern, config_names(), origin.name) if name_pattern else []
    if not configs:
        raise UserError("no config matches the shapes of the weights", where=path, hint="choose one with --config")
    if origin.angle_version is None and "_coco" not in configs[0]:  # horizontal boxes, as in COCO, have no angle
        raise UserError(
            "the angle version of the boxes is unknown", where=path, hint="give --angle-version oc, le90 or le135"
        )
    others = f"; the same weights fit {', '.join(configs[1:])}" if configs[1:] else ""
    return configs[0], f"detected from the shapes{others}"


def _describe_as_json(config: str, cfg_options: Mapping[str, Any] | None, meta: Mapping[str, Any]) -> str:
    """Return the metadata of the converted model as JSON, with the windows of the published results."""
    cfg = load_config(config, cfg_options)
    with torch.device("meta"):  # only the shapes of the weights are needed
        model = build_model(cfg)
    classes = find_class_names({"meta": meta}, cfg, num_classes(model))
    origin = f"{meta['converted_from']}, {meta['source_file']}"
    return describe_model(cfg, model, classes, window=default_window(cfg), origin=origin).to_json()
