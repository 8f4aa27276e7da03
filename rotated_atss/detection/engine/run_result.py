"""Result of a training or test as plain values, which the commands print as their last line and write to a file."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rotated_atss.analysis.curve_plots import PICTURE, plot_learning_curves
from rotated_atss.analysis.learning_curves import SCALARS, read_learning_curves
from rotated_atss.analysis.metric_values import short_names
from rotated_atss.detection.engine.progress_hook import WINDOW
from rotated_atss.detection.engine.resume import latest_checkpoint
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, write_json
from rotated_atss.io.json_values import replace_nonfinite

TRAIN_RESULT = "train_result.json"
TEST_RESULT = "test_result.json"


class ResultHook(Hook):
    """Store the metrics of the latest validation and measure the time of the run."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the creation of the hook."""
        return round(time.monotonic() - self._start, 1)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Store the metrics."""
        self.metrics = dict(metrics or {})


def record_training(runner: Runner, hook: ResultHook) -> dict[str, Any]:
    """Return the result of a training, and write it to ``train_result.json`` of its work folder.

    Args:
        runner: The runner, after the training.
        hook: The hook that was registered before the training.

    Returns:
        Plain values by name: ``result`` (``train``), ``config`` (its name), ``checkpoint``, ``work_dir``, ``log``,
        ``epochs`` (None for a schedule of iterations), ``iterations``, ``seconds``, ``loss`` (mean of the latest
        iterations), ``val`` (None without validation) and, if there is one, ``best_checkpoint``. Paths are absolute.
    """
    loop, losses = runner.train_loop, runner.message_hub.log_scalars.get("train/loss")
    best = runner.message_hub.runtime_info.get("best_ckpt")
    result = {
        "result": "train",
        **_common_fields(runner, _find_latest_checkpoint(runner.work_dir)),
        "epochs": loop.epoch if hasattr(loop, "run_epoch") else None,
        "iterations": loop.iter,
        "seconds": hook.seconds,
        "loss": None if losses is None else replace_nonfinite(round(float(losses.mean(WINDOW)), 6)),
        "val": replace_nonfinite(short_names(hook.metrics)) or None,
        **({"best_checkpoint": _absolute(best)} if best else {}),
    }
    return _write_result(result, runner, TRAIN_RESULT)


def record_finished(runner: Runner, checkpoint: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of resuming a finished training, in the form of :func:`record_training`; write no file."""
    return {
        "result": "train",
        **_common_fields(runner, checkpoint),
        "epochs": meta.get("epoch") if "max_epochs" in runner.cfg.train_cfg else None,
        "iterations": meta.get("iter"),
        "seconds": 0.0,
        "loss": None,
        "val": None,
    }


def record_test(
    runner: Runner, hook: ResultHook, metrics: Mapping[str, float], checkpoint: str | Path
) -> dict[str, Any]:
    """Return the result of a test, and write it to ``test_result.json`` of its work folder.

    Args:
        runner: The runner, after the test.
        hook: A hook that was created before the test; it measures the time.
        metrics: Metrics that the test returned.
        checkpoint: The tested weights.

    Returns:
        Plain values by name: ``result`` (``test``), ``config`` (its name), ``checkpoint``, ``work_dir``, ``log``,
        ``images`` (their number), ``seconds``, ``metrics`` (None without labels), and the written ``out``,
        ``submission`` and ``report`` (None for those not written). Paths are absolute.
    """
    evaluator = runner.cfg.get("test_evaluator")
    output_settings = evaluator if isinstance(evaluator, dict) else {}  # the config of the metric has the output paths
    result = {
        "result": "test",
        **_common_fields(runner, checkpoint),
        "images": len(runner.test_dataloader.dataset),
        "seconds": hook.seconds,
        "metrics": replace_nonfinite(short_names(dict(metrics))) or None,
        "out": _absolute(output_settings.get("out_dir")),
        "submission": _absolute(output_settings.get("submission")),
        "report": _absolute(output_settings.get("report_dir")) if metrics else None,  # without labels, none is written
    }
    return _write_result(result, runner, TEST_RESULT)


def save_learning_curves(runner: Runner) -> None:
    """Draw the learning curves of a training into its work folder, unless every curve is a single point.

    Errors are logged and not raised, because the training itself is complete.
    """
    folder = Path(runner.work_dir)
    if not is_main_process() or not any(folder.glob(SCALARS)):  # a config without LocalVisBackend records none
        return
    try:
        curves = read_learning_curves(folder)
        if not curves.has_line():
            return
        atomic_write(folder / PICTURE, plot_learning_curves({folder.resolve().name: curves}))
        runner.logger.info(f"learning curves: {folder / PICTURE}")
    except ModuleNotFoundError as error:
        runner.logger.info(f"no {PICTURE}: {error.name} is not installed")
    except UserError as error:
        runner.logger.warning(f"no {PICTURE}: {error}")


def _find_latest_checkpoint(work_dir: str) -> Path | None:
    try:
        return latest_checkpoint(Path(work_dir))
    except UserError:  # last_checkpoint of an earlier run names a file that no longer exists
        return None


def _common_fields(runner: Runner, checkpoint: str | Path | None) -> dict[str, Any]:
    """Return the fields that the results of training and testing share."""
    return {
        "config": runner.cfg.get("config_name"),
        "checkpoint": _absolute(checkpoint),
        "work_dir": _absolute(runner.work_dir),
        "log": _absolute(runner.logger.log_file),
    }


def _absolute(path: str | Path | None) -> str | None:
    """Return an absolute path, since the result can be read from another working directory."""
    return None if path is None else os.path.abspath(path)


def _write_result(result: dict[str, Any], runner: Runner, name: str) -> dict[str, Any]:
    """Write a result into the work folder, in the main process only, and return it."""
    if is_main_process():
        write_json(Path(runner.work_dir) / name, result)
    return result
