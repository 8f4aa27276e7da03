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
        A changed copy. If the run is resumed, ``load_from`` of the copy is the checkpoint to resume from, or None if
        there is no checkpoint yet.

    Raises:
        UserError: The config lacks a key that training needs, an option is invalid, two options contradict each other,
            or the checkpoint to resume from is missing.

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
            what = "--init-from and --resume cannot be combined"
            raise UserError(what, hint="use only --resume to continue a training run")
        cfg.load_from = str(options.init_from)
        _drop_pretrained_weights(cfg)
    if options.resume:
        cfg.resume = True
        if not isinstance(options.resume, bool):
            cfg.load_from = str(options.resume)
    if cfg.get("resume"):
        if options.overwrite:
            what = "--overwrite and --resume cannot be combined"
            raise UserError(what, hint="use --resume to continue a training run, or --overwrite to start it again")
        _set_resumed_checkpoint(cfg)
    return cfg


def prepare_test(cfg: Config, options: TestOptions, checkpoint: str | Path | None = None) -> Config:
    """Return the config of a test run.

    Args:
        cfg: A config loaded with ``options.cfg_options``. It is not changed.
        options: Options of the run.
        checkpoint: The checkpoint to test. If neither the options nor the config set ``work_dir``, the folder of the
            checkpoint is used.

    Returns:
        A changed copy without the keys of training and validation. The copy has no weights to load, because the caller
        loads the checkpoint.

    Raises:
        UserError: The config lacks a key that testing needs, an option does not apply to the config, or an output
            overlaps an input.

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
    cfg.load_from, cfg.resume = None, False  # these settings are for training; the caller loads the checkpoint
    cfg.model.backbone.init_cfg = None  # pretrained weights are not needed, because the checkpoint has all weights
    cfg.update(dict.fromkeys(TRAINING_KEYS + VALIDATION_KEYS))  # None for each key turns training and validation off
    if options.data is not None:
        set_test_data(cfg, options.data)
    if options.dataset is not None:
        set_dataset_rules(cfg, options.dataset)
    configure_outputs(cfg, options.labels, options.out, options.submission, options.report)
    if options.tta:
        _wrap_with_tta(cfg)
    return cfg


def missing_validation_data(cfg: Config) -> Path | None:
    """Return the path of the config's validation data if the data is missing, otherwise None.

    The path is a COCO JSON or the dataset's ``data_root``. None is also returned if the config sets no ``data_root``.

    Example:
        >>> cfg = Config(dict(val_dataloader=dict(dataset=dict(data_root="no/such/folder"))))
        >>> missing_validation_data(cfg).name
        'folder'
    """
    loader_cfg = cfg.get("val_dataloader") or {}
    dataset = loader_cfg.get("dataset", {})
    data_root, ann_file = dataset.get("data_root"), dataset.get("ann_file") or ""
    if data_root is None:
        return None
    path = Path(data_root, ann_file) if ann_file.endswith(".json") else Path(data_root)
    return None if path.exists() else path


def without_validation(cfg: Config) -> Config:
    """Copy a config and turn validation off in the copy.

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
    """Return a copy of the config, changed by the options that training and testing share."""
    cfg = copy.deepcopy(cfg)
    if options.work_dir is not None:
        cfg.work_dir = str(options.work_dir)
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", cfg.config_name))
    if cfg.get("visualizer"):
        # MMEngine reuses a visualizer with the same name, so a second run in the same process would log to the folder
        # of the first run. The name is removed to prevent this.
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
        # MMEngine requires the key "seed". With the value None, it draws a random seed.
        cfg.randomness = {"seed": None, **randomness}


def _set_nonfinite_action(cfg: Config, action: str) -> None:
    """Set the action of the config's ``NonFiniteLossHook``; add the hook if the config has none."""
    hook_type = "NonFiniteLossHook"
    nonfinite_hook_cfgs: list[dict] = []
    other_hooks: list[Any] = []
    for hook in cfg.get("custom_hooks") or ():  # configs of hooks, or built hooks
        if isinstance(hook, dict) and hook.get("type") == hook_type:
            nonfinite_hook_cfgs.append(hook)
        else:
            other_hooks.append(hook)
    hook_cfg = nonfinite_hook_cfgs[0] if nonfinite_hook_cfgs else {"type": hook_type}
    cfg.custom_hooks = [{**hook_cfg, "action": action}, *other_hooks]


def _set_resumed_checkpoint(cfg: Config) -> None:
    """Set ``load_from`` to the checkpoint to resume from; drop pretrained weights, which the checkpoint replaces.

    If there is no checkpoint, the config is not changed, and the run starts from the beginning.
    """
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
