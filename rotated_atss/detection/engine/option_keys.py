"""Check the keys of config options for misspellings."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rotated_atss.errors import UserError, quote

# Top-level keys that MMEngine's runner reads from the whole config instead of taking them as arguments.
_RUNNER_KEYS = (
    "activation_checkpointing", "compile", "custom_imports", "efficient_conv_bn_eval", "find_unused_parameters",
    "model_wrapper_cfg", "sync_bn",
)  # fmt: skip
# Top-level keys that only this package reads.
_PACKAGE_KEYS = ("ground_resolution", "on_bad_image", "published", "tta_model", "tta_pipeline")
_MISSPELLED = 0.85  # similarity of difflib from which a key of a plain dictionary counts as a misspelling of another


def check_option_keys(values: Mapping[str, Any], keys: Iterable[str], where: str | Path) -> None:
    """Check that no dotted key of config options is misspelled.

    The top-level part of a key must be in the config, or be one that the runner or this package reads. A deeper part
    that is new in a dictionary with a ``type`` is accepted, because the class of this type refuses unknown arguments
    when it is built. In a dictionary without a ``type``, a new part is accepted unless it is similar to a present one.

    Args:
        values: The config without the options.
        keys: The dotted keys.
        where: File of the config, for errors.

    Raises:
        UserError: A key is misspelled.

    Example:
        >>> check_option_keys({"train_cfg": {"max_epochs": 12}}, ["train_cfg.val_interval", "resume"], "a.py")
        >>> check_option_keys({"train_cfg": {"max_epochs": 12}}, ["trian_cfg.max_epochs"], "a.py")
        Traceback (most recent call last):
        rotated_atss.errors.UserError: a.py: no such key in the config, got 'trian_cfg.max_epochs' (nearest: train_cfg)
    """
    for key in keys:
        first, *parts = key.split(".")
        if first not in values:
            known_keys = _list_top_level_keys(values)
            if first not in known_keys:
                # the present keys are preferred: few configs need the others
                similar = get_close_matches(first, values, n=1) or get_close_matches(first, known_keys, n=1)
                hint = f"nearest: {similar[0]}" if similar else "rotated-atss config prints the keys"
                raise UserError(f"no such key in the config, got {quote(key)}", where=where, hint=hint)
            continue
        parent, node = first, values[first]
        for part in parts:
            if isinstance(node, (list, tuple)) and part.isdecimal() and int(part) < len(node):
                node = node[int(part)]
            elif isinstance(node, Mapping) and part in node:
                node = node[part]
            else:
                misspelled = _find_misspelled(part, node)
                if misspelled is not None:
                    hint = f"nearest: {parent}.{misspelled}"
                    raise UserError(f"no such key in the config, got {quote(key)}", where=where, hint=hint)
                break
            parent = f"{parent}.{part}"


def _list_top_level_keys(values: Mapping[str, Any]) -> list[str]:
    """List the top-level keys that a config has or can have."""
    from mmengine.runner import Runner  # slow to import, and needed only for keys that the config does not have

    arguments = [name for name in inspect.signature(Runner.__init__).parameters if name not in ("self", "cfg")]
    return [*dict.fromkeys((*values, *arguments, *_RUNNER_KEYS, *_PACKAGE_KEYS))]


def _find_misspelled(part: str, node: Any) -> str | None:
    """Return the key of a dictionary without ``type`` that a new key misspells; None if there is none."""
    if not isinstance(node, Mapping) or "type" in node:
        return None
    digits = [character for character in part if character.isdigit()]
    # keys that differ in a number, such as layer3 and layer4, are different keys
    names = [name for name in map(str, node) if [character for character in name if character.isdigit()] == digits]
    return next(iter(get_close_matches(part, names, n=1, cutoff=_MISSPELLED)), None)
