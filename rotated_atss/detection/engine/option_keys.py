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
# A new key counts as misspelled if difflib's similarity of the new key and an existing key is at least this value.
_MISSPELLING_SIMILARITY = 0.85


def check_option_keys(values: Mapping[str, Any], keys: Iterable[str], where: str | Path) -> None:
    """Check that no dotted key of config options is misspelled.

    The first part of a dotted key must be a top-level key of the config, or a key that the runner or this package
    reads. Whether a later part may be missing from the config depends on the dictionary that it would be added to. If
    the dictionary has a ``type``, each new key is accepted here, because building an object of this type rejects
    unknown arguments later. If the dictionary has no ``type``, a new key is accepted unless it is similar to an
    existing key.

    Args:
        values: The config without the options.
        keys: The dotted keys of the options.
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
        top_level_key, *parts = key.split(".")
        if top_level_key not in values:
            known_keys = _list_top_level_keys(values)
            if top_level_key not in known_keys:
                # The hint prefers a key of the config to other known keys, because few configs need the other keys.
                similar = get_close_matches(top_level_key, values, n=1)
                similar = similar or get_close_matches(top_level_key, known_keys, n=1)
                hint = f"nearest: {similar[0]}" if similar else "rotated-atss config prints the keys"
                raise UserError(f"no such key in the config, got {quote(key)}", where=where, hint=hint)
            continue  # the config has no value under this key with which the other parts could be compared
        parent_key, node = top_level_key, values[top_level_key]
        for part in parts:
            if isinstance(node, (list, tuple)) and part.isdecimal() and int(part) < len(node):
                node = node[int(part)]
            elif isinstance(node, Mapping) and part in node:
                node = node[part]
            else:
                similar_key = _find_similar_key(part, node)
                if similar_key is not None:
                    hint = f"nearest: {parent_key}.{similar_key}"
                    raise UserError(f"no such key in the config, got {quote(key)}", where=where, hint=hint)
                break
            parent_key = f"{parent_key}.{part}"


def _list_top_level_keys(values: Mapping[str, Any]) -> list[str]:
    """List the top-level keys that a config has or can have."""
    from mmengine.runner import Runner  # slow to import, and needed only for keys that the config does not have

    arguments = [name for name in inspect.signature(Runner.__init__).parameters if name not in ("self", "cfg")]
    return [*dict.fromkeys((*values, *arguments, *_RUNNER_KEYS, *_PACKAGE_KEYS))]


def _find_similar_key(new_key: str, node: Any) -> str | None:
    """Return the existing key of which a new key is probably a misspelling.

    Returns:
        None if there is no similar key, or if ``node`` is not a dictionary without ``type``.
    """
    if not isinstance(node, Mapping) or "type" in node:
        return None
    # keys that differ in their digits, such as layer3 and layer4, are not misspellings of each other
    candidates = [name for name in map(str, node) if _digits(name) == _digits(new_key)]
    similar = get_close_matches(new_key, candidates, n=1, cutoff=_MISSPELLING_SIMILARITY)
    return similar[0] if similar else None


def _digits(text: str) -> list[str]:
    return [character for character in text if character.isdigit()]
