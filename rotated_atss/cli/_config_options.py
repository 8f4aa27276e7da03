"""The arguments ``--cfg-options`` and ``--safe-config``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rotated_atss.errors import UserError

# Keys whose values are paths or class names. Such values stay strings even if they look like numbers. Of a dotted key,
# the last part is compared with these names.
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
    """Add ``--safe-config``. :func:`rotated_atss.cli.main` applies it; commands need not read its value."""
    parser.add_argument(
        "--safe-config", action="store_true",
        help="read CONFIG without executing it: only literals, dict(...), names assigned earlier and _base_",
    )  # fmt: skip


def parse_cfg_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` strings with MMEngine's rules.

    Args:
        pairs: Dotted config keys with their values, such as ``["train_cfg.max_epochs=24"]``.

    Returns:
        Values by key. Numbers, booleans, lists and tuples are converted; everything else stays a string. A value is
        never converted to a number if it is in quotes, or if the last part of its key is in :data:`STRING_KEYS`.

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

    parser = argparse.ArgumentParser()  # DictAction parses values only as an action of a parser
    parser.add_argument("--options", nargs="+", action=DictAction, default={})
    try:
        options = parser.parse_args(["--options", *pairs]).options
    except AssertionError as error:  # MMEngine's error for brackets that are not balanced
        raise UserError(f"--cfg-options: {error}") from error
    for pair in pairs:
        key, _, text = pair.partition("=")
        is_string_key = key.rpartition(".")[2] in STRING_KEYS
        options[key] = _restore_string(options[key], text.strip(), is_string_key)
    return options


def _restore_string(value: Any, text: str, is_string_key: bool) -> Any:
    """Undo the conversion of a value to a number if it must stay a string; return other values unchanged.

    Args:
        value: The parsed value. The items of a list or tuple are treated one by one.
        text: The text after the equals sign.
        is_string_key: Whether the value must stay a string even if it is not in quotes.
    """
    if isinstance(value, (list, tuple)):
        item_texts = [item_text.strip() for item_text in text.strip("[]()").split(",") if item_text.strip()]
        # The lengths differ if the sequence is nested, because its text is split at every comma. It is then returned
        # unchanged.
        if len(item_texts) == len(value):
            items = zip(value, item_texts)
            return type(value)(_restore_string(item, item_text, is_string_key) for item, item_text in items)
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    is_converted = isinstance(value, (int, float))
    if is_converted and (is_string_key or is_quoted):
        return text.strip("'\"")
    return value
