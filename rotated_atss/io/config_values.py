"""Check of the values of an untrusted config: values that would make MMEngine execute code are rejected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rotated_atss.errors import UserError, quote

PACKAGES = ("rotated_atss", "mmdet", "mmrotate")
"""Packages whose modules a config may list in ``custom_imports``."""

SCOPES = ("rotated_atss.detection", "rotated_atss", "mmdet", "mmrotate", "mmcv", "mmengine")
"""Registry scopes that a config may use. If one scope is a prefix of another one, the longer scope comes first."""

_NAME = re.compile(r"[A-Za-z_]\w*")
# Keys whose value names a class that MMEngine creates, and keys whose value names a registry scope.
_TYPE_KEYS = ("type", "constructor")
_SCOPE_KEYS = ("default_scope", "_scope_")
# Registered classes of mmcv and MMDetection that evaluate a string as code or unpickle a file.
_UNSAFE_TYPES = ("RFSearchHook", "CameraMotionCompensation", "OpenImagesDataset", "OpenImagesChallengeDataset")
# Suffixes for which MMEngine and MMDetection choose a file reader that can execute code.
_UNSAFE_SUFFIXES = (".pkl", ".pickle", ".npy", ".npz", ".yaml", ".yml")


def check_config_values(values: Mapping[str, Any], where: object, hint: str = "") -> None:
    """Raise an error if the values of a config can make MMEngine execute code.

    MMEngine calls whatever a ``type`` names: a registered class or, by its dotted name, any function of any installed
    package. It imports the modules that ``custom_imports`` and scopes name, and unpickles files with some suffixes.

    Args:
        values: Content of the config by top-level key: strings, numbers, booleans, None, and lists and dictionaries of
            these.
        where: File that contains the config (a config or a checkpoint), for the error.
        hint: Advice for the error message.

    Raises:
        UserError: A ``type`` is not the name of a registered class, a scope or an import names another package, or a
            value is the path of a file that can contain code.

    Example:
        >>> check_config_values({"model": {"type": "RetinaNet"}}, "a.pth")
        >>> check_config_values({"model": {"type": "os.system"}}, "a.pth")
        Traceback (most recent call last):
        ...
        rotated_atss.errors.UserError: a.pth: model.type must be the name of a registered class, got 'os.system'
    """
    unsafe = next(_unsafe_values(values, ""), None)
    if unsafe is not None:
        key_path, requirement = unsafe
        raise UserError(f"{key_path} must be {requirement}", where=where, hint=hint)
    for module in _imported_modules(values.get("custom_imports")):
        if not isinstance(module, str) or module.partition(".")[0] not in PACKAGES:
            what = f"custom_imports must name modules of {', '.join(PACKAGES)}, got {quote(module)}"
            raise UserError(what, where=where, hint=hint)


def _imported_modules(custom_imports: Any) -> list[Any]:
    """Return the modules that a value of ``custom_imports`` names.

    MMEngine expects a dictionary whose ``imports`` is one name or a list of names. Any other value is returned as if it
    were a name, so that the caller checks it too.
    """
    if custom_imports is None:
        return []
    modules = custom_imports.get("imports", []) if isinstance(custom_imports, Mapping) else [custom_imports]
    return list(modules) if isinstance(modules, (list, tuple)) else [modules]


def _unsafe_values(value: Any, key_path: str) -> Iterator[tuple[str, str]]:
    """Yield the path of keys to each unsafe value, such as ``model.type``, and what the value must be instead.

    ``key_path`` is the path of keys to ``value``; empty for the whole config.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            item_path = f"{key_path}.{key}" if key_path else str(key)
            if key in _TYPE_KEYS and isinstance(item, str) and not _is_safe_type(item):
                yield item_path, f"the name of a registered class, got {quote(item)}"
            elif key in _SCOPE_KEYS and item is not None and item not in SCOPES:
                yield item_path, f"one of {', '.join(SCOPES)}, got {quote(item)}"
            yield from _unsafe_values(item, item_path)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _unsafe_values(item, f"{key_path}.{index}")
    elif isinstance(value, str) and value.lower().endswith(_UNSAFE_SUFFIXES):
        suffixes = ", ".join(_UNSAFE_SUFFIXES)
        yield key_path, f"the path of a file that cannot contain code (not {suffixes}), got {quote(value)}"


def _is_safe_type(name: str) -> bool:
    """Return whether a ``type`` can only name a safe registered class: an identifier, optionally with a scope."""
    # OpenMMLab packages register classes of torchvision with the prefix "torchvision/". The first matching prefix is
    # taken, so SCOPES lists rotated_atss.detection before rotated_atss.
    prefixes = (*(f"{scope}." for scope in SCOPES), "torchvision/")
    prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
    class_name = name.removeprefix(prefix)
    # MMEngine also resolves "mmdet.NAME" to an attribute of the module mmdet. Names such as __loader__ are attributes
    # of every module, but not registered classes.
    is_identifier = _NAME.fullmatch(class_name) is not None and not class_name.startswith("__")
    return is_identifier and class_name not in _UNSAFE_TYPES
