"""Train and test a config on MMEngine's runner: what the command line and ``tools/`` call."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader

from rotated_atss.configs import find_config
from rotated_atss.detection.checkpoint import check_fits, read_checkpoint, state_dict_of
from rotated_atss.detection.training import PlainCheckpointHook, WholeCheckpointRunner
from rotated_atss.errors import UserError

SCRATCH = {"model.backbone.init_cfg": None, "model.backbone.frozen_stages": -1, "model.backbone.norm_eval": False}


@dataclass
class TrainOptions:
    """How a training run differs from its config."""

    work_dir: str | None = None
    resume: str | bool = False  # True: from the latest checkpoint of the work folder
    amp: bool = False
    seed: int | None = None
    deterministic: bool = False
    from_scratch: bool = False
    launcher: str = "none"
    cfg_options: dict[str, Any] = field(default_factory=dict)


def load_config(config: str | Path, cfg_options: dict[str, Any] | None = None) -> Config:
    """The config of a path or bare name, everything it names registered.

    Raises:
        UserError: No such config, or one that cannot be read.
    """
    path = find_config(config)
    try:
        cfg = Config.fromfile(path)
    except (SyntaxError, NameError, KeyError, TypeError, OSError, ImportError) as error:
        raise UserError(f"cannot read this config: {type(error).__name__}: {error}", where=path) from error
    register_all_modules(init_default_scope=True)
    cfg.merge_from_dict(cfg_options or {})
    cfg.config_name = path.stem
    return cfg


def train(config: str | Path, options: TrainOptions | None = None) -> Path:
    """Train a config. Returns the folder that holds checkpoints and logs.

    Raises:
        UserError: Whatever is wrong with config, data, weights or disk, in one line.
    """
    options = options or TrainOptions()
    cfg = load_config(config, {**(SCRATCH if options.from_scratch else {}), **options.cfg_options})
    _apply(cfg, options)
    _drop_absent_validation(cfg)
    _check_pretrained(cfg)
    runner = build_runner(cfg)
    _say_batch(runner, cfg)
    try:
        runner.train()
    except FileNotFoundError as error:
        raise UserError(str(error)) from error
    return Path(cfg.work_dir)


def test(
    config: str | Path,
    checkpoint: str | Path,
    *,
    work_dir: str | None = None,
    data: str | None = None,
    labels: list[str] | None = None,
    out: str | None = None,
    submission: str | None = None,
    launcher: str = "none",
    cfg_options: dict[str, Any] | None = None,
) -> dict[str, float]:
    """Detect on tiles, merge into full images, evaluate where labels are known, write the submission.

    Args:
        config: Path or name.
        checkpoint: Weights of that model.
        work_dir: Folder of logs; default ``work_dirs/<config>``.
        data: Folder of tiles instead of the config's.
        labels: Label folders of the full images; default: those that the split's manifest names.
        out: Folder for the merged ``Task1_*.txt``; default ``<work_dir>/merged``.
        submission: Zip to write.
        launcher: ``none`` or ``pytorch`` (torchrun).
        cfg_options: Changes to the config.

    Returns:
        The metrics, empty without labels.
    """
    cfg = load_config(config, cfg_options)
    _apply(cfg, TrainOptions(work_dir=work_dir, launcher=launcher))
    cfg.model.backbone.init_cfg = None  # the checkpoint holds every weight
    if data is not None:
        cfg.test_dataloader.dataset.data_root = str(data)
    evaluator = cfg.test_evaluator
    evaluator.update(
        out_dir=str(out or Path(cfg.work_dir) / "merged"), submission=None if submission is None else str(submission)
    )
    if labels:
        evaluator.labels = [str(folder) for folder in labels]
    for name in (
        "train_dataloader",
        "train_cfg",
        "optim_wrapper",
        "param_scheduler",
        "val_dataloader",
        "val_cfg",
        "val_evaluator",
    ):
        cfg[name] = None
    state = state_dict_of(read_checkpoint(checkpoint))
    runner = build_runner(cfg)
    model = getattr(runner.model, "module", runner.model)
    check_fits(model, state, checkpoint)
    model.load_state_dict(state, strict=False)
    return runner.test()


def build_model(cfg: Config) -> torch.nn.Module:
    """The detector of a config; a part that does not fit is told in one line."""
    try:
        return MODELS.build(cfg.model)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"cannot build this model: {error}", where=cfg.filename) from error


def build_runner(cfg: Config) -> WholeCheckpointRunner:
    """The runner of a config; a model that does not fit, a missing folder: one line."""
    build_model(cfg)
    try:
        runner = WholeCheckpointRunner.from_cfg(cfg)
    except PermissionError as error:
        raise UserError(f"cannot write here: {error.strerror}", where=error.filename or cfg.work_dir) from error
    runner.register_hook(PlainCheckpointHook())
    return runner


def _apply(cfg: Config, options: TrainOptions) -> None:
    if options.work_dir is not None:
        cfg.work_dir = options.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = os.path.join("work_dirs", cfg.config_name)
    cfg.launcher = options.launcher
    if options.launcher != "none" and not torch.cuda.is_available():
        cfg.env_cfg.dist_cfg.backend = "gloo"
    if options.amp and cfg.optim_wrapper.type != "BFloat16OptimWrapper":
        cfg.optim_wrapper.type = "BFloat16OptimWrapper"
    if options.seed is not None or options.deterministic:
        cfg.randomness = dict(seed=options.seed, deterministic=options.deterministic)
    if options.resume:
        cfg.resume = True
        if isinstance(options.resume, str):
            read_checkpoint(options.resume)
            cfg.load_from = options.resume
        else:
            _check_latest(Path(cfg.work_dir))


def _check_latest(work_dir: Path) -> None:
    """Read the checkpoint that resuming will take, so that a broken or unsafe one is refused by us and in one line."""
    pointer = work_dir / "last_checkpoint"
    if pointer.is_file():
        read_checkpoint(pointer.read_text().strip())
    else:
        print_log(
            f"{work_dir}: nothing to resume, training starts at the beginning", logger="current", level=logging.WARNING
        )


def _drop_absent_validation(cfg: Config) -> None:
    """Train without validation where its tiles do not exist (the published runs train on train + val)."""
    dataset = (cfg.get("val_dataloader") or {}).get("dataset", {})
    folder = dataset.get("data_root")
    if folder is None or Path(folder).is_dir():
        return
    print_log(f"{folder}: no such folder, training without validation", logger="current", level=logging.WARNING)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.train_cfg.pop("val_interval", None)


def _check_pretrained(cfg: Config) -> None:
    """Fetch the backbone's weights before anything else, so that a machine without them says how to go on."""
    init = cfg.model.get("backbone", {}).get("init_cfg") or {}
    checkpoint = init.get("checkpoint")
    if not checkpoint or cfg.get("resume"):
        return
    try:
        CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    except Exception as error:  # whatever a download or a file can raise ends in the same advice
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"cannot get the backbone's weights {checkpoint}: {reason}",
            hint="give a local file with --cfg-options model.backbone.init_cfg.checkpoint=PATH, or go on without: "
            "--from-scratch sets init_cfg=None, frozen_stages=-1, norm_eval=False (untrained weights must not freeze)",
        ) from error


def _say_batch(runner: WholeCheckpointRunner, cfg: Config) -> None:
    scale = cfg.get("auto_scale_lr") or {}
    batch = cfg.train_dataloader.batch_size * get_world_size()
    base = scale.get("base_batch_size")
    if scale.get("enable") and base and batch != base:
        lr = cfg.optim_wrapper.optimizer.lr
        runner.logger.info(
            f"batch of {batch} images instead of {base}: the learning rate {lr} becomes {lr * batch / base:g}"
        )
