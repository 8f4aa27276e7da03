"""Train and test a config on MMEngine's runner: what the command line and ``tools/`` call."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.dist import get_world_size
from mmengine.runner.checkpoint import CheckpointLoader

from rotated_atss.configs import find_config
from rotated_atss.detection.engine.checkpoint_io import (
    check_fits,
    check_resumable,
    latest_checkpoint,
    read_checkpoint,
    state_dict_of,
)
from rotated_atss.detection.engine.dataloaders import configure_dataloaders
from rotated_atss.detection.engine.hooks import (
    AtomicCheckpointRunner,
    ClassCountHook,
    PlainCheckpointHook,
    built_model,
    compile_network,
    one_line,
)
from rotated_atss.detection.engine.outputs import configure_outputs, set_dota_version
from rotated_atss.detection.engine.preflight import check_data
from rotated_atss.errors import UserError

DOWNLOAD_TIMEOUT_S = 10
SCRATCH = {"model.backbone.init_cfg": None, "model.backbone.frozen_stages": -1, "model.backbone.norm_eval": False}


@dataclass
class TrainOptions:
    """How a training run differs from its config."""

    work_dir: str | None = None
    resume: str | bool = False  # True: from the latest checkpoint of the work folder
    amp: bool = False
    compile: bool = False
    seed: int | None = None
    deterministic: bool = False
    from_scratch: bool = False
    iterations: int | None = None  # so many steps, each logged, without validation
    launcher: str = "none"
    workers: int | None = None  # processes that load; None: the config's, on a GPU more
    cfg_options: dict[str, Any] = field(default_factory=dict)


def load_config(config: str | Path, cfg_options: dict[str, Any] | None = None) -> Config:
    """The config of a path or bare name, everything it names registered.

    Raises:
        UserError: No such config, or one that cannot be read.
    """
    path = find_config(config)
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is a program: it can raise anything
        raise UserError(f"cannot read this config: {type(error).__name__}: {one_line(error)}", where=path) from error
    register_all_modules(init_default_scope=True)
    try:
        cfg.merge_from_dict(cfg_options or {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"these options do not fit the config: {one_line(error)}", where=path) from error
    cfg.config_name = path.stem
    return cfg


def _need(cfg: Config, *parts: str) -> None:
    for part in parts:
        if cfg.get(part) is None:
            raise UserError(f"this config has no {part}", where=cfg.filename, hint="give the config of a model")


def train(config: str | Path, options: TrainOptions | None = None) -> Path:
    """Train a config. Returns the folder that holds checkpoints and logs.

    Raises:
        UserError: Whatever is wrong with config, data, weights or disk, in one line.
    """
    options = options or TrainOptions()
    cfg = load_config(config, {**(SCRATCH if options.from_scratch else {}), **options.cfg_options})
    _need(cfg, "model", "train_dataloader", "train_cfg", "optim_wrapper")
    _apply(cfg, options)
    without_validation = _drop_absent_validation(cfg)
    for loader in ("train_dataloader", "val_dataloader"):
        check_data(cfg, loader)
    resumed = _find_resumed(cfg)
    if resumed is None:
        _check_pretrained(cfg)
    runner = build_runner(cfg)
    if resumed is not None:
        check_resumable(_network(runner), resumed)
    elif cfg.get("resume"):
        runner.logger.warning(f"{cfg.work_dir}: nothing to resume, training starts at the beginning")
    if without_validation:
        runner.logger.warning(without_validation)
    _say_batch(runner, cfg)
    if options.compile:
        compile_network(_network(runner))
    with strip_worker_traceback(), _processes_ended():
        runner.train()
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
    tta: bool = False,
    dota_version: str | None = None,
    launcher: str = "none",
    workers: int | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> dict[str, float]:
    """Detect on the images of a config, write what was found, evaluate where labels are known. Tiles of a DOTA config
    are merged into full images.

    Args:
        config: Path or name.
        checkpoint: Weights of that model.
        work_dir: Folder of logs; default ``work_dirs/<config>``.
        data: Folder of tiles, or of COCO's ``annotations`` and images, instead of the config's.
        labels: DOTA: label folders of the full images; default: those that the split's manifest names. COCO: the one
            instances JSON to test on.
        out: Folder for the merged ``Task1_*.txt`` (default ``<work_dir>/merged``), or for COCO's ``results.json``
            (default ``<work_dir>/results``).
        submission: Zip to write for DOTA's server.
        tta: Test-time augmentation, as the config's ``tta_model`` and ``tta_pipeline`` say.
        dota_version: ``v1.0``, ``v1.5`` or ``v2.0``: whether difficult objects count, instead of the config's.
        launcher: ``none`` or ``pytorch`` (torchrun).
        workers: Processes that load; None: the config's number, on a GPU more (:func:`configure_dataloaders`).
        cfg_options: Changes to the config.

    Returns:
        The metrics, empty without labels.
    """
    cfg = load_config(config, cfg_options)
    _need(cfg, "model", "test_dataloader", "test_cfg", "test_evaluator")
    _apply(cfg, TrainOptions(work_dir=work_dir, launcher=launcher, workers=workers, cfg_options=cfg_options or {}))
    cfg.load_from, cfg.resume = None, False  # only what is given here is tested
    cfg.model.backbone.init_cfg = None  # the checkpoint holds every weight
    if data is not None:
        cfg.test_dataloader.dataset.data_root = str(data)
    if dota_version is not None:
        set_dota_version(cfg, dota_version)
    configure_outputs(cfg, labels, out, submission)
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
    if tta:
        _use_tta(cfg)
    state = state_dict_of(read_checkpoint(checkpoint))
    check_data(cfg, "test_dataloader", "--data DIR")
    runner = build_runner(cfg)
    check_fits(_network(runner), state, checkpoint)
    _network(runner).load_state_dict(state, strict=False)
    with strip_worker_traceback(), _processes_ended():
        return runner.test()


def _use_tta(cfg: Config) -> None:
    """Let the TTA model wrap the detector, and its pipeline feed it."""
    if cfg.get("tta_model") is None or cfg.get("tta_pipeline") is None:
        hint = "inherit one of configs/_base_/tta"
        raise UserError("this config has no tta_model and tta_pipeline", where=cfg.filename, hint=hint)
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline


def build_model(cfg: Config) -> torch.nn.Module:
    """The detector of a config; a part that does not fit is told in one line."""
    return built_model(MODELS.build, cfg.model, cfg.filename)


def build_runner(cfg: Config) -> AtomicCheckpointRunner:
    """The runner of a config; a model that does not fit, a missing folder: one line."""
    if cfg.get("visualizer"):
        cfg.visualizer.pop(
            "name", None
        )  # under one name a second run of this process would write to the first's folder
    try:
        runner = AtomicCheckpointRunner.from_cfg(cfg)
    except OSError as error:
        what = f"cannot write here: {error.strerror or error}"
        raise UserError(what, where=error.filename or cfg.work_dir, hint="choose another --work-dir") from error
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"cannot build this config: {one_line(error)}", where=cfg.filename) from error
    runner.register_hook(PlainCheckpointHook())
    runner.register_hook(ClassCountHook())
    return runner


def _network(runner: AtomicCheckpointRunner) -> torch.nn.Module:
    """The detector without its data-parallel and test-time wrappers."""
    model = runner.model
    while hasattr(model, "module"):
        model = model.module
    return model


@contextmanager
def _processes_ended() -> Iterator[None]:
    """Leave the group of processes in good order: a rank that just exits may abort in its communication threads."""
    yield
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


@contextmanager
def strip_worker_traceback() -> Iterator[None]:
    """A mistake found by a data loader's worker process comes with that process's traceback in its text: leave it."""
    try:
        yield
    except UserError as error:
        line = error.what.rpartition(f"{UserError.__module__}.{UserError.__qualname__}: ")[2]
        if line == error.what:
            raise
        raise UserError(line) from None
    except FileNotFoundError as error:
        raise UserError(str(error)) from error


def _apply(cfg: Config, options: TrainOptions) -> None:
    if options.work_dir is not None:
        cfg.work_dir = options.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = os.path.join("work_dirs", cfg.config_name)
    _set_processes(cfg, options.launcher)
    if options.amp:
        cfg.optim_wrapper.type = "BFloat16OptimWrapper"
        for other in ("loss_scale", "dtype", "use_fp64"):  # of MMEngine's own wrapper
            cfg.optim_wrapper.pop(other, None)
    configure_dataloaders(cfg, options.workers, options.cfg_options)
    _set_randomness(cfg, options.seed, options.deterministic)
    if options.iterations is not None:
        _shorten(cfg, options.iterations)
    if options.resume:
        cfg.resume = True
        if isinstance(options.resume, str):
            cfg.load_from = options.resume


def _shorten(cfg: Config, iterations: int) -> None:
    """A few steps to look at: each logged by itself, one checkpoint at the end."""
    if iterations < 1:
        raise UserError(f"at least 1 iteration is needed, not {iterations}")
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=iterations)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.merge_from_dict({
        "default_hooks.logger.interval": 1,
        "default_hooks.checkpoint.by_epoch": False,
        "default_hooks.checkpoint.interval": iterations,
        "log_processor.by_epoch": False,
        "log_processor.window_size": 1,
    })  # fmt: skip
    schedulers = cfg.get("param_scheduler") or []
    for scheduler in [schedulers] if isinstance(schedulers, dict) else schedulers:
        if scheduler.get("total_steps", iterations) < iterations:
            scheduler.total_steps = iterations


def _set_randomness(cfg: Config, seed: int | None, deterministic: bool) -> None:
    if seed is not None and not 0 <= seed < 2**32:
        raise UserError(f"a seed lies between 0 and 2^32 - 1, not at {seed}")
    given = {"seed": seed} if seed is not None else {}
    if deterministic:
        given["deterministic"] = True
    if given:
        cfg.randomness = {**(cfg.get("randomness") or {}), **given}


def _set_processes(cfg: Config, launcher: str) -> None:
    """Several processes: on GPUs MMEngine's way; on the CPU, where it would ask for a GPU all the same, by gloo."""
    cfg.launcher = launcher
    if launcher == "none":
        return
    if "RANK" not in os.environ:
        hint = "start it with tools/dist_train.sh CONFIG NUMBER"
        raise UserError(f"--launcher {launcher} needs the environment that torchrun sets", hint=hint)
    if torch.cuda.is_available():
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    cfg.model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False)


