"""The ``--cfg-options`` argument."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rotated_atss.errors import UserError


def add_cfg_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--cfg-options`` to a parser or an argument group."""
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override config values, as in MMDetection"
    )


def parse_cfg_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` texts with MMEngine's rules.

    Args:
        pairs: Dotted config keys with their values, such as ``["train_cfg.max_epochs=24"]``.

    Returns:
        Values by key; numbers, booleans, lists and tuples are converted, everything else stays text.

    Raises:
        UserError: A text has no ``=`` or no key, or its brackets are not balanced.

    Example:
        >>> parse_cfg_options(["model.backbone.depth=18"])
        {'model.backbone.depth': 18}
    """
    for pair in pairs:
        if not pair.partition("=")[0].strip() or "=" not in pair:
            raise UserError(f"--cfg-options must be KEY=VALUE, got '{pair}'")
    if not pairs:
        return {}
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser()
    parser.add_argument("--options", nargs="+", action=DictAction, default={})
    try:
        return parser.parse_args(["--options", *pairs]).options
    except AssertionError as error:
        raise UserError(f"--cfg-options: {error}") from error
