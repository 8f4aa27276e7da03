"""MMEngine's runner with atomic checkpoints, resuming within an epoch, and one-line config errors."""

from __future__ import annotations

import errno
import io
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from rotated_atss.detection.engine.bad_images import BAD_IMAGES_FILE, skip_bad_images
from rotated_atss.detection.engine.build_errors import report_build_errors
from rotated_atss.detection.engine.console import FILE_ONLY, ConsoleHandler, install_console
from rotated_atss.detection.engine.epoch_loop import EPOCH_LENGTH, ResumableEpochLoop
from rotated_atss.detection.engine.random_numbers import seed_samples
from rotated_atss.errors import UserError

_PACKAGES = (
    "rotated-atss", "torch", "numpy", "opencv-python-headless",
    "onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "onedl-mmrotate",
)  # fmt: skip


class AtomicCheckpointRunner(Runner):
    """MMEngine's runner with atomic checkpoints, resuming within an epoch, and one-line config errors.

    A checkpoint is written to a temporary file and renamed when it is complete. A full disk or an interrupt therefore
    leaves no partial checkpoint and does not damage an older checkpoint of the same name. Environment, config and hooks
    are written to the log file only (:class:`rotated_atss.detection.engine.console.ConsoleHandler`).
    """

    _train_dataloader: Any  # config of the data loader, replaced by the data loader when the loop is built
    _val_dataloader: Any
    _test_dataloader: Any

    console: ConsoleHandler
    _loaded_meta: dict | None = None  # ``meta`` of the checkpoint that was loaded last, as start weights or to resume
    resumed_meta: dict | None = None  # ``meta`` of the checkpoint from which the training run was resumed

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger. It prints the messages for the user and writes all messages to the log file."""
        logger = super().build_logger(*args, **kwargs)
        self.console = install_console(logger)
        return logger

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Log versions, devices, seed and config.

        MMEngine's own report is not used, because it imports torchvision, which takes longer than building a model.
        """
        settings = {**env_cfg, **self._randomness_cfg, "seed": self._seed}
        settings |= {"launcher": self._launcher, "processes": self._world_size}
        for title, values in (("System environment", _environment()), ("Runtime environment", settings)):
            lines = "".join(f"\n    {name}: {value}" for name, value in values.items())
            self.logger.info("%s:%s", title, lines, **FILE_ONLY)
        self.logger.info("Config:\n%s", self.cfg.pretty_text, **FILE_ONLY)

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, meta: dict | None = None, **kwargs: Any) -> None:
        """Write a checkpoint atomically.

        Raises:
            UserError: The file cannot be written.
        """
        meta = dict(meta or {})
        if isinstance(self._train_loop, ResumableEpochLoop):
            meta[EPOCH_LENGTH] = len(self.train_dataloader)  # batches per epoch, for resuming within an epoch
        partial, final = Path(out_dir) / f"{filename}.partial", Path(out_dir) / filename
        try:
            super().save_checkpoint(out_dir, partial.name, *args, meta=meta, **kwargs)
            if self.rank == 0:
                os.replace(partial, final)
        except OSError as error:
            what = f"cannot write the checkpoint: {error.strerror or error}"
            action = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "make the folder writable"
            next_step = "use --resume" if any(Path(out_dir).glob("*.pth")) else "start again: nothing was saved"
            raise UserError(what, where=final, hint=f"{action}, then {next_step}") from error
        finally:
            if self.rank == 0:
                partial.unlink(missing_ok=True)

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict:
        """Load a checkpoint and drop its config text, which MMEngine would execute when it resumes."""
        with _suppress_load_notice():
            checkpoint = super().load_checkpoint(*args, **kwargs)
        meta = checkpoint.get("meta")
        if isinstance(meta, dict):
            meta.pop("config", None)
            self._loaded_meta = meta
        return checkpoint

    def resume(self, *args: Any, **kwargs: Any) -> None:
        """Continue a training run at the first batch after the checkpoint, even within an epoch."""
        super().resume(*args, **kwargs)
        self.resumed_meta = self._loaded_meta  # set by load_checkpoint, which super().resume calls
        if isinstance(self.train_loop, ResumableEpochLoop):
            warning = self.train_loop.resume_epoch(self.resumed_meta or {})
            if warning is not None:
                self.logger.warning(warning)

    def scale_lr(self, *args: Any, **kwargs: Any) -> None:
        """Scale the learning rate with the batch size, without MMEngine's log line.

        :func:`rotated_atss.detection.engine.runner.train` logs the rates before and after scaling. A second line would
        look like a second scaling.
        """
        self.logger.addFilter(_is_not_lr_scaling)
        try:
            super().scale_lr(*args, **kwargs)
        finally:
            self.logger.removeFilter(_is_not_lr_scaling)

    def build_model(self, model: Any) -> nn.Module:
        """Build the detector."""
        with report_build_errors("this model", where=self.cfg.filename):
            return super().build_model(model)

    @report_build_errors("train_cfg or train_dataloader of this config")
    def build_train_loop(self, loop: Any) -> Any:
        """Build the training loop and its data loader.

        Samples are seeded one by one, so that their augmentation does not depend on the number of workers.
        """
        self._train_dataloader = self._apply_on_bad_image(self._train_dataloader)
        if isinstance(self._train_dataloader, dict):
            self._train_dataloader = seed_samples(self._train_dataloader, self.seed)
        if isinstance(loop, dict) and loop.get("type") == "EpochBasedTrainLoop":
            loop = {**loop, "type": ResumableEpochLoop}
        return super().build_train_loop(loop)

    @report_build_errors("val_cfg, val_dataloader or val_evaluator of this config")
    def build_val_loop(self, loop: Any) -> Any:
        """Build the validation loop with its data loader and metric."""
        self._val_dataloader = self._apply_on_bad_image(self._val_dataloader)
        return super().build_val_loop(loop)

    @report_build_errors("test_cfg, test_dataloader or test_evaluator of this config")
    def build_test_loop(self, loop: Any) -> Any:
        """Build the test loop with its data loader and metric."""
        self._test_dataloader = self._apply_on_bad_image(self._test_dataloader)
        return super().build_test_loop(loop)

    def _apply_on_bad_image(self, dataloader: Any) -> Any:
        """Make the data loader skip unreadable images if the config has ``on_bad_image="skip"``."""
        if self.cfg.get("on_bad_image") != "skip":
            return dataloader
        return skip_bad_images(dataloader, Path(self.work_dir, BAD_IMAGES_FILE))

    @report_build_errors("optim_wrapper of this config")
    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimizer with its wrapper."""
        return super().build_optim_wrapper(optim_wrapper)

    @report_build_errors("param_scheduler of this config")
    def build_param_scheduler(self, scheduler: Any) -> Any:
        """Build the learning rate schedules."""
        return super().build_param_scheduler(scheduler)


@contextmanager
def _suppress_load_notice() -> Iterator[None]:
    """Drop the line that MMEngine prints when it loads a checkpoint, because MMEngine also logs it."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        for line in printed.getvalue().splitlines():
            if not line.startswith("Loads checkpoint by"):
                print(line, flush=True)


def _is_not_lr_scaling(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("LR is set based on batch size")


def _environment() -> dict[str, Any]:
    """Return versions and devices by name."""
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "CUDA": torch.version.cuda,
        "GPUs": ", ".join(devices) or "none",
        "CPU threads": torch.get_num_threads(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
