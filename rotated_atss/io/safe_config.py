"""Read configs from untrusted sources (``--safe-config``). The configs are parsed, never executed.

The values of such a config are plain data. But MMEngine executes code for some of them, for example if ``type`` is the
name of a function. :mod:`rotated_atss.io.config_values` rejects such values.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from rotated_atss.configs import config_folder, find_base_config
from rotated_atss.errors import UserError, quote
from rotated_atss.io.config_literals import SAFE_CONFIG_HINT, LiteralEvaluator, assigns_base
from rotated_atss.io.config_values import check_config_values
from rotated_atss.io.files import read_bytes

_MAX_BYTES = 2**20  # Larger config files are rejected.
_TEMPLATE = re.compile(r"\{\{\s*(\$|_base_|file)")  # MMEngine fills in such templates before it executes a config
_must_be_safe: ContextVar[bool] = ContextVar("_must_be_safe", default=False)  # whether configs must be read safely

ReadConfig = Callable[[Path], dict[str, Any]]  # reads the config at a path, and returns its values by top-level key


@contextmanager
def require_safe_configs(required: bool = True) -> Iterator[None]:
    """Read all configs that are loaded in this block without executing them, as ``--safe-config`` does.

    Args:
        required: Value of ``--safe-config``. False has no effect: inside an outer block with True, configs are still
            read without executing them.

    Example:
        >>> with require_safe_configs():
        ...     safe_configs_required()
        True
    """
    token = _must_be_safe.set(required or _must_be_safe.get())
    try:
        yield
    finally:
        _must_be_safe.reset(token)


def safe_configs_required() -> bool:
    """Return whether configs must be read without executing them.

    Example:
        >>> safe_configs_required()
        False
    """
    return _must_be_safe.get()


def is_packaged_config(path: str | Path) -> bool:
    """Return whether a file is a config of this package, which is as trusted as the package's code.

    Example:
        >>> is_packaged_config(config_folder() / "_base_" / "default_runtime.py")
        True
        >>> is_packaged_config("own.py")
        False
    """
    return config_folder().resolve() in Path(path).resolve().parents


def read_safe_config(path: str | Path, read_packaged: ReadConfig) -> dict[str, Any]:
    r"""Read a config without executing it.

    The config may assign numbers, strings, lists, tuples, dictionaries, ``dict(...)``, names that were assigned before,
    ``_base_.name`` of inherited configs, and arithmetic expressions of such values. Its ``_base_`` may name configs of
    this package, and other configs that follow the same rules. As in MMEngine, the values are merged into the values of
    the inherited configs.

    Args:
        path: The config.
        read_packaged: Function that reads a config of this package, which is trusted and may be executed.

    Returns:
        Values by top-level key, without ``_base_``.

    Raises:
        UserError: The file contains another statement or expression (the message names its ``path:line``), or a value
            can make MMEngine execute code (:func:`rotated_atss.io.config_values.check_config_values`).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "own.py")
        ...     _ = path.write_text("depth = 18\nmodel = dict(backbone=dict(depth=depth))")
        ...     read_safe_config(path, read_packaged=lambda path: {})
        {'depth': 18, 'model': {'backbone': {'depth': 18}}}
    """
    values = _read(Path(path), read_packaged, ())
    check_config_values(values, path, SAFE_CONFIG_HINT)
    return values


def _read(path: Path, read_packaged: ReadConfig, children: tuple[Path, ...]) -> dict[str, Any]:
    """Read a config, and merge its values into the values of the configs in its ``_base_``.

    ``children`` are the resolved paths of the configs that inherit this config.
    """
    if path.resolve() in children:
        raise UserError("the config inherits itself", where=path)
    statements, lines = _parse(path)
    inherited: dict[str, Any] = {}
    for base in _base_names(statements, lines, path):
        base_path = _find_packaged_base(base) or find_base_config(base, path)
        if is_packaged_config(base_path):
            values = read_packaged(base_path)
        else:
            values = _read(base_path, read_packaged, (*children, path.resolve()))
        shared_keys = sorted(inherited.keys() & values.keys())
        if shared_keys:
            raise UserError(f"two configs in _base_ have the key {quote(shared_keys[0])}", where=path)
        inherited.update(values)
    return _merge(LiteralEvaluator(path, lines, inherited).run(statements), inherited, path)


def _parse(path: Path) -> tuple[list[ast.stmt], list[str]]:
    """Return the statements and the lines of a config."""
    source = read_bytes(path, length=_MAX_BYTES + 1)
    if len(source) > _MAX_BYTES:
        raise UserError(f"the config is larger than {_MAX_BYTES >> 10} KiB", where=path)
    try:
        text = re.sub("\r\n?", "\n", source.decode())  # Python ends a line at any of \r\n, \r and \n
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise UserError("cannot parse this config", where=f"{path}{line}") from error
    template = _TEMPLATE.search(text)
    if template:
        line_number = text.count("\n", 0, template.start()) + 1
        what = f"templates are not allowed, got {quote(template[0])}"
        raise UserError(what, where=f"{path}:{line_number}", hint=SAFE_CONFIG_HINT)
    return statements, text.split("\n")


def _base_names(statements: list[ast.stmt], lines: list[str], path: Path) -> list[str]:
    """Return the names or paths in ``_base_``, in order; an empty list if the config does not assign ``_base_``."""
    for statement in statements:
        if isinstance(statement, ast.Assign) and assigns_base(statement):
            bases = LiteralEvaluator(path, lines, {}).evaluate(statement.value)
            bases = bases if isinstance(bases, list) else [bases]
            if not all(isinstance(base, str) and base for base in bases):
                what = "_base_ must be the path of a config or a list of paths"
                raise UserError(what, where=f"{path}:{statement.lineno}")
            return bases
    return []


def _find_packaged_base(base: str) -> Path | None:
    """Return the path of a base that is written as ``rotated_atss::dota/NAME.py``; None if it contains no ``::``."""
    package, separator, name = base.partition("::")
    if not separator:
        return None
    path = config_folder() / name
    if package not in ("rotated_atss", "rotated-atss") or not is_packaged_config(path) or not path.is_file():
        what = f"{quote(base)} is not a config of this package"
        raise UserError(what, where="_base_", hint=SAFE_CONFIG_HINT)
    return path


def _merge(values: dict[str, Any], inherited: dict[str, Any], path: Path) -> dict[str, Any]:
    """Merge the values of a config into the inherited values by the rules of MMEngine.

    A dictionary is merged into the inherited dictionary, or replaces it if it contains ``_delete_=True``.
    """
    merged = dict(inherited)
    for key, value in values.items():
        if isinstance(value, dict) and key in merged and not value.pop("_delete_", False):
            if not isinstance(merged[key], dict):
                what = f"{key} is a dictionary, but the inherited value is not"
                raise UserError(what, where=path, hint=f"set _delete_=True in {key} to replace that value")
            merged[key] = _merge(value, merged[key], path)
        else:
            merged[key] = value
    return merged