def _find_resumed(cfg: Config) -> Path | None:
    """The checkpoint that training goes on from, which then needs no pretrained weights; None to start anew."""
    if not cfg.get("resume"):
        return None
    path = Path(cfg.load_from) if cfg.get("load_from") else latest_checkpoint(Path(cfg.work_dir))
    if path is None:
        return None
    cfg.load_from = str(path)
    if "backbone" in cfg.model:
        cfg.model.backbone.init_cfg = None
    return path


def _drop_absent_validation(cfg: Config) -> str | None:
    """Train without validation where its tiles or its JSON do not exist (the published DOTA runs train on train + val):
    what to say.
    """
    dataset = (cfg.get("val_dataloader") or {}).get("dataset", {})
    folder, ann_file = dataset.get("data_root"), dataset.get("ann_file") or ""
    wanted = Path(folder or "") / (ann_file if ann_file.endswith(".json") else "")
    if folder is None or wanted.exists():
        return None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.train_cfg.pop("val_interval", None)
    return f"{wanted}: {'no such file' if wanted.suffix == '.json' else 'no such folder'}, training without validation"


def _check_pretrained(cfg: Config) -> None:
    """Fetch the backbone's weights before anything else, so that a machine without them says how to go on."""
    checkpoint = (cfg.model.get("backbone", {}).get("init_cfg") or {}).get("checkpoint")
    if not checkpoint:
        return
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)  # a network that swallows packets would hold us for minutes
    try:
        CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    except Exception as error:  # whatever a download or a file can raise ends in the same advice
        raise UserError(
            f"cannot get the backbone's weights {checkpoint}: {one_line(error)}",
            hint="give a local file with --cfg-options model.backbone.init_cfg.checkpoint=PATH, or go on without: "
            "--from-scratch sets init_cfg=None, frozen_stages=-1, norm_eval=False (untrained weights must not freeze)",
        ) from error
    finally:
        socket.setdefaulttimeout(patience)


def _say_batch(runner: AtomicCheckpointRunner, cfg: Config) -> None:
    scale = cfg.get("auto_scale_lr") or {}
    batch = cfg.train_dataloader.batch_size * get_world_size()
    base = scale.get("base_batch_size")
    if scale.get("enable") and base and batch != base:
        lr = cfg.optim_wrapper.optimizer.lr
        runner.logger.info(
            f"batch of {batch} images instead of {base}: the learning rate {lr} becomes {lr * batch / base:g}"
        )
