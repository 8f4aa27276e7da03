"""Train and test a config: the functions that the command line, ``tools/`` and Python programs call.

:mod:`rotated_atss.detection.engine.training` contains the steps of a training run, and
:mod:`rotated_atss.detection.engine.testing` the steps of a test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rotated_atss.detection.engine.console import configure_console
from rotated_atss.detection.engine.device import use_device
from rotated_atss.detection.engine.options import TestOptions, TrainOptions
from rotated_atss.detection.engine.testing import detect_and_evaluate
from rotated_atss.detection.engine.training import train_config


def train(config: str | Path, options: TrainOptions | None = None) -> Path:
    """Train a config.

    If the validation data does not exist, the config is trained without validation. For example, the published DOTA
    models are trained on train + val, so that no labeled data is left for validation.

    Args:
        config: Path or bare name of a config.
        options: Options of the run.

    Returns:
        The work folder, which contains the checkpoints and logs.

    Raises:
        UserError: The config, the data, the weights or the device is invalid; another training run uses the work
            folder; the work folder contains checkpoints of an earlier run, but ``resume`` and ``overwrite`` are not
            set; or the disk is full.
        TerminatedError: SIGTERM or SIGUSR1 ended the training run. The message tells whether a checkpoint is written.

    Example::

        train("rotated_atss_obb_r50_fpn_1x_dota_le90", TrainOptions(seed=0, amp=True))
    """
    return Path(run_training(config, options)["work_dir"])


def run_training(config: str | Path, options: TrainOptions | None = None) -> dict[str, Any]:
    """Train a config as :func:`train` does, and return the result as plain values.

    Args:
        config: Path or bare name of a config.
        options: Options of the run.

    Returns:
        The values that ``rotated-atss train`` prints as its last line: see
        :func:`rotated_atss.detection.engine.run_result.record_training`.

    Example::

        run_training("rotated_atss_obb_r18_demo_le90")["checkpoint"]
    """
    options = options or TrainOptions()
    with use_device(options.device, options.launcher), configure_console(options.quiet):
        return train_config(config, options)


def test(
    config: str | Path | None,
    checkpoint: str | Path,
    options: TestOptions | None = None,  # noqa: PT028  (this is not a pytest function)
) -> dict[str, float]:
    """Detect objects on the test images of a config, write the detections, and evaluate them if there are labels.

    With a DOTA config, the detections on tiles are merged into detections on full images.

    Args:
        config: Path or bare name of a config; None for the config recorded in the checkpoint.
        checkpoint: Weights of the config's model, ``.pth`` or ``.safetensors``.
        options: Options of the run.

    Returns:
        Metrics by name; empty if there are no labels.

    Raises:
        UserError: The config, the checkpoint, the data, the device or an output path is invalid, or the config
            contradicts the checkpoint.

    Example::

        test("rotated_atss_obb_r50_fpn_1x_dota_le90", "epoch_12.pth", TestOptions(submission="task1.zip"))
    """
    metrics, _ = _test_on_device(config, checkpoint, options or TestOptions())
    return metrics


def run_test(config: str | Path | None, checkpoint: str | Path, options: TestOptions | None = None) -> dict[str, Any]:
    """Test a checkpoint as :func:`test` does, and return the result as plain values.

    Args:
        config: Path or bare name of a config; None for the config recorded in the checkpoint.
        checkpoint: Weights of the config's model, ``.pth`` or ``.safetensors``.
        options: Options of the run.

    Returns:
        The values that ``rotated-atss test`` prints as its last line: see
        :func:`rotated_atss.detection.engine.run_result.record_test`.

    Example::

        run_test(None, "epoch_12.pth")["metrics"]
    """
    _, result = _test_on_device(config, checkpoint, options or TestOptions())
    return result


def _test_on_device(
    config: str | Path | None, checkpoint: str | Path, options: TestOptions
) -> tuple[dict[str, float], dict[str, Any]]:
    """Test a checkpoint; return the metrics, and the result as plain values."""
    with use_device(options.device, options.launcher), configure_console(options.quiet):
        return detect_and_evaluate(config, checkpoint, options)
