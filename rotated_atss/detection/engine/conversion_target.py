"""Description of a config's model for the conversion of checkpoints: shapes, priors, box coder."""

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

# Settings of the anchor generator that must agree with those of the converted weights.
ANCHOR_KEYS = ("octave_base_scale", "scales_per_octave", "ratios", "strides")


def describe_target(config: str, cfg_options: Mapping[str, Any] | None = None) -> Target:
    """Describe the model of a config, for the conversion of weights.

    The model is built on the meta device, without memory for its weights.

    Args:
        config: Path of a config, or name of a config of this package.
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
    name = "bbox_head_init" if hasattr(model, "bbox_head_init") else "bbox_head"
    head = getattr(model, name, None)
    generator = (cfg.model.get(name) or {}).get("anchor_generator") or {}
    return Target(
        config=cfg.config_name,
        shapes=tensor_shapes(model.state_dict()),
        head=name,
        box_encoding=_box_encoding(head) if isinstance(getattr(head, "bbox_coder", None), OrientedDeltaCoder) else None,
        anchors={key: generator[key] for key in ANCHOR_KEYS if key in generator},
        classes=_classes(cfg),
    )


def _box_encoding(head: Any) -> BoxEncoding:
    """Return the priors and the coder of a head for oriented boxes."""
    coder, generator = head.bbox_coder, head.prior_generator
    corners = generator.base_anchors[0]  # (A, 4), x1 y1 x2 y2
    sizes = (corners[:, 2:] - corners[:, :2]).double()
    return BoxEncoding(
        priors=tuple((float(w), float(h), generator.angle) for w, h in sizes),
        angle_version=coder.angle_version,
        proj_xy=coder.proj_xy,
        norm_factor=coder.norm_factor,
    )


def _classes(cfg: Config) -> tuple[str, ...]:
    dataset = find_test_dataset(cfg)
    named = (dataset.get("metainfo") or {}).get("classes") or dataset.get("classes")
    return tuple(resolve_classes(named)) if named else ()
