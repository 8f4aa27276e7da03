"""Configs from others: refused if their values can make MMEngine execute code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rotated_atss.errors import UserError, quote

PACKAGES = ("rotated_atss", "mmdet", "mmrotate")
"""Packages whose modules ``custom_imports`` of a config can name."""

SCOPES = ("rotated_atss.detection", "rotated_atss", "mmdet", "mmrotate", "mmcv", "mmengine")
"""Registry scopes that a config can name."""

_NAME = re.compile(r"[A-Za-z_]\w*")
# Registered classes that evaluate a text or unpickle a file.
_UNSAFE_TYPES = ("RFSearchHook", "CameraMotionCompensation", "OpenImagesDataset", "OpenImagesChallengeDataset")
# Files by whose suffix MMEngine and MMDetection choose a reader that can execute code.
_UNSAFE_SUFFIXES = (".pkl", ".pickle", ".npy", ".npz", ".yaml", ".yml")
_TYPE_KEYS = ("type", "constructor")
_SCOPE_KEYS = ("default_scope", "_scope_")


def check_config_values(values: Mapping[str, Any], where: object, hint: str = "") -> None:
    """Raise an error if the values of a config can make MMEngine execute code.

    MMEngine calls whatever ``type`` names: a registered class, or any function of any installed package by its dotted
    name. It imports the modules of ``custom_imports`` and of scopes, and unpickles some files by their suffix.

    Args:
        values: Plain values by top-level key.
        where: File of the config, for the error.
        hint: How to load the config otherwise, for the error.

    Raises:
        UserError: A type is no name of a registered class, a scope or an import is of another package, or a value is a
            file that can contain code.

    Example:
        >>> check_config_values({"model": {"type": "RetinaNet"}}, "a.pth")
        >>> check_config_values({"model": {"type": "os.system"}}, "a.pth")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: a.pth: model.type must be the name of a registered class, got 'os.system'
    """
    for path, reason in _unsafe_values(values, ""):
        raise UserError(f"{path} must be {reason}", where=where, hint=hint)
    imports = values.get("custom_imports")
    modules = imports.get("imports", []) if isinstance(imports, Mapping) else [] if imports is None else [imports]
    for module in [modules] if isinstance(modules, str) else modules:
        if not isinstance(module, str) or module.partition(".")[0] not in PACKAGES:
            reason = f"modules of {', '.join(PACKAGES)}, got {quote(module)}"
            raise UserError(f"custom_imports must be {reason}", where=where, hint=hint)


def _unsafe_values(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted path of each unsafe value and what it must be."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            item_path = f"{path}.{key}" if path else str(key)
            if key in _TYPE_KEYS and isinstance(item, str) and not _is_registered_name(item):
                yield item_path, f"the name of a registered class, got {quote(item)}"
            elif key in _SCOPE_KEYS and item is not None and item not in SCOPES:
                yield item_path, f"one of {', '.join(SCOPES)}, got {quote(item)}"
            yield from _unsafe_values(item, item_path)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _unsafe_values(item, f"{path}.{index}")
    elif isinstance(value, str) and value.lower().endswith(_UNSAFE_SUFFIXES):
        yield path, f"no file that can contain code ({', '.join(_UNSAFE_SUFFIXES)}), got {quote(value)}"


def _is_registered_name(name: str) -> bool:
    """Return whether a type can name a registered class: an identifier, after a scope if there is one."""
    prefixes = (f"{scope}." for scope in SCOPES if name.startswith(f"{scope}."))
    bare = name.removeprefix(next(prefixes, "torchvision/"))
    return _NAME.fullmatch(bare) is not None and bare not in _UNSAFE_TYPES and not bare.startswith("__")
