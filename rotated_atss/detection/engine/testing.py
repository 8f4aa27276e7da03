"""Run the steps of a test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from rotated_atss.checkpoints.compatibility import recorded_classes
from rotated_atss.checkpoints.model_info import read_info
from rotated_atss.checkpoints.read_file import state_dict_of
from rotated_atss.detection.engine.build_errors import strip_worker_traceback
from rotated_atss.detection.engine.checkpoint_io import load_weights, read_checkpoint
from rotated_atss.detection.engine.class_names import config_classes, set_classes
from rotated_atss.detection.engine.config import load_config
from rotated_atss.detection.engine.distributed import process_group
from rotated_atss.detection.engine.network import unwrap_model
from rotated_atss.detection.engine.options import TestOptions
from rotated_atss.detection.engine.preflight import check_data
from rotated_atss.detection.engine.prepare import prepare_test
from rotated_atss.detection.engine.recorded_config import resolve_config
from rotated_atss.detection.engine.run_header import HeaderHook
from rotated_atss.detection.engine.run_result import ResultHook, record_test
from rotated_atss.detection.engine.runner_setup import build_runner
from rotated_atss.dota.classes import hyphenate
from rotated_atss.errors import UserError


def detect_and_evaluate(
    config: str | Path | None, checkpoint: str | Path, options: TestOptions
) -> tuple[dict[str, float], dict[str, Any]]:
    """Test a checkpoint on the current device.

    Args:
        config: Path or name; None for the config recorded in the checkpoint.
        checkpoint: Weights of the config's model, ``.pth`` or ``.safetensors``.
        options: Options of the run. The caller has already applied ``device`` and ``quiet``.

    Returns:
        The metrics, and the result as plain values
        (:func:`rotated_atss.detection.engine.run_result.record_test`).

    Raises:
        UserError: For the same reasons as :func:`rotated_atss.detection.engine.runner.test`.
    """
    given_config = None if config is None else load_config(config, options.cfg_options)
    if given_config is not None:
        # Report errors in the options before the checkpoint is read, which may take long. The result is not used.
        prepare_test(given_config, options, checkpoint)
    content = read_checkpoint(checkpoint)
    info = read_info(content.get("meta"), checkpoint)
    cfg = prepare_test(resolve_config(given_config, info, checkpoint, options.cfg_options), options, checkpoint)
    _adopt_classes(cfg, content, checkpoint)
    check_data(cfg, "test_dataloader")
    with process_group(cfg.launcher):
        runner = build_runner(cfg)
        load_weights(unwrap_model(runner.model), state_dict_of(content), checkpoint)
        runner.register_hook(HeaderHook(checkpoint))
        result_hook = ResultHook()  # its construction starts the measurement of time
        with strip_worker_traceback():
            metrics = runner.test()
        return metrics, record_test(runner, result_hook, metrics, checkpoint)


def _adopt_classes(cfg: Config, content: Mapping[str, Any], checkpoint: str | Path) -> None:
    """Put the classes of the config, in place, in the order of the checkpoint.

    Spellings of the same class may differ in case and hyphens, as for DIOR-R in checkpoints of mmrotate. The config
    keeps its spelling.

    Raises:
        UserError: The checkpoint was trained on other classes.
    """
    recorded, classes = recorded_classes(content), config_classes(cfg)
    if not recorded or not classes:
        return
    config_spellings = {hyphenate(name).casefold(): name for name in classes}
    trained_classes = tuple(config_spellings.get(hyphenate(name).casefold(), name) for name in recorded)
    if trained_classes == tuple(classes):
        return
    if sorted(trained_classes) != sorted(classes):
        what = f"trained on the classes {', '.join(trained_classes)}; the config has {', '.join(classes)}"
        raise UserError(what, where=checkpoint, hint=f"use --classes {','.join(trained_classes)}")
    set_classes(cfg, trained_classes)
