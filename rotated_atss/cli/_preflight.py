"""Checks of command-line arguments that run before torch and MMDetection are imported, which takes seconds."""

from __future__ import annotations

from pathlib import Path

from rotated_atss.configs import find_config
from rotated_atss.errors import UserError


def check_inputs_exist(config: str | None = None, checkpoint: str | None = None) -> None:
    """Check that the config and the checkpoint exist, without reading them.

    Args:
        config: Path or bare name of a config.
        checkpoint: Path of a checkpoint file.

    Raises:
        UserError: One of them does not exist.

    Example:
        >>> check_inputs_exist(config="rotated_atss_obb_r50_fpn_1x_dota_le90")
    """
    if config is not None:
        find_config(config)
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise UserError("no such checkpoint", where=checkpoint)
