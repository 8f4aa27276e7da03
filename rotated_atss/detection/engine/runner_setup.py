"""Build a runner with the hooks that training and testing share."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device

from rotated_atss.detection.engine.atomic_runner import AtomicCheckpointRunner
from rotated_atss.detection.engine.bad_images import BAD_IMAGES_FILE, BadImagesHook
from rotated_atss.detection.engine.build_errors import report_build_errors
from rotated_atss.detection.engine.checkpoint_io import restrict_checkpoint_loading
from rotated_atss.detection.engine.cpu_threads_hook import CpuThreadsHook
from rotated_atss.detection.engine.data_time import DataTimeHook
from rotated_atss.detection.engine.hooks import ClassCountHook, StripCallablesHook
from rotated_atss.detection.engine.log_targets import report_log_target_errors
from rotated_atss.detection.engine.progress_hook import ProgressHook
from rotated_atss.detection.engine.random_numbers import StepSeedHook
from rotated_atss.detection.engine.work_folder import work_folder_error


def build_runner(cfg: Config) -> AtomicCheckpointRunner:
    """Build the runner of a prepared config.

    Args:
        cfg: Result of :func:`~rotated_atss.detection.engine.prepare.prepare_train` or ``prepare_test``.

    Raises:
        UserError: A part of the config cannot be built, or the work folder cannot be written.

    Example::

        build_runner(prepare_train(load_config(config), TrainOptions()))
    """
    restrict_checkpoint_loading()
    try:
        with report_build_errors("this config", where=cfg.filename), report_log_target_errors():
            runner = AtomicCheckpointRunner.from_cfg(cfg)
    except OSError as error:
        raise work_folder_error(error, cfg.work_dir) from error
    runner.register_hook(StripCallablesHook())
    runner.register_hook(StepSeedHook())
    runner.register_hook(ClassCountHook())
    runner.register_hook(DataTimeHook())
    runner.register_hook(ProgressHook(runner.console))
    if cfg.get("on_bad_image") == "skip":
        runner.register_hook(BadImagesHook(Path(cfg.work_dir, BAD_IMAGES_FILE)))
    if get_device() == "cpu":
        runner.register_hook(CpuThreadsHook())
    return runner
