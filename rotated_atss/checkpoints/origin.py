"""Determine the source of a checkpoint, and read the settings recorded in the checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from rotated_atss.checkpoints.config_text import read_config_text
from rotated_atss.checkpoints.model_info import KEY
from rotated_atss.checkpoints.source_detection import check_source, detect_source
from rotated_atss.errors import UserError

# names that occur only in configs of this package
_PACKAGE_NAMES = re.compile(r"OrientedDeltaCoder|HorizontalATSSHead|OfficialATSSHead|rotated_atss\.detection")


@dataclass(frozen=True)
class Origin:
    """Weights of a checkpoint with their source, and the settings recorded in the checkpoint.

    Attributes:
        source: One of :data:`rotated_atss.checkpoints.keys.SOURCES`.
        reason: How the source was determined.
        state: Weights by the parameter names of the source, without the ``module.`` prefix of DataParallel.
        model: The value of ``model`` in the recorded config. Only literals are read, and no code is executed. Empty if
            no config is recorded.
        angle_version: ``oc``, ``le90`` or ``le135``; None if unknown.
        classes: Class names; empty if unknown.
        name: Names of the file and of the experiment, separated by a space. Either can contain the name of the config.
    """

    source: str
    reason: str
    state: dict[str, Tensor]
    model: dict[str, Any]
    angle_version: str | None
    classes: tuple[str, ...]
    name: str


def find_origin(
    content: dict, path: str | Path, *, source: str | None = None, angle_version: str | None = None
) -> Origin:
    """Determine the source of a checkpoint, and read the settings recorded in the checkpoint.

    Args:
        content: Content of the checkpoint.
        path: The file. Its name can contain the source and the angle version.
        source: One of :data:`rotated_atss.checkpoints.keys.SOURCES`; None detects it.
        angle_version: Angle version; None reads it from the recorded config. If the config has none, the file name and
            then the name of the experiment are searched.

    Raises:
        UserError: The file has no weights of a supported detector, the file is a checkpoint of this package, or the
            source of the weights is ambiguous.

    Example:
        >>> import torch
        >>> content = {"meta": {"mmrotate_version": "0.3.4"}, "bbox_head.retina_reg.weight": torch.zeros(5, 256, 3, 3)}
        >>> origin = find_origin(content, "rotated_atss_hbb_r50_fpn_1x_dota_oc.pth")
        >>> origin.source, origin.angle_version
        ('mmrotate-0.x', 'oc')
    """
    meta = content["meta"] if isinstance(content.get("meta"), dict) else {}
    state = _extract_weights(content, path)
    config_text = meta.get("cfg") or meta.get("config")  # keys of MMEngine and of MMDetection 2.x
    is_package_config = isinstance(config_text, str) and _PACKAGE_NAMES.search(config_text)
    # converted_from marks weights that this package has converted; KEY is the key of its model metadata
    if "converted_from" in meta or KEY in meta or is_package_config:
        raise UserError("already a checkpoint of rotated-atss", where=path, hint="use it without conversion")
    if source is None:
        source, reason = detect_source(state, meta, content, path)
    else:
        check_source(source, state, path)
        reason = "as given"
    model = read_config_text(config_text).get("model")
    model = model if isinstance(model, dict) else {}
    names = [Path(path).stem, str(meta.get("exp_name") or meta.get("experiment_name") or "")]
    angle_version = angle_version or _angle_version_of_config(model) or _angle_version_of_names(names)
    return Origin(source, reason, state, model, angle_version, _read_classes(meta), " ".join(names))


def _extract_weights(content: dict, path: str | Path) -> dict[str, Tensor]:
    """Return the weights by name, without the prefix of DataParallel.

    OpenMMLab stores the weights under ``state_dict``, and the official ATSS repository stores them under ``model``.
    Other files can consist of weights only.
    """
    state = content.get("state_dict", content.get("model", content))
    items = state.items() if isinstance(state, dict) else ()
    weights = {str(name).removeprefix("module."): value for name, value in items if isinstance(value, Tensor)}
    if not weights:
        keys = ", ".join(map(str, list(content)[:6])) or "-"
        raise UserError("contains no weights", where=path, hint=f"its keys: {keys}")
    return weights


def _angle_version_of_config(model: dict[str, Any]) -> str | None:
    for head in (model.get("bbox_head"), model.get("bbox_head_init")):  # R3Det of mmrotate 1.x has bbox_head_init
        coder = head.get("bbox_coder") if isinstance(head, dict) else None
        if isinstance(coder, dict):
            angle_version = coder.get("angle_range") or coder.get("angle_version")  # keys of mmrotate 0.x and 1.x
            if angle_version in ("oc", "le90", "le135"):
                return angle_version
    return None


def _angle_version_of_names(names: list[str]) -> str | None:
    for name in names:
        # the version must be a separate word: the "oc" of "ocean" does not count
        match = re.search(r"(?:^|[^a-z0-9])(oc|le90|le135)(?![a-z0-9])", name)
        if match:
            return match[1]
    return None


def _read_classes(meta: dict[str, Any]) -> tuple[str, ...]:
    dataset_meta = meta.get("dataset_meta")
    dataset_meta = dataset_meta if isinstance(dataset_meta, dict) else {}
    for names in (dataset_meta.get("classes"), dataset_meta.get("CLASSES"), meta.get("CLASSES")):
        if names and isinstance(names, (str, list, tuple)):
            return (names,) if isinstance(names, str) else tuple(map(str, names))
    return ()
