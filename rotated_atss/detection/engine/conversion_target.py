"""Describe the shapes, priors and box coder of a config's model, for the conversion of checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config

from rotated_atss.checkpoints.compatibility import tensor_shapes
from rotated_atss.checkpoints.deltas import BoxEncoding
from rotated_atss.checkpoints.target import Target
from rotated_atss.detection.engine.config import build_model, find_test_dataset, load_config
from rotated_atss.detection.task_modules.box_coders import OrientedDeltaCoder
from rotated_atss.dota.classes import resolve_classes

# Settings of the anchor generator that the config must share with the model whose weights are converted.
ANCHOR_KEYS = ("octave_base_scale", "scales_per_octave", "ratios", "strides")


def describe_target(config: str, cfg_options: Mapping[str, Any] | None = None) -> Target:
    """Describe the model of a config, for the conversion of weights.

    The model is built on the meta device, without memory for its weights.

    Args:
        config: Path or name of a config.
        cfg_options: Changes to the config by dotted key.

    Raises:
        UserError: The config does not exist or its model cannot be built.

    Example:
        >>> describe_target("rotated_atss_obb_r18_demo_le90").shapes["bbox_head.retina_reg.bias"]
        (5,)
    """
    cfg = load_config(config, cfg_options)
    with torch.device("meta"):
        model = build_model(cfg)
    # bbox_head_init: first head of a refining detector such as R3Det
    head_name = "bbox_head_init" if hasattr(model, "bbox_head_init") else "bbox_head"
    head = getattr(model, head_name, None)
    has_oriented_boxes = isinstance(getattr(head, "bbox_coder", None), OrientedDeltaCoder)
    generator_cfg = (cfg.model.get(head_name) or {}).get("anchor_generator") or {}
    return Target(
        config=cfg.config_name,
        shapes=tensor_shapes(model.state_dict()),
        head=head_name,
        box_encoding=_describe_box_encoding(head) if has_oriented_boxes else None,
        anchor_settings={key: generator_cfg[key] for key in ANCHOR_KEYS if key in generator_cfg},
        classes=_find_classes(cfg),
    )


def _describe_box_encoding(head: Any) -> BoxEncoding:
    """Describe the priors and the box coder of a head for oriented boxes."""
    coder, generator = head.bbox_coder, head.prior_generator
    # The anchors are on the CPU, and not on the meta device as the weights are, so their values can be read.
    finest_anchors = generator.base_anchors[0]  # (A, 4), x1 y1 x2 y2
    sizes = finest_anchors[:, 2:] - finest_anchors[:, :2]
    return BoxEncoding(
        priors=tuple((w, h, generator.angle) for w, h in sizes.tolist()),
        angle_version=coder.angle_version,
        proj_xy=coder.proj_xy,
        norm_factor=coder.norm_factor,
    )


def _find_classes(cfg: Config) -> tuple[str, ...]:
    """Return the class names of the test dataset; an empty tuple if the config has none."""
    dataset = find_test_dataset(cfg)
    metainfo = dataset.get("metainfo") or {}
    classes = metainfo.get("classes") or dataset.get("classes")
    return tuple(resolve_classes(classes)) if classes else ()
