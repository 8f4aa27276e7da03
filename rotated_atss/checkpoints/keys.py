"""Rename the parameters of each source project to the names of this package, which follow MMDetection 3.x."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

SOURCES = ("mmrotate-0.x", "mmrotate-1.x", "mmdet-2.x", "mmdet-3.x", "atss-official")

Rule = tuple[str, str]
"""A regular expression and its replacement, as for :func:`re.sub`."""

# Entries of a state dict that no model of this package has: EMA weights, pixel mean and std, anchors.
KEYS_TO_DROP = re.compile(r"^ema_|^data_preprocessor\.|\.anchor_generator\.cell_anchors\.\d+$")

# R3Det: mmrotate 0.x has the feature refinement modules and the refinement heads in two lists. In 1.x, as in this
# package, each refinement head contains its feature refinement module.
R3DET_RULES: tuple[Rule, ...] = (
    (r"^bbox_head\.", "bbox_head_init."),
    (r"^feat_refine_module\.(\d+)\.", r"bbox_head_refine.\1.feat_refine_module."),
    (r"^refine_head\.(\d+)\.", r"bbox_head_refine.\1."),
)

# Deformable convolutions (DCNv2) of the backbone: a separate convolution predicts the offsets. In mmcv before 1.0, its
# name is conv2_offset.
DCN_OFFSET_RULES: tuple[Rule, ...] = ((r"conv2_offset\.(weight|bias)$", r"conv2.conv_offset.\1"),)


def _build_official_rules() -> tuple[Rule, ...]:
    """Build the rules for the official ATSS repository, which is based on maskrcnn-benchmark."""
    rules = [
        (r"^backbone\.body\.(stem\.)?", "backbone."),
        (r"\.conv2\.offset\.", ".conv2.conv_offset."),  # DCNv2
        (r"\.conv2\.conv\.", ".conv2."),  # DCNv2
        # P6 and P7. The loop below adds P3 to P5 (fpn_convs 0 to 2).
        (r"^backbone\.fpn\.top_blocks\.p6\.", "neck.fpn_convs.3.conv."),
        (r"^backbone\.fpn\.top_blocks\.p7\.", "neck.fpn_convs.4.conv."),
        (r"^rpn\.head\.cls_logits\.", "bbox_head.atss_cls."),
        (r"^rpn\.head\.bbox_pred\.", "bbox_head.atss_reg."),
        (r"^rpn\.head\.centerness\.", "bbox_head.atss_centerness."),
        (r"^rpn\.head\.scales\.", "bbox_head.scales."),
    ]
    for level in range(3):  # P3 to P5, numbered 2 to 4 in the source
        rules.append((rf"^backbone\.fpn\.fpn_inner{level + 2}\.", f"neck.lateral_convs.{level}.conv."))
        rules.append((rf"^backbone\.fpn\.fpn_layer{level + 2}\.", f"neck.fpn_convs.{level}.conv."))
    # A tower of the source is a flat list: convolution, norm, ReLU, convolution, ... Layer i starts at index 3 * i.
    for tower, convs in (("cls_tower", "cls_convs"), ("bbox_tower", "reg_convs")):
        for layer in range(8):  # at most eight convolutions per tower
            source_conv, target_conv = rf"^rpn\.head\.{tower}\.{3 * layer}\.", f"bbox_head.{convs}.{layer}.conv."
            rules.append((source_conv + r"offset\.", target_conv + "conv_offset."))  # DCNv2
            rules.append((source_conv + r"conv\.", target_conv))  # DCNv2
            rules.append((source_conv + r"(?=weight|bias)", target_conv))  # plain convolution
            rules.append((rf"^rpn\.head\.{tower}\.{3 * layer + 1}\.", f"bbox_head.{convs}.{layer}.gn."))
    return tuple(rules)


OFFICIAL_RULES = _build_official_rules()


def _rules_for(source: str, names: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules, to be applied in order, for a checkpoint with these parameter names."""
    if source == "atss-official":
        return OFFICIAL_RULES
    if source == "mmrotate-0.x" and any(name.startswith("refine_head.") for name in names):
        return R3DET_RULES
    return DCN_OFFSET_RULES


def rename_keys(state: dict[str, Tensor], source: str) -> tuple[dict[str, Tensor], list[str]]:
    """Rename weights to the parameter names of this package.

    Args:
        state: Weights by the parameter names of ``source``, without the ``module.`` prefix of DataParallel.
        source: One of :data:`SOURCES`.

    Returns:
        The renamed weights, and the names of dropped entries (:data:`KEYS_TO_DROP`).

    Example:
        >>> rename_keys({"rpn.head.cls_logits.bias": None, "data_preprocessor.mean": None}, "atss-official")
        ({'bbox_head.atss_cls.bias': None}, ['data_preprocessor.mean'])
    """
    rules = [(re.compile(pattern), replacement) for pattern, replacement in _rules_for(source, state)]
    renamed, dropped = {}, []
    for name, value in state.items():
        if KEYS_TO_DROP.search(name):
            dropped.append(name)
            continue
        new_name = name
        for pattern, replacement in rules:
            new_name = pattern.sub(replacement, new_name)
        renamed[new_name] = value
    return renamed, dropped
