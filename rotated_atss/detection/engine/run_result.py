"""Result of a training or test run as plain values, which is written to a file and printed as the last line."""

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
from rotated_atss.detection.engine.progress_hook import AVERAGED_ITERATIONS
from rotated_atss.detection.engine.resume import latest_checkpoint
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, write_json
from rotated_atss.io.json_values import replace_nonfinite
from rotated_atss.tiling.tile_results import TEST_RESULT

TRAIN_RESULT = "train_result.json"


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
    """Return the result of a training run, and write it to ``train_result.json`` in the run's work folder.

    Args:
        runner: The runner, after it has finished training.
        hook: The hook that was registered before training.

    Returns:
        Plain values by name: ``result`` (the word ``train``), ``config`` (name of the config), ``checkpoint``,
        ``work_dir``, ``log``, ``epochs`` (None in training by iterations), ``iterations``, ``seconds``, ``loss`` (mean
        of the latest iterations) and ``val`` (None without validation). ``best_checkpoint`` is added if the run has
        saved one. Paths are absolute.
    """
    loop = runner.train_loop
    losses = runner.message_hub.log_scalars.get("train/loss")
    mean_loss = None if losses is None else round(float(losses.mean(AVERAGED_ITERATIONS)), 6)
    best_checkpoint = runner.message_hub.runtime_info.get("best_ckpt")
    result = {
        "result": "train",
        **_common_fields(runner, _find_latest_checkpoint(runner.work_dir)),
        "epochs": loop.epoch if hasattr(loop, "run_epoch") else None,
        "iterations": loop.iter,
        "seconds": hook.seconds,
        "loss": replace_nonfinite(mean_loss),
        "val": replace_nonfinite(short_names(hook.metrics)) or None,
    }
    if best_checkpoint:
        result["best_checkpoint"] = _absolute(best_checkpoint)
    return _write_result(result, runner, TRAIN_RESULT)


def record_finished(runner: Runner, checkpoint: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a run that was resumed although its training was already finished.

    The result has the same fields as the result of :func:`record_training`, but is not written to a file.
    """
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
    """Return the result of a test, and write it to ``test_result.json`` in the work folder of the test.

    Args:
        runner: The runner, after the test.
        hook: A hook that was created before the test, so that its time is the time of the test.
        metrics: Metrics that the test returned.
        checkpoint: The tested weights.

    Returns:
        Plain values by name: ``result`` (the word ``test``), ``config`` (name of the config), ``checkpoint``,
        ``work_dir``, ``log``, ``images`` (number of images), ``seconds``, ``metrics`` (None without labels), and the
        paths ``out``, ``submission`` and ``report`` of the outputs (None for an output that was not written). Paths are
        absolute.
    """
    evaluator = runner.cfg.get("test_evaluator")
    output_settings = evaluator if isinstance(evaluator, dict) else {}  # the config of the metric has the output paths
    report_dir = output_settings.get("report_dir") if metrics else None  # without labels, no report is written
    result = {
        "result": "test",
        **_common_fields(runner, checkpoint),
        "images": len(runner.test_dataloader.dataset),
        "seconds": hook.seconds,
        "metrics": replace_nonfinite(short_names(dict(metrics))) or None,
        "out": _absolute(output_settings.get("out_dir")),
        "submission": _absolute(output_settings.get("submission")),
        "report": _absolute(report_dir),
    }
    return _write_result(result, runner, TEST_RESULT)


def save_learning_curves(runner: Runner) -> None:
    """Draw the learning curves of a training run into its work folder, unless every curve is a single point.

    Errors are logged and not raised, because training itself was successful.
    """
    folder = Path(runner.work_dir)
    has_scalars = any(folder.glob(SCALARS))  # False for a config without LocalVisBackend
    if not is_main_process() or not has_scalars:
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
    except UserError:  # an earlier run has left the file last_checkpoint, but its checkpoint no longer exists
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
