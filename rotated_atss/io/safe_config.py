"""Configs from others: read without executing them, refused if their values can make MMEngine execute code."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from rotated_atss.configs import config_folder, find_base_config
from rotated_atss.errors import UserError, quote
from rotated_atss.io.files import read_bytes

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

_MAX_BYTES = 2**20
_MAX_ITEMS = 2**20  # values and characters of a value: names assigned before can double it with each line
_MAX_BITS = 2**14  # of an integer
_TEMPLATE = re.compile(r"\{\{\s*(\$|_base_|file)")
_OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_SIGNS: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_HINT = "--safe-config reads only literals, names assigned before and _base_; omit it if you trust the config"
_is_required: ContextVar[bool] = ContextVar("_is_required", default=False)


@contextmanager
def require_safe_configs(required: bool = True) -> Iterator[None]:
    """Load configs in this block with :func:`read_safe_config`, as ``--safe-config`` does.

    Args:
        required: False changes nothing.

    Example:
        >>> with require_safe_configs():
        ...     safe_configs_required()
        True
    """
    token = _is_required.set(required or _is_required.get())
    try:
        yield
    finally:
        _is_required.reset(token)


def safe_configs_required() -> bool:
    """Return whether configs must be read without executing them.

    Example:
        >>> safe_configs_required()
        False
    """
    return _is_required.get()


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


def is_packaged_config(path: str | Path) -> bool:
    """Return whether a file is a config of this package, which is trusted as its code is.

    Example:
        >>> is_packaged_config(config_folder() / "_base_" / "default_runtime.py"), is_packaged_config("own.py")
        (True, False)
    """
    return config_folder().resolve() in Path(path).resolve().parents


def read_safe_config(path: str | Path, read_packaged: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    r"""Read a config without executing it.

    Accepted are assignments of numbers, texts, lists, tuples, dictionaries, ``dict(...)``, names assigned before,
    ``_base_.name`` of inherited configs and arithmetic of these, and ``_base_`` with the configs of this package or
    others of this kind. Values are merged as MMEngine merges them.

    Args:
        path: The config.
        read_packaged: Reads a config of this package, which may hold more than that.

    Returns:
        Values by top-level key, plain and without ``_base_``.

    Raises:
        UserError: The file holds anything else, in which case the message has ``path:line``; or a value can make
            MMEngine execute code (:func:`check_config_values`).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "own.py")
        ...     _ = path.write_text("depth = 18\nmodel = dict(backbone=dict(depth=depth))")
        ...     read_safe_config(path, read_packaged=lambda path: {})
        {'depth': 18, 'model': {'backbone': {'depth': 18}}}
    """
    values = _read(Path(path), read_packaged, ())
    check_config_values(values, path, _HINT)
    return values


def _read(path: Path, read_packaged: Callable[[Path], dict[str, Any]], heirs: tuple[Path, ...]) -> dict[str, Any]:
    """Read a file and what it inherits; ``heirs`` are the files that inherit it."""
    if path.resolve() in heirs:
        raise UserError("the config inherits itself", where=path)
    statements, lines = _parse(path)
    inherited: dict[str, Any] = {}
    for base in _bases(statements, lines, path):
        file = _packaged_base(base) or find_base_config(base, path)
        is_packaged = is_packaged_config(file)
        values = read_packaged(file) if is_packaged else _read(file, read_packaged, (*heirs, path.resolve()))
        twice = sorted(inherited.keys() & values.keys())
        if twice:
            raise UserError(f"two configs in _base_ have the key {quote(twice[0])}", where=path)
        inherited.update(values)
    return _merge(_Evaluator(path, lines, inherited).run(statements), inherited, path)


def _parse(path: Path) -> tuple[list[ast.stmt], list[str]]:
    """Return the statements and the lines of a config."""
    source = read_bytes(path, length=_MAX_BYTES + 1)
    if len(source) > _MAX_BYTES:
        raise UserError(f"a config has at most {_MAX_BYTES >> 10} KiB", where=path)
    try:
        text = source.decode()
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise UserError("cannot parse this config", where=f"{path}{line}") from error
    template = _TEMPLATE.search(text)
    if template:
        where = f"{path}:{text.count(chr(10), 0, template.start()) + 1}"
        raise UserError(f"a template is no literal, got {quote(template[0])}", where=where, hint=_HINT)
    return statements, text.split("\n")


def _bases(statements: list[ast.stmt], lines: list[str], path: Path) -> list[str]:
    """Return the configs that ``_base_`` names."""
    for statement in statements:
        if isinstance(statement, ast.Assign) and _names_base(statement):
            bases = _Evaluator(path, lines, {}).value(statement.value)
            bases = bases if isinstance(bases, list) else [bases]
            if not all(isinstance(base, str) and base for base in bases):
                raise UserError("_base_ must name configs", where=f"{path}:{statement.lineno}")
            return bases
    return []


def _names_base(statement: ast.Assign) -> bool:
    target = statement.targets[0]
    return len(statement.targets) == 1 and isinstance(target, ast.Name) and target.id == "_base_"


def _packaged_base(base: str) -> Path | None:
    """Return the file of a base ``rotated_atss::dota/NAME.py``."""
    package, separator, name = base.partition("::")
    if not separator:
        return None
    file = config_folder() / name
    if package not in ("rotated_atss", "rotated-atss") or not is_packaged_config(file) or not file.is_file():
        raise UserError(f"no config of this package, got {quote(base)}", where="_base_", hint=_HINT)
    return file


def _merge(values: dict[str, Any], inherited: dict[str, Any], path: Path) -> dict[str, Any]:
    """Merge values into inherited ones as MMEngine does, which removes ``_delete_`` where it applies."""
    merged = dict(inherited)
    for key, value in values.items():
        if isinstance(value, dict) and key in merged and not value.pop("_delete_", False):
            if not isinstance(merged[key], dict):
                what = f"{key} is a dictionary, the inherited one is none: set _delete_=True in it to replace it"
                raise UserError(what, where=path)
            merged[key] = _merge(value, merged[key], path)
        else:
            merged[key] = value
    return merged


class _Evaluator:
    """Evaluate the statements of a config that are plain data.

    Args:
        path: The config, for errors.
        lines: Its lines, for errors.
        inherited: What ``_base_`` stands for.
    """

    def __init__(self, path: Path, lines: list[str], inherited: dict[str, Any]) -> None:
        self._path, self._lines = path, lines
        self._names: dict[str, Any] = {"_base_": inherited}
        self._sizes: dict[int, tuple[Any, int]] = {}  # size by id; the value is kept, so that its id is not used again

    def run(self, statements: list[ast.stmt]) -> dict[str, Any]:
        """Return the values by name."""
        for statement in statements:
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if isinstance(statement, ast.Assign):
                self._assign(statement)
            elif not is_text:
                raise self._no_literal(statement)
        return {name: value for name, value in self._names.items() if name != "_base_" and not name.startswith("__")}

    def _assign(self, statement: ast.Assign) -> None:
        if _names_base(statement):  # read already
            return
        names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        if len(names) < len(statement.targets) or {"_base_", "dict"}.intersection(names):
            raise self._no_literal(statement)
        self._names.update(dict.fromkeys(names, self.value(statement.value)))

    def value(self, node: ast.expr) -> Any:
        """Return the value of an expression.

        Raises:
            UserError: The expression is no plain data, or its value is too large.
        """
        try:
            value = self._evaluate(node)
        except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError, MemoryError) as error:
            what = f"cannot evaluate {self._quote(node)}: {type(error).__name__}"
            raise UserError(what, where=f"{self._path}:{node.lineno}") from error
        if self._size(value) > _MAX_ITEMS or (isinstance(value, int) and value.bit_length() > _MAX_BITS):
            raise UserError("the value is too large", where=f"{self._path}:{node.lineno}")
        return value

    def _evaluate(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return node.value
            case ast.Name(id=name) if name in self._names:
                return self._names[name]
            case ast.List():
                return self._items(node.elts)
            case ast.Tuple():
                return tuple(self._items(node.elts))
            case ast.Dict():
                return self._dictionary(zip(node.keys, node.values))
            case ast.Call(func=ast.Name(id="dict"), args=[] | [_]):
                keys = [None if keyword.arg is None else ast.Constant(keyword.arg) for keyword in node.keywords]
                pairs = zip(keys, (keyword.value for keyword in node.keywords))
                return self._dictionary([*((None, argument) for argument in node.args), *pairs])
            case ast.Attribute() if ast.unparse(node).startswith("_base_."):
                return self.value(node.value)[node.attr]
            case ast.Subscript():
                return self.value(node.value)[self.value(node.slice)]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return _SIGNS[type(node.op)](self.value(node.operand))
            case ast.BinOp() if type(node.op) in _OPERATIONS:
                return self._calculate(type(node.op), self.value(node.left), self.value(node.right))
        raise self._no_literal(node)

    def _items(self, nodes: list[ast.expr]) -> list[Any]:
        items: list[Any] = []
        for node in nodes:
            items.extend(self.value(node.value) if isinstance(node, ast.Starred) else [self.value(node)])
        return items

    def _dictionary(self, pairs: Iterable[tuple[ast.expr | None, ast.expr]]) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        for key, node in pairs:  # the key of **other is None
            values.update(self.value(node) if key is None else {self.value(key): self.value(node)})
        return values

    def _calculate(self, operation: type, left: Any, right: Any) -> Any:
        if operation is not ast.Add and not (_is_number(left) and _is_number(right)):
            raise TypeError("texts and lists are not repeated, their result could be of any size")
        return _OPERATIONS[operation](left, right)

    def _size(self, value: Any) -> int:
        """Count the values and characters of a value."""
        if not isinstance(value, (list, tuple, dict)):
            return 1 + (len(value) if isinstance(value, str) else 0)
        if id(value) not in self._sizes:
            items = value if not isinstance(value, dict) else [*value, *value.values()]
            self._sizes[id(value)] = value, 1 + sum(map(self._size, items))
        return self._sizes[id(value)][1]

    def _no_literal(self, node: ast.expr | ast.stmt) -> UserError:
        return UserError(f"not a literal, got {self._quote(node)}", where=f"{self._path}:{node.lineno}", hint=_HINT)

    def _quote(self, node: ast.expr | ast.stmt) -> str:
        return quote(self._lines[node.lineno - 1].strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))
