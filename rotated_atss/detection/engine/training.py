"""Train a config: the steps from the check of the data to the result of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_world_size

from rotated_atss.detection.engine.atomic_runner import AtomicCheckpointRunner
from rotated_atss.detection.engine.build_errors import strip_worker_traceback
from rotated_atss.detection.engine.checkpoint_io import read_checkpoint
from rotated_atss.detection.engine.class_names import config_classes
from rotated_atss.detection.engine.config import load_config, require_keys
from rotated_atss.detection.engine.distributed import process_group
from rotated_atss.detection.engine.model_store import find_start_weights
from rotated_atss.detection.engine.network import compile_network, unwrap_model
from rotated_atss.detection.engine.options import TrainOptions
from rotated_atss.detection.engine.preflight import check_data
from rotated_atss.detection.engine.prepare import missing_validation_data, prepare_train, without_validation
from rotated_atss.detection.engine.pretrained import fetch_backbone_weights
from rotated_atss.detection.engine.resume import check_resumable, describe_finished_training, restore_seed
from rotated_atss.detection.engine.resumed_schedule import ResumedScheduleHook
from rotated_atss.detection.engine.run_header import HeaderHook
from rotated_atss.detection.engine.run_result import (
    ResultHook,
    record_finished,
    record_training,
    save_learning_curves,
)
from rotated_atss.detection.engine.runner_setup import build_runner
from rotated_atss.detection.engine.schedule import (
    describe_overridden_lr,
    describe_unreached_milestones,
    shorten_warm_up,
)
from rotated_atss.detection.engine.start_weights import StartWeightsHook, check_pretrained_parts
from rotated_atss.detection.engine.stop_signal import checkpoint_on_signal
from rotated_atss.detection.engine.training_metadata import ModelInfoHook
from rotated_atss.detection.engine.validation_log import ValidationLogHook
from rotated_atss.detection.engine.work_folder import RemoveCheckpointsHook, reserve_work_folder
from rotated_atss.io.cpu_threads import stop_following_cpu_load


def train_config(config: str | Path, options: TrainOptions) -> dict[str, Any]:
    """Train a config on the current device.

    Args:
        config: Path or bare name of a config.
        options: Options of the run. The caller has already applied ``device`` and ``quiet``.

    Returns:
        The result as plain values: see :func:`rotated_atss.detection.engine.run_result.record_training`.

    Raises:
        UserError: For the same reasons as in :func:`rotated_atss.detection.engine.runner.train`.
        TerminatedError: For the same reason as in :func:`rotated_atss.detection.engine.runner.train`.
    """
    if options.deterministic:  # sums are rounded differently with another number of threads
        stop_following_cpu_load()
    cfg = _load_training_config(config, options)
    missing_data = missing_validation_data(cfg)
    if missing_data is not None:
        cfg = without_validation(cfg)
    for loader in ("train_dataloader", "val_dataloader"):
        check_data(cfg, loader)
    resume_from = cfg.get("load_from") if cfg.get("resume") else None  # path of a checkpoint
    seed_warning = None
    if resume_from is None:
        content = {}
        _read_start_weights(cfg)
    else:
        content = read_checkpoint(resume_from)
        seed_warning = restore_seed(cfg, content)
    may_have_checkpoints = options.overwrite or bool(cfg.get("resume"))
    with process_group(cfg.launcher, cfg.get("env_cfg") or {}), reserve_work_folder(cfg.work_dir, may_have_checkpoints):
        runner = build_runner(cfg)
        if resume_from is not None:
            if not _prepare_resume(runner, cfg, resume_from, content):
                return record_finished(runner, resume_from, content.get("meta") or {})
            if seed_warning is not None:
                runner.logger.warning(f"{resume_from}: {seed_warning}")
        elif cfg.get("resume"):
            runner.logger.warning(f"{cfg.work_dir}: nothing to resume, training starts at the beginning")
            # MMEngine would read last_checkpoint, which may be empty or contain a path in another folder.
            runner._resume = False
        if missing_data is not None:
            missing_type = "file" if missing_data.suffix == ".json" else "folder"
            runner.logger.warning(f"{missing_data}: no such {missing_type}, training without validation")
        if resume_from is None:
            _check_start_weights(runner, cfg, options)
        runner.register_hook(ModelInfoHook())
        for warning in (*describe_unreached_milestones(cfg), *describe_overridden_lr(cfg, options.cfg_options)):
            runner.logger.warning(warning)
        _log_scaled_lr(runner, cfg)
        if options.overwrite:
            runner.register_hook(RemoveCheckpointsHook())
        if options.compile:
            compile_network(unwrap_model(runner.model))
        return _run_training_loop(runner, options)


def _load_training_config(config: str | Path, options: TrainOptions) -> Config:
    """Load a config and apply the options. If ``init_from`` names a published model, the path of its file is used."""
    cfg = load_config(config, options.config_changes)
    if options.init_from is not None and not options.resume:  # prepare_train reports an error if both are given
        path, is_backbone = find_start_weights(options.init_from)
        options = replace(options, init_from=None if is_backbone else path)
        if is_backbone:
            require_keys(cfg, "model")
            cfg.model.backbone.init_cfg = {"type": "Pretrained", "checkpoint": str(path)}
    return prepare_train(cfg, options)


def _read_start_weights(cfg: Config) -> None:
    """Read the start weights of a training run, so that errors are reported before anything is written.

    The weights are discarded, because MMEngine reads the files again.
    """
    path_or_url = cfg.get("load_from")
    if path_or_url and "://" not in path_or_url:  # weights at a URL are downloaded later, by MMEngine
        read_checkpoint(path_or_url)
    fetch_backbone_weights(cfg)


def _prepare_resume(runner: AtomicCheckpointRunner, cfg: Config, checkpoint: str, content: Mapping[str, Any]) -> bool:
    """Check that a training run can resume from a checkpoint; return False if the run is already finished."""
    check_resumable(unwrap_model(runner.model), content, checkpoint, config_classes(cfg, "train_dataloader"))
    finished = describe_finished_training(content, cfg)
    if finished is not None:
        runner.logger.warning(f"{checkpoint}: {finished}")
        return False
    runner.register_hook(ResumedScheduleHook(checkpoint))
    return True


def _check_start_weights(runner: AtomicCheckpointRunner, cfg: Config, options: TrainOptions) -> None:
    """Warn about parts of the model with incomplete pretrained weights; register the hook that checks ``load_from``."""
    for line in check_pretrained_parts(unwrap_model(runner.model)):
        runner.logger.warning(line)
    if cfg.get("load_from"):
        reset_class_layer = options.reset_class_layer or options.classes is not None
        runner.register_hook(StartWeightsHook(cfg.load_from, reset_class_layer))


def _log_scaled_lr(runner: AtomicCheckpointRunner, cfg: Config) -> None:
    """Log the learning rate if ``auto_scale_lr`` scales it, because the total batch size is not its base batch size."""
    auto_scale_lr = cfg.get("auto_scale_lr") or {}
    total_batch_size = cfg.train_dataloader.batch_size * get_world_size()
    base_batch_size = auto_scale_lr.get("base_batch_size")
    if auto_scale_lr.get("enable") and base_batch_size and total_batch_size != base_batch_size:
        lr = cfg.optim_wrapper.optimizer.lr
        runner.logger.info(
            f"batch of {total_batch_size} images instead of {base_batch_size}: "
            f"the learning rate {lr} becomes {lr * total_batch_size / base_batch_size:g}"
        )


def _run_training_loop(runner: AtomicCheckpointRunner, options: TrainOptions) -> dict[str, Any]:
    """Run the training loop and return the result."""
    runner.register_hook(HeaderHook())
    if runner._val_loop is not None:
        runner.register_hook(ValidationLogHook())
    result_hook = ResultHook()
    runner.register_hook(result_hook)
    with strip_worker_traceback():
        if options.iterations is None:  # --iterations keeps the warm-up of the full training run
            _shorten_warm_ups(runner)
        with checkpoint_on_signal(runner):
            runner.train()
    result = record_training(runner, result_hook)
    save_learning_curves(runner)
    return result


def _shorten_warm_ups(runner: AtomicCheckpointRunner) -> None:
    """Shorten warm-ups that would take a large part of a short training run, and log the changes."""
    schedulers: Any = runner.param_schedulers or []  # configs, from which the runner builds schedulers in train()
    scheduler_cfgs = [schedulers] if isinstance(schedulers, dict) else schedulers
    for line in shorten_warm_up(scheduler_cfgs, runner.train_loop.max_iters):
        runner.logger.warning(line)
