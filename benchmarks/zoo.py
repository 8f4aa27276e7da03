"""Model cards: head, assignment strategy and schedule of a config, read from the config without building the model."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotated_atss.checkpoints.config_cards import ConfigCard
from rotated_atss.configs import find_config
from rotated_atss.dota.datasets import DOTA_VERSIONS

STRATEGIES = {"atss": "ATSS", "iou": "max IoU", "ssc": "SSC", "topk": "top k", "center_sampling": "center sampling"}
ASSIGNERS = {"RotatedATSSAssigner": "atss", "HorizontalATSSAssigner": "atss", "RotatedMaxIoUAssigner": "iou"}


@dataclass(frozen=True, kw_only=True)
class Card(ConfigCard):
    """Description of one model, without what benchmarks/results has."""

    parameters: None = None
    folder: str  # below configs/
    horizontal: bool
    checkpoint: str  # file name of the last checkpoint


def card(config: str | Path) -> Card:
    """Read the card of a config, given by bare name or path."""
    from mmengine.config import Config

    path = find_config(config)
    cfg = Config.fromfile(path, import_custom_modules=False)
    model = cfg.model
    head = model.get("bbox_head") or model.bbox_head_init
    angle_version = head.bbox_coder.get("angle_version")
    epochs, iterations = cfg.train_cfg.get("max_epochs"), cfg.train_cfg.get("max_iters")
    return Card(
        name=path.stem,
        folder=path.parent.name,
        dataset=_dataset(cfg, path.parent.name),
        horizontal=angle_version is None,
        boxes=f"oriented, {angle_version}" if angle_version else "horizontal",
        head=model.type if model.type == "R3Det" else head.type,
        positives=_positives(model.train_cfg, oriented=angle_version is not None),
        schedule=f"{epochs} epochs" if epochs else f"{iterations:,} iterations",
        checkpoint=f"epoch_{epochs}.pth" if epochs else f"iter_{iterations}.pth",
        published=list(cfg.published) if assigns(path, "published") else [],
    )


def assigns(path: Path, name: str) -> bool:
    """Whether a config file itself assigns ``name``; published figures are not inherited from a base config."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _dataset(cfg: Any, folder: str) -> str:
    """Name the dataset after the rules by which the config evaluates."""
    dataset = cfg.test_evaluator.get("dataset")
    if folder == "demo" or dataset is None:
        return "synthetic scenes" if folder == "demo" else "COCO"
    return f"DOTA-{dataset}" if dataset in DOTA_VERSIONS else dataset


def _positives(train_cfg: Any, *, oriented: bool) -> str:
    """Describe the assigners of all stages, as in ``ATSS (hbb), then max IoU (obb)``."""
    stages = [train_cfg.init, *train_cfg.refine] if "init" in train_cfg else [train_cfg]
    return ", then ".join(_strategy(stage.assigner, oriented) for stage in stages)


def _strategy(assigner: Any, oriented: bool) -> str:
    strategy = assigner.get("strategy") or ASSIGNERS.get(assigner.type, assigner.type)
    name = STRATEGIES.get(strategy, strategy)
    if not oriented:
        return name
    return f"{name} ({'hbb' if assigner.get('assign_by_circumhbbox') else 'obb'})"
