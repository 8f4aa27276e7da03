"""The arguments ``--cfg-options`` and ``--safe-config``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rotated_atss.errors import UserError

# Keys whose values are paths or class names: strings, even where they look like numbers.
STRING_KEYS = frozenset(
    ("classes", "data_root", "ann_file", "img_path", "img", "work_dir", "load_from", "checkpoint", "out_dir", "labels")
)


def add_cfg_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--cfg-options`` and ``--safe-config`` to a parser or an argument group."""
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override config values, as in MMDetection"
    )
    add_safe_config_argument(parser)


def add_safe_config_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--safe-config``, which the entry point of all commands evaluates."""
    parser.add_argument(
        "--safe-config", action="store_true",
        help="read CONFIG without executing it: only literals, dict(...), names assigned before and _base_",
    )  # fmt: skip


def parse_cfg_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` strings with MMEngine's rules.

    Args:
        pairs: Dotted config keys with their values, such as ``["train_cfg.max_epochs=24"]``.

    Returns:
        Values by key; numbers, booleans, lists and tuples are converted, everything else stays a string. The values of
        :data:`STRING_KEYS` and values in quotes are never numbers.

    Raises:
        UserError: A string has no ``=`` or no key, or its brackets are not balanced.

    Example:
        >>> parse_cfg_options(["model.backbone.depth=18"])
        {'model.backbone.depth': 18}
        >>> parse_cfg_options(["test_dataloader.dataset.data_root=2024"])
        {'test_dataloader.dataset.data_root': '2024'}
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
        options = parser.parse_args(["--options", *pairs]).options
    except AssertionError as error:  # brackets that are not balanced
        raise UserError(f"--cfg-options: {error}") from error
    for pair in pairs:
        key, _, text = pair.partition("=")
        options[key] = _restore_string(options[key], text.strip(), key.rpartition(".")[2] in STRING_KEYS)
    return options


def _restore_string(value: Any, text: str, stays_string: bool) -> Any:
    """Restore a value that must stay a string but was parsed as a number; return other values unchanged.

    Args:
        value: The parsed value.
        text: The text after the equals sign.
        stays_string: Whether the key is one of :data:`STRING_KEYS`. A quoted value always stays a string.
    """
    if isinstance(value, (list, tuple)):
        items = [item.strip() for item in text.strip("[]()").split(",") if item.strip()]
        if len(items) == len(value):  # nested sequences are returned unchanged
            return type(value)(_restore_string(*pair, stays_string) for pair in zip(value, items))
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text.strip("'\"") if isinstance(value, (int, float)) and (stays_string or is_quoted) else value
