"""The model of a config as the converter of checkpoints needs it: shapes, priors, box coder."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from rotated_atss.checkpoints.convert import Target
from rotated_atss.checkpoints.deltas import BoxCode
from rotated_atss.detection.engine.runner import build_model, load_config
from rotated_atss.detection.task_modules.box_coders import OrientedDeltaCoder
from rotated_atss.dota.classes import resolve_classes

ANCHORS = ("octave_base_scale", "scales_per_octave", "ratios", "strides")


def target_of(config: str, cfg_options: dict[str, Any] | None = None) -> Target:
    """The model of a config, built without memory for its weights.

    Raises:
        UserError: No such config, or one that cannot be built.
    """
    cfg = load_config(config, {**(cfg_options or {})})
    with torch.device("meta"):
        model = build_model(cfg)
    name = "bbox_head_init" if hasattr(model, "bbox_head_init") else "bbox_head"
    head = getattr(model, name, None)
    generator = (cfg.model.get(name) or {}).get("anchor_generator") or {}
    return Target(
        config=cfg.config_name,
        shapes={key: tuple(value.shape) for key, value in model.state_dict().items()},
        head=name,
        boxes=box_code(head) if isinstance(getattr(head, "bbox_coder", None), OrientedDeltaCoder) else None,
        anchors={key: generator[key] for key in ANCHORS if key in generator},
        classes=_classes(cfg),
    )


def box_code(head: nn.Module) -> BoxCode:
    """How a head of ours writes boxes."""
    coder, generator = head.bbox_coder, head.prior_generator
    base = generator.base_anchors[0]
    sizes = (base[:, 2:] - base[:, :2]).double()
    return BoxCode(
        priors=tuple((float(w), float(h), generator.angle) for w, h in sizes),
        angle_version=coder.angle_version,
        proj_xy=coder.proj_xy,
        norm_factor=coder.norm_factor,
    )


def _classes(cfg: Config) -> tuple[str, ...]:
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    named = (dataset.get("metainfo") or {}).get("classes") or dataset.get("classes")
    return tuple(resolve_classes(named)) if named else ()
