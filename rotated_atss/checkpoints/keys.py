"""What parameters are called: tables from the names of each source to ours, which are those of MMDetection 3.x."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

SOURCES = ("mmrotate-0.x", "mmrotate-1.x", "mmdet-2.x", "mmdet-3.x", "atss-official")

Rule = tuple[str, str]

# Weights that say nothing a model needs: the second copy that averaging keeps, the pixel statistics, the priors.
SPARE = re.compile(r"^ema_|^data_preprocessor\.|\.anchor_generator\.cell_anchors\.\d+$")

# mmrotate 0.x keeps the stages of R3Det in three lists, where 1.x gives each refining head its own module
R3DET: tuple[Rule, ...] = (
    (r"^bbox_head\.", "bbox_head_init."),
    (r"^feat_refine_module\.(\d+)\.", r"bbox_head_refine.\1.feat_refine_module."),
    (r"^refine_head\.(\d+)\.", r"bbox_head_refine.\1."),
)

# the offsets' convolution before mmcv 1.0
OFFSETS: tuple[Rule, ...] = ((r"conv2_offset\.(weight|bias)$", r"conv2.conv_offset.\1"),)


def _official() -> tuple[Rule, ...]:
    """maskrcnn-benchmark's names. A tower there is one list of convolution, norm, ReLU, convolution, ..."""
    rules = [
        (r"^backbone\.body\.(stem\.)?", "backbone."),
        (r"\.conv2\.offset\.", ".conv2.conv_offset."),
        (r"\.conv2\.conv\.", ".conv2."),
        (r"^backbone\.fpn\.top_blocks\.p6\.", "neck.fpn_convs.3.conv."),
        (r"^backbone\.fpn\.top_blocks\.p7\.", "neck.fpn_convs.4.conv."),
        (r"^rpn\.head\.cls_logits\.", "bbox_head.atss_cls."),
        (r"^rpn\.head\.bbox_pred\.", "bbox_head.atss_reg."),
        (r"^rpn\.head\.centerness\.", "bbox_head.atss_centerness."),
        (r"^rpn\.head\.scales\.", "bbox_head.scales."),
    ]
    for level in range(3):  # C3 to C5, counted from C2 = 1
        rules.append((rf"^backbone\.fpn\.fpn_inner{level + 2}\.", f"neck.lateral_convs.{level}.conv."))
        rules.append((rf"^backbone\.fpn\.fpn_layer{level + 2}\.", f"neck.fpn_convs.{level}.conv."))
    for theirs, ours in (("cls_tower", "cls_convs"), ("bbox_tower", "reg_convs")):
        for layer in range(8):
            place, conv = rf"^rpn\.head\.{theirs}\.{3 * layer}\.", f"bbox_head.{ours}.{layer}.conv."
            rules.append((place + r"offset\.", conv + "conv_offset."))
            rules.append((place + r"conv\.", conv))
            rules.append((place + r"(?=weight|bias)", conv))
            rules.append((rf"^rpn\.head\.{theirs}\.{3 * layer + 1}\.", f"bbox_head.{ours}.{layer}.gn."))
    return tuple(rules)


OFFICIAL = _official()


def key_table(source: str, names: Iterable[str]) -> tuple[Rule, ...]:
    """The rules of a source for a checkpoint of these names, applied in order."""
    if source == "atss-official":
        return OFFICIAL
    if source == "mmrotate-0.x" and any(name.startswith("refine_head.") for name in names):
        return R3DET
    return OFFSETS


def rename_keys(state: dict[str, Tensor], source: str) -> tuple[dict[str, Tensor], list[str]]:
    """Weights under our names, and the names of those that are no part of a model (:data:`SPARE`).

    Args:
        state: Weights by the names of ``source``, without a data-parallel prefix.
        source: One of :data:`SOURCES`.
    """
    rules = [(re.compile(pattern), ours) for pattern, ours in key_table(source, state)]
    renamed, spare = {}, []
    for name, value in state.items():
        if SPARE.search(name):
            spare.append(name)
            continue
        for pattern, ours in rules:
            name = pattern.sub(ours, name)
        renamed[name] = value
    return renamed, spare
