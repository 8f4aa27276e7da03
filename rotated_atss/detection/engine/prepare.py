"""Apply the options of a training or test run to a copy of its config."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from rotated_atss.detection.engine.class_names import set_classes
from rotated_atss.detection.engine.config import require_keys
from rotated_atss.detection.engine.data_folders import set_test_data, set_train_data
from rotated_atss.detection.engine.dataloaders import configure_dataloaders
from rotated_atss.detection.engine.distributed import configure_launcher
from rotated_atss.detection.engine.log_targets import check_log_targets, set_log_targets
from rotated_atss.detection.engine.options import RunOptions, TestOptions, TrainOptions
from rotated_atss.detection.engine.outputs import configure_outputs, set_dataset_rules
from rotated_atss.detection.engine.resume import latest_checkpoint
from rotated_atss.detection.engine.schedule import fit_schedules, limit_iterations, set_epochs
from rotated_atss.errors import UserError

TRAINING_KEYS = ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler")
VALIDATION_KEYS = ("val_dataloader", "val_cfg", "val_evaluator")
# Arguments of MMEngine's AmpOptimWrapper that BFloat16OptimWrapper does not have.
LOSS_SCALING_KEYS = ("loss_scale", "dtype", "use_fp64")


def prepare_train(cfg: Config, options: TrainOptions) -> Config:
    """Return the config of a training run.

    Args:
        cfg: A config loaded with ``options.config_changes``. It is not changed.
        options: Options of the run.

    Returns:
        A changed copy. With ``resume``, its ``load_from`` is the checkpoint to resume from, or None if there is none.

    Raises:
        UserError: The config cannot be trained, an option is out of range, or the checkpoint to resume is missing.

    Example:
        >>> from rotated_atss.detection.engine.config import load_config
        >>> cfg = load_config("rotated_atss_obb_r18_demo_le90")
        >>> prepare_train(cfg, TrainOptions(seed=3, iterations=20)).train_cfg.max_iters
        20
    """
    require_keys(cfg, "model", "train_dataloader", "train_cfg", "optim_wrapper")
    cfg = _prepare_run(cfg, options)
    if options.log_to is not None:
        set_log_targets(cfg, options.log_to)
    check_log_targets(cfg)
    if options.amp:
        cfg.optim_wrapper.type = "BFloat16OptimWrapper"
        for key in LOSS_SCALING_KEYS:
            cfg.optim_wrapper.pop(key, None)
    _set_randomness(cfg, options.seed, options.deterministic)
    if options.on_nonfinite_loss is not None:
        _set_nonfinite_action(cfg, options.on_nonfinite_loss)
    if options.data is not None:
        set_train_data(cfg, options.data)
    if options.epochs is not None:
        set_epochs(cfg, options.epochs)
    if options.iterations is not None:
        limit_iterations(cfg, options.iterations)
    else:
        fit_schedules(cfg, options.cfg_options)
    if options.init_from is not None:
        if options.resume:
            raise UserError("--init-from and --resume exclude each other", hint="use --resume to continue a training")
        cfg.load_from = str(options.init_from)
        _drop_pretrained_weights(cfg)
    if options.resume:
        cfg.resume = True
        if not isinstance(options.resume, bool):
            cfg.load_from = str(options.resume)
    if cfg.get("resume"):
        if options.overwrite:
            what = "--overwrite and --resume exclude each other"
            raise UserError(what, hint="use --resume to continue a training, --overwrite to replace it")
        _set_resumed_checkpoint(cfg)
    return cfg


def prepare_test(cfg: Config, options: TestOptions, checkpoint: str | Path | None = None) -> Config:
    """Return the config of a test run.

    Args:
        cfg: A config loaded with ``options.cfg_options``. It is not changed.
        options: Options of the run.
        checkpoint: The tested checkpoint. Its folder is the default of ``work_dir``.

    Returns:
        A changed copy without the keys of training and validation. It names no weights to load: the test loads the
        checkpoint itself.

    Raises:
        UserError: The config cannot be tested, an option does not fit it, or an output overlaps an input.

    Example:
        >>> from rotated_atss.detection.engine.config import load_config
        >>> cfg = load_config("rotated_atss_obb_r50_fpn_1x_dota_le90")
        >>> prepare_test(cfg, TestOptions(out="merged")).test_evaluator.out_dir
        'merged'
    """
    require_keys(cfg, "model", "test_dataloader", "test_cfg", "test_evaluator")
    if checkpoint is not None and options.work_dir is None and cfg.get("work_dir") is None:
        options = dataclasses.replace(options, work_dir=Path(checkpoint).parent)
    cfg = _prepare_run(cfg, options)
    cfg.load_from, cfg.resume = None, False  # settings of training; the caller loads the tested checkpoint
    cfg.model.backbone.init_cfg = None  # the tested checkpoint has all weights
    cfg.update(dict.fromkeys(TRAINING_KEYS + VALIDATION_KEYS))  # sets them to None
    if options.data is not None:
        set_test_data(cfg, options.data)
    if options.dataset is not None:
        set_dataset_rules(cfg, options.dataset)
    configure_outputs(cfg, options.labels, options.out, options.submission, options.report)
    if options.tta:
        _wrap_with_tta(cfg)
    return cfg


def missing_validation_data(cfg: Config) -> Path | None:
    """Return the path of the validation data, a folder or a COCO JSON, if it does not exist; else None.

    Example:
        >>> cfg = Config(dict(val_dataloader=dict(dataset=dict(data_root="no/such/folder"))))
        >>> missing_validation_data(cfg).name
        'folder'
    """
    dataset = (cfg.get("val_dataloader") or {}).get("dataset", {})
    folder, ann_file = dataset.get("data_root"), dataset.get("ann_file") or ""
    path = Path(folder or "") / (ann_file if ann_file.endswith(".json") else "")
    return None if folder is None or path.exists() else path


def without_validation(cfg: Config) -> Config:
    """Return a copy of a config that trains without validation.

    Example:
        >>> cfg = Config(dict(train_cfg=dict(max_epochs=12, val_interval=1), val_cfg=dict(type="ValLoop")))
        >>> without_validation(cfg).val_cfg is None
        True
    """
    cfg = copy.deepcopy(cfg)
    cfg.update(dict.fromkeys(VALIDATION_KEYS))
    cfg.train_cfg.pop("val_interval", None)
    return cfg


def _prepare_run(cfg: Config, options: RunOptions) -> Config:
    """Return a copy of the config with the options that training and testing share."""
    cfg = copy.deepcopy(cfg)
    if options.work_dir is not None:
        cfg.work_dir = str(options.work_dir)
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", cfg.config_name))
    if cfg.get("visualizer"):
        # MMEngine reuses a visualizer of the same name: a second run would log to the folder of the first
        cfg.visualizer.pop("name", None)
    if options.classes is not None:
        set_classes(cfg, options.classes)
    if options.on_bad_image != "stop":
        cfg.on_bad_image = options.on_bad_image
    configure_launcher(cfg, options.launcher)
    configure_dataloaders(cfg, options.workers, user_keys=options.cfg_options)
    return cfg


def _set_randomness(cfg: Config, seed: int | None, deterministic: bool) -> None:
    if seed is not None and not 0 <= seed < 2**32:
        raise UserError(f"the seed must be between 0 and 2^32 - 1, got {seed}")
    randomness: dict[str, Any] = dict(cfg.get("randomness") or {})
    if seed is not None:
        randomness["seed"] = seed
    if deterministic:
        randomness["deterministic"] = True
    if randomness:
        cfg.randomness = {"seed": None, **randomness}  # MMEngine requires the key, and draws a seed for None


def _set_nonfinite_action(cfg: Config, action: str) -> None:
    """Set the action of the config's ``NonFiniteLossHook``; add the hook if the config has none."""
    hook_type = "NonFiniteLossHook"
    hooks = list(cfg.get("custom_hooks") or ())  # configs of hooks, or hooks
    is_nonfinite_hook = [isinstance(hook, dict) and hook.get("type") == hook_type for hook in hooks]
    nonfinite_hook = next((hook for hook, matches in zip(hooks, is_nonfinite_hook) if matches), dict(type=hook_type))
    other_hooks = [hook for hook, matches in zip(hooks, is_nonfinite_hook) if not matches]
    cfg.custom_hooks = [{**nonfinite_hook, "action": action}, *other_hooks]


def _set_resumed_checkpoint(cfg: Config) -> None:
    """Set ``load_from`` to the checkpoint to resume from; drop pretrained weights, which the checkpoint replaces."""
    path = cfg.get("load_from") or latest_checkpoint(Path(cfg.work_dir))
    if path is not None:
        cfg.load_from = str(path)
        _drop_pretrained_weights(cfg)


def _drop_pretrained_weights(cfg: Config) -> None:
    if "backbone" in cfg.model:
        cfg.model.backbone.init_cfg = None


def _wrap_with_tta(cfg: Config) -> None:
    """Wrap the detector in the config's ``tta_model`` and test with its ``tta_pipeline``."""
    if cfg.get("tta_model") is None or cfg.get("tta_pipeline") is None:
        hint = "inherit one of configs/_base_/tta"
        raise UserError("this config has no tta_model and tta_pipeline", where=cfg.filename, hint=hint)
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
