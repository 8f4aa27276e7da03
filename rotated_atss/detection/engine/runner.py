"""Training and testing of a config, for the command line and ``tools/``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_world_size

from rotated_atss.checkpoints.compatibility import recorded_classes
from rotated_atss.checkpoints.model_info import read_info
from rotated_atss.checkpoints.read_file import state_dict_of
from rotated_atss.detection.engine.atomic_runner import AtomicCheckpointRunner
from rotated_atss.detection.engine.build_errors import strip_worker_traceback
from rotated_atss.detection.engine.checkpoint_io import (
    load_weights,
    read_checkpoint,
)
from rotated_atss.detection.engine.class_names import config_classes, set_classes
from rotated_atss.detection.engine.config import load_config, require_keys
from rotated_atss.detection.engine.console import console_of_run
from rotated_atss.detection.engine.device import use_device
from rotated_atss.detection.engine.distributed import process_group
from rotated_atss.detection.engine.model_store import find_start_weights
from rotated_atss.detection.engine.network import compile_network, unwrap_model
from rotated_atss.detection.engine.options import TestOptions, TrainOptions
from rotated_atss.detection.engine.preflight import check_data
from rotated_atss.detection.engine.prepare import (
    missing_validation_data,
    prepare_test,
    prepare_train,
    without_validation,
)
from rotated_atss.detection.engine.pretrained import fetch_backbone_weights
from rotated_atss.detection.engine.recorded_config import resolve_config
from rotated_atss.detection.engine.resume import check_resumable, is_finished, resume_seed
from rotated_atss.detection.engine.resumed_schedule import ResumedScheduleHook
from rotated_atss.detection.engine.run_header import HeaderHook
from rotated_atss.detection.engine.run_result import (
    ResultHook,
    record_finished,
    record_test,
    record_training,
    save_learning_curves,
)
from rotated_atss.detection.engine.runner_setup import build_runner
from rotated_atss.detection.engine.schedule import shorten_warm_up, unreached_milestones
from rotated_atss.detection.engine.start_weights import StartWeightsHook, check_pretrained_parts
from rotated_atss.detection.engine.stop_signal import checkpoint_on_signal
from rotated_atss.detection.engine.training_record import ModelInfoHook
from rotated_atss.detection.engine.validation_log import ValidationLogHook
from rotated_atss.dota.classes import hyphenate
from rotated_atss.errors import UserError
from rotated_atss.io.cpu_threads import keep_threads


def train(config: str | Path, options: TrainOptions | None = None) -> Path:
    """Train a config.

    If the validation data does not exist, training runs without validation: the published DOTA models are trained on
    train + val.

    Args:
        config: Path or name.
        options: Options of the run.

    Returns:
        The folder of checkpoints and logs.

    Raises:
        UserError: Config, data, weights or device are invalid, or the disk is full.
        TerminatedError: SIGTERM or SIGUSR1 ended the training; a checkpoint is written.

    Example::

        train("rotated_atss_obb_r50_fpn_1x_dota_le90", TrainOptions(seed=0, amp=True))
    """
    return Path(run_training(config, options)["work_dir"])


def run_training(config: str | Path, options: TrainOptions | None = None) -> dict[str, Any]:
    """Train a config as :func:`train` does, and return the result as plain values.

    Args:
        config: Path or name.
        options: Options of the run.

    Returns:
        What ``rotated-atss train`` prints as its last line
        (:func:`rotated_atss.detection.engine.run_result.record_training`).

    Example::

        run_training("rotated_atss_obb_r18_demo_le90")["checkpoint"]
    """
    options = options or TrainOptions()
    with use_device(options.device, options.launcher), console_of_run(options.quiet):
        return _train(config, options)


def _train(config: str | Path, options: TrainOptions) -> dict[str, Any]:
    if options.deterministic:
        keep_threads()
    cfg = _load_training_config(config, options)
    missing = missing_validation_data(cfg)
    if missing is not None:
        cfg = without_validation(cfg)
    for loader in ("train_dataloader", "val_dataloader"):
        check_data(cfg, loader)
    resumed = cfg.get("load_from") if cfg.get("resume") else None
    if resumed is None:
        if cfg.get("load_from") and "://" not in cfg.load_from:
            read_checkpoint(cfg.load_from)  # before anything is written; MMEngine reads it again
        fetch_backbone_weights(cfg)
    else:
        content = read_checkpoint(resumed)
        other_seed = resume_seed(cfg, content)
    with process_group(cfg.launcher):
        runner = build_runner(cfg)
        if resumed is not None:
            if not _resume(runner, cfg, resumed, content):
                return record_finished(runner, resumed, content.get("meta") or {})
            if other_seed is not None:
                runner.logger.warning(f"{resumed}: {other_seed}")
        elif cfg.get("resume"):
            runner.logger.warning(f"{cfg.work_dir}: nothing to resume, training starts at the beginning")
        if missing is not None:
            missing_type = "file" if missing.suffix == ".json" else "folder"
            runner.logger.warning(f"{missing}: no such {missing_type}, training without validation")
        if resumed is None:
            _load_start_weights(runner, cfg, options)
        runner.register_hook(ModelInfoHook())
        for line in unreached_milestones(cfg):
            runner.logger.warning(line)
        _log_scaled_lr(runner, cfg)
        if options.compile:
            compile_network(unwrap_model(runner.model))
        return _fit(runner, options)


def _fit(runner: AtomicCheckpointRunner, options: TrainOptions) -> dict[str, Any]:
    """Train, and return the result."""
    runner.register_hook(HeaderHook())
    if runner._val_loop is not None:
        runner.register_hook(ValidationLogHook())
    result = ResultHook()
    runner.register_hook(result)
    with strip_worker_traceback():
        if options.iterations is None:
            _fit_warm_up(runner)
        with checkpoint_on_signal(runner):
            runner.train()
    record = record_training(runner, result)
    save_learning_curves(runner)
    return record


def _resume(runner: AtomicCheckpointRunner, cfg: Config, checkpoint: str, content: Mapping[str, Any]) -> bool:
    """Check that a checkpoint fits, and return whether its training has iterations left."""
    check_resumable(unwrap_model(runner.model), content, checkpoint, config_classes(cfg, "train_dataloader"))
    finished = is_finished(content, cfg)
    if finished is not None:
        runner.logger.warning(f"{checkpoint}: {finished}")
        return False
    runner.register_hook(ResumedScheduleHook(checkpoint))
    return True


def _load_start_weights(runner: AtomicCheckpointRunner, cfg: Config, options: TrainOptions) -> None:
    """Report parts without pretrained weights, and let the training start from the weights of ``load_from``."""
    for line in check_pretrained_parts(unwrap_model(runner.model)):
        runner.logger.warning(line)
    if cfg.get("load_from"):
        reset_class_layer = options.reset_class_layer or options.classes is not None
        runner.register_hook(StartWeightsHook(cfg.load_from, reset_class_layer))


def _load_training_config(config: str | Path, options: TrainOptions) -> Config:
    """Return the prepared config; the name of a published model in ``init_from`` is replaced by its file."""
    cfg = load_config(config, options.config_changes)
    if options.init_from is not None and not options.resume:
        path, is_backbone = find_start_weights(options.init_from)
        options = replace(options, init_from=None if is_backbone else path)
        if is_backbone:
            require_keys(cfg, "model")
            cfg.model.backbone.init_cfg = {"type": "Pretrained", "checkpoint": str(path)}
    return prepare_train(cfg, options)


def test(
    config: str | Path | None,
    checkpoint: str | Path,
    options: TestOptions | None = None,  # noqa: PT028  (no pytest function)
) -> dict[str, float]:
    """Detect on the images of a config, write the detections, and evaluate them where labels exist.

    Detections of a DOTA config are merged from tiles to full images.

    Args:
        config: Path or name; None for the config recorded in the checkpoint.
        checkpoint: Weights of that model, ``.pth`` or ``.safetensors``.
        options: Options of the run.

    Returns:
        The metrics; empty without labels.

    Raises:
        UserError: Config, checkpoint, data, device or an output path is invalid, or config and checkpoint contradict
            each other.

    Example::

        test("rotated_atss_obb_r50_fpn_1x_dota_le90", "epoch_12.pth", TestOptions(submission="task1.zip"))
    """
    return _run_test(config, checkpoint, options or TestOptions())[0]


def run_test(config: str | Path | None, checkpoint: str | Path, options: TestOptions | None = None) -> dict[str, Any]:
    """Test a checkpoint as :func:`test` does, and return the result as plain values.

    Args:
        config: Path or name; None for the config recorded in the checkpoint.
        checkpoint: Weights of that model, ``.pth`` or ``.safetensors``.
        options: Options of the run.

    Returns:
        What ``rotated-atss test`` prints as its last line
        (:func:`rotated_atss.detection.engine.run_result.record_test`).

    Example::

        run_test(None, "epoch_12.pth")["metrics"]
    """
    return _run_test(config, checkpoint, options or TestOptions())[1]


def _run_test(
    config: str | Path | None, checkpoint: str | Path, options: TestOptions
) -> tuple[dict[str, float], dict[str, Any]]:
    with use_device(options.device, options.launcher), console_of_run(options.quiet):
        return _test(config, checkpoint, options)


def _test(
    config: str | Path | None, checkpoint: str | Path, options: TestOptions
) -> tuple[dict[str, float], dict[str, Any]]:
    given = None if config is None else load_config(config, options.cfg_options)
    if given is not None:  # errors in options are reported before the checkpoint is read
        prepare_test(given, options, checkpoint)
    content = read_checkpoint(checkpoint)
    cfg = resolve_config(given, read_info(content.get("meta"), checkpoint), checkpoint, options.cfg_options)
    cfg = prepare_test(cfg, options, checkpoint)
    _adopt_classes(cfg, content, checkpoint)
    check_data(cfg, "test_dataloader")
    with process_group(cfg.launcher):
        runner = build_runner(cfg)
        load_weights(unwrap_model(runner.model), state_dict_of(content), checkpoint)
        runner.register_hook(HeaderHook(checkpoint))
        result = ResultHook()
        with strip_worker_traceback():
            metrics = runner.test()
        return metrics, record_test(runner, result, metrics, checkpoint)


def _adopt_classes(cfg: Config, content: Mapping[str, Any], checkpoint: str | Path) -> None:
    """Set the order of the config's classes to that of the checkpoint.

    Names that differ only in case or hyphens, as those of DIOR-R in mmrotate's checkpoints, are the same.

    Raises:
        UserError: The checkpoint was trained on other classes.
    """
    trained, classes = recorded_classes(content), config_classes(cfg)
    if not trained or not classes:
        return
    spellings = {hyphenate(name).casefold(): name for name in classes}
    trained = tuple(spellings.get(hyphenate(name).casefold(), name) for name in trained)
    if trained == tuple(classes):
        return
    if sorted(trained) != sorted(classes):
        what = f"trained on the classes {', '.join(trained)}; the config has {', '.join(classes)}"
        raise UserError(what, where=checkpoint, hint=f"use --classes {','.join(trained)}")
    set_classes(cfg, trained)


def _fit_warm_up(runner: AtomicCheckpointRunner) -> None:
    """Shorten a warm-up that would take most of a short training."""
    schedulers: Any = runner.param_schedulers or []
    schedulers = [schedulers] if isinstance(schedulers, dict) else schedulers
    for line in shorten_warm_up(schedulers, runner.train_loop.max_iters):
        runner.logger.warning(line)


def _log_scaled_lr(runner: AtomicCheckpointRunner, cfg: Config) -> None:
    """Log how the learning rate is scaled with the batch size, if it is."""
    scale = cfg.get("auto_scale_lr") or {}
    batch_size = cfg.train_dataloader.batch_size * get_world_size()
    base = scale.get("base_batch_size")
    if scale.get("enable") and base and batch_size != base:
        lr = cfg.optim_wrapper.optimizer.lr
        runner.logger.info(
            f"batch of {batch_size} images instead of {base}: the learning rate {lr} becomes {lr * batch_size / base:g}"
        )
