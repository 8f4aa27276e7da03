"""Which config of ours a checkpoint's weights belong to, told from their shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

DEPTHS = {6: "50", 23: "101"}  # blocks of the third stage


def config_pattern(state: dict[str, Tensor], source: str, angle_version: str | None) -> str | None:
    """What the names of the configs for these weights look like, as a regular expression; None for weights of another
    detector.

    Args:
        state: Weights under our names.
        source: One of :data:`rotated_atss.checkpoints.keys.SOURCES`.
        angle_version: Angle version, where known.
    """
    kind, backbone = _kind(state), _backbone(state)
    if kind is None or backbone is None:
        return None
    if kind == "atss":
        family = "atss_official" if source == "atss-official" else "atss"
        return rf"{family}_{'dcnv2_' if _deformable(state) else ''}{backbone}_fpn_.*_coco"
    return rf"{kind}_((hbb|obb)_)?{backbone}_fpn_.*_{angle_version or '(oc|le90|le135)'}"


def _kind(state: dict[str, Tensor]) -> str | None:
    if "bbox_head_init.retina_reg.weight" in state:
        return "r3det_atss" if len(state["bbox_head_init.retina_reg.weight"]) == 5 else "r3det"
    for branch, kinds in (
        ("bbox_head.atss_reg.weight", {5: "rotated_atss_centerness", 4: "atss"}),
        ("bbox_head.retina_reg.weight", {5: "rotated_atss", 45: "rotated_retinanet"}),
    ):
        if branch in state:
            return kinds.get(len(state[branch]))
    return None


def _backbone(state: dict[str, Tensor]) -> str | None:
    """``r50``, ``x101_32x8d``, ... of a ResNet or ResNeXt of bottlenecks."""
    blocks = {name.split(".")[2] for name in state if name.startswith("backbone.layer3.")}
    cell = state.get("backbone.layer1.0.conv2.weight")
    depth = DEPTHS.get(len(blocks))
    if depth is None or cell is None:
        return None
    groups, width = len(cell) // cell.shape[1], cell.shape[1]
    return f"r{depth}" if groups == 1 else f"x{depth}_{groups}x{width}d"


def _deformable(state: dict[str, Tensor]) -> bool:
    return any(".conv_offset." in name for name in state)


def matching_configs(pattern: str, names: Iterable[str], hint: str = "") -> list[str]:
    """The configs whose whole name fits, best first: those that ``hint`` (the file's name) names, then the shortest."""
    fitting = [name for name in names if re.fullmatch(pattern, name)]
    hint = hint.lower()
    return sorted(fitting, key=lambda name: (not _named(name, hint), len(name), name))


def _named(name: str, hint: str) -> bool:
    return re.search(rf"(^|[^a-z0-9_]){re.escape(name)}($|[^a-z0-9])", hint) is not None
