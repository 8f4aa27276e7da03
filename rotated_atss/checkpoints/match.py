"""Find the configs whose model fits the weights of a checkpoint, by the names and shapes of the weights."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

_DEPTHS = {6: "50", 23: "101"}  # depth of a ResNet by the number of blocks in its third stage


def config_pattern(state: dict[str, Tensor], source: str, angle_version: str | None) -> str | None:
    """Build a regular expression for the names of the configs that fit the weights.

    For oriented detectors, the expression matches only configs for DOTA, the dataset of the published models.

    Args:
        state: Weights by the parameter names of this package.
        source: One of :data:`rotated_atss.checkpoints.keys.SOURCES`.
        angle_version: Angle version; None if unknown.

    Returns:
        The expression, or None for a detector that this package does not have.

    Example:
        >>> import torch
        >>> state = {f"backbone.layer3.{block}.conv1.weight": torch.zeros(1) for block in range(6)}
        >>> state["backbone.layer1.0.conv2.weight"] = torch.zeros(64, 64, 3, 3)
        >>> state["bbox_head.retina_reg.weight"] = torch.zeros(5, 256, 3, 3)
        >>> config_pattern(state, "mmrotate-1.x", "oc")
        'rotated_atss_((hbb|obb)_)?r50_fpn_.*_dota_.*oc'
    """
    detector, backbone = _detector_name(state), _backbone_name(state)
    if detector is None or backbone is None:
        return None
    if detector == "atss":
        family = "atss_official" if source == "atss-official" else "atss"
        is_deformable = any(".conv_offset." in name for name in state)
        return rf"{family}_{'dcnv2_' if is_deformable else ''}{backbone}_fpn_.*_coco"
    return rf"{detector}_((hbb|obb)_)?{backbone}_fpn_.*_dota_.*{angle_version or '(oc|le90|le135)'}"


def _detector_name(state: dict[str, Tensor]) -> str | None:
    """Return the part of a config name that names the detector, such as ``rotated_atss``; None if it is unknown.

    Detectors differ in their number of regression outputs per location: 4 (horizontal boxes) or 5 (oriented boxes) for
    the one prior of ATSS detectors, and 45 for the 9 priors of RetinaNet and R3Det.
    """
    if "bbox_head_init.retina_reg.weight" in state:
        return "r3det_atss" if len(state["bbox_head_init.retina_reg.weight"]) == 5 else "r3det"
    for weight_name, detectors in (
        ("bbox_head.atss_reg.weight", {5: "rotated_atss_centerness", 4: "atss"}),
        ("bbox_head.retina_reg.weight", {5: "rotated_atss", 45: "rotated_retinanet"}),
    ):
        if weight_name in state:
            return detectors.get(len(state[weight_name]))
    return None


def _backbone_name(state: dict[str, Tensor]) -> str | None:
    """Return ``r50``, ``x101_32x8d``, ... for a ResNet or ResNeXt with bottleneck blocks; None for other backbones."""
    blocks = {name.split(".")[2] for name in state if name.startswith("backbone.layer3.")}
    conv2 = state.get("backbone.layer1.0.conv2.weight")
    depth = _DEPTHS.get(len(blocks))
    if depth is None or conv2 is None:
        return None
    # conv2 has shape (out_channels, in_channels / groups, k, k), and in_channels == out_channels
    group_width = conv2.shape[1]
    groups = len(conv2) // group_width
    return f"r{depth}" if groups == 1 else f"x{depth}_{groups}x{group_width}d"


def matching_configs(pattern: str, names: Iterable[str], hint: str = "") -> list[str]:
    """List the configs that match a pattern, best first.

    Args:
        pattern: Regular expression of :func:`config_pattern`.
        names: Config names.
        hint: Text from which the user's config can be guessed, such as the file name of the checkpoint. Configs whose
            name appears in this text come first, then configs with shorter names.

    Example:
        >>> matching_configs("atss_.*", ["atss_r50_ms", "atss_r50", "r3det_r50"])
        ['atss_r50', 'atss_r50_ms']
    """
    matches = [name for name in names if re.fullmatch(pattern, name)]
    hint = hint.lower()
    return sorted(matches, key=lambda name: (not _contains_name(hint, name), len(name), name))


def _contains_name(text: str, name: str) -> bool:
    """Return whether the text contains the name of a config, possibly followed by ``_`` and a date or hash."""
    return re.search(rf"(^|[^a-z0-9_]){re.escape(name)}($|[^a-z0-9])", text) is not None
