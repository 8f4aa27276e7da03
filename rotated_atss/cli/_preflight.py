"""Mistakes in names and paths, told before torch and MMDetection are imported, which takes many seconds."""

from __future__ import annotations

from pathlib import Path

from rotated_atss.configs import find_config
from rotated_atss.errors import UserError


def check_inputs_exist(config: str | None = None, checkpoint: str | None = None) -> None:
    """The config and the checkpoint that were named are there; what is in them is looked at later.

    Raises:
        UserError: One is not.
    """
    if config is not None:
        find_config(config)
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise UserError("no such checkpoint", where=checkpoint)
